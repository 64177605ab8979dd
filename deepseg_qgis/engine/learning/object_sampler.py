"""Random pixels of annotated objects: rare categories and small objects have a voice. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.geometry.areas import Area, clipped
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries

TEMPER = 0.25
"""A category is as likely as its share of the annotated ground to this power: between as it is (1)
and all alike (0)."""
POINTS = 256
"""So many points of an object's bounding box are tried; where all miss, it is thin."""


class ObjectSampler:
    """Random pixels of the objects on training ground: a category, one of its objects, a pixel.

    A category is as likely as its ground to the power of `TEMPER`, and each of its objects as
    likely as the others. Memory: 9 bytes for each object.

    Source: of tempered shares, Mikolov and others, Distributed Representations of Words and
    Phrases and their Compositionality, NeurIPS 2013 (there to the power of 3/4).
    """

    def __init__(self, labelled_rasters: Sequence[LabelledRaster]) -> None:
        self._labelled = labelled_rasters
        areas = [
            shapely.area(clipped(each.annotated.geometries, each.training))
            for each in labelled_rasters
        ]
        firsts = np.cumsum([0, *(len(each) for each in areas)])
        self._firsts: NDArray[np.int64] = firsts[:-1]
        area_px = np.concatenate([np.zeros(0), *areas])
        classes = np.concatenate(
            [np.zeros(0, dtype=np.uint8), *(each.annotated.classes for each in labelled_rasters)]
        )
        there = np.flatnonzero(area_px > 0.0)
        self._objects = there[np.argsort(classes[there], kind="stable")]
        """The objects on training ground, category by category."""
        _, self._starts, self._counts = np.unique(
            classes[self._objects], return_index=True, return_counts=True
        )
        ground = np.bincount(classes[there], weights=area_px[there])
        tempered = ground[ground > 0.0] ** TEMPER
        self._shares = tempered / tempered.sum()

    @property
    def count(self) -> int:
        """The number of objects on training ground."""
        return len(self._objects)

    def draw(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Return the number of a raster, and the row and column of a pixel of an object on it."""
        category = int(rng.choice(len(self._shares), p=self._shares))
        place = self._starts[category] + rng.integers(self._counts[category])
        number = int(self._objects[place])
        raster = int(np.searchsorted(self._firsts, number, side="right")) - 1
        labelled = self._labelled[raster]
        geometries = labelled.annotated.geometries[[number - self._firsts[raster]]]
        column, row = _point_on(geometries, labelled.training, rng)
        return raster, int(row), int(column)


def _point_on(geometries: Geometries, area: Area, rng: np.random.Generator) -> tuple[float, float]:
    """Return (x, y) of a random point of the only polygon, inside the area.

    Of a polygon too thin to hit, a vertex of what lies in the area.
    """
    shapely.prepare(geometries)
    shapely.prepare(area.geometry)
    polygon = geometries[0]
    ends = np.array([polygon.bounds, area.geometry.bounds])
    low, high = ends[:, :2].max(axis=0), ends[:, 2:].min(axis=0)
    x, y = rng.uniform(low[:, None], high[:, None], (2, POINTS))
    inside = shapely.contains_xy(polygon, x, y)
    inside[inside] = shapely.contains_xy(area.geometry, x[inside], y[inside])
    if inside.any():
        first = int(inside.argmax())
        return float(x[first]), float(y[first])
    column, row = rng.choice(shapely.get_coordinates(clipped(geometries, area)))
    return float(column), float(row)
