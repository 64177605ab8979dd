"""Areas of interest and annotations over one raster, rasterised window by window. No I/O.

Everything is in the raster's pixel coordinates. A pixel belongs to the polygon that holds its
centre; where annotations overlap, the smaller one lies on top.
"""

from __future__ import annotations

import functools
import math
from typing import TypeVar

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from deepseg_qgis.engine.geometry.projections import Geometries
from deepseg_qgis.engine.geometry.tiling import Window

FARTHEST = 2.0**30
"""In px: GDAL rasterises in 32 bits, and what lies beyond comes back on the other side."""

RADIUS_TOLERANCE_PX = 0.25

Value = TypeVar("Value", np.uint8, np.int32)


class Area:
    """A part of a raster, as a polygon or multipolygon in pixel coordinates (may be empty)."""

    def __init__(self, geometry: shapely.Geometry) -> None:
        self.geometry = geometry
        self._parts = shapely.get_parts(geometry)
        self._tree = shapely.STRtree(self._parts)

    @classmethod
    def of(cls, geometries: Geometries) -> Area:
        """Return the area that the polygons cover together."""
        return cls(shapely.union_all(geometries))

    @classmethod
    def of_windows(cls, windows: list[Window]) -> Area:
        """Return the area that the windows cover together."""
        return cls.of(np.array([box(window) for window in windows], dtype=object))

    @property
    def size_px(self) -> float:
        """The area in pixels."""
        return float(self.geometry.area)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return (rows, columns) True where the pixel's centre is inside."""
        near = self._parts[np.sort(self._tree.query(box(window)))]
        return burnt(near, np.ones(len(near), dtype=np.uint8), window) > 0

    def touches(self, window: Window) -> bool:
        """Whether the window shares some ground with the area."""
        return len(self._tree.query(box(window), predicate="intersects")) > 0

    def shared_px(self, window: Window) -> float:
        """Return how much of a window lies in the area, in pixels; 0 where they only touch."""
        near = self._parts[self._tree.query(box(window))]
        return float(shapely.area(shapely.intersection(near, box(window))).sum())

    def covers(self, window: Window) -> bool:
        """Whether one polygon of the area holds the whole window."""
        return len(self._tree.query(box(window), predicate="covered_by")) > 0

    def window(self, within: Window) -> Window:
        """Return the smallest window inside ``within`` that holds the area; empty if none does."""
        if self.geometry.is_empty:
            return Window(within.row, within.column, 0, 0)
        xmin, ymin, xmax, ymax = self.geometry.bounds
        row, column = math.floor(ymin), math.floor(xmin)
        around = Window(row, column, math.ceil(ymax) - row, math.ceil(xmax) - column)
        return around.intersection(within)

    def windows(self, within: Window) -> list[Window]:
        """Return windows inside ``within`` that hold the area together and do not overlap.

        What lies apart has windows of its own, so they take less room than one around all.
        """
        boxes = np.array([box(Area(part).window(within)) for part in self._parts], dtype=object)
        while True:
            parts = shapely.get_parts(shapely.union_all(boxes))
            merged = shapely.box(*shapely.bounds(parts).T)
            if len(merged) == len(boxes):
                break
            boxes = merged
        windows = [Area(part).window(within) for part in boxes]
        return [each for each in windows if each.height and each.width]

    def without(self, other: Area) -> Area:
        """Return what of this area is not in the other."""
        return Area(shapely.difference(self.geometry, other.geometry))

    def within(self, other: Area) -> Area:
        """Return what of this area is in the other too."""
        return Area(shapely.intersection(self.geometry, other.geometry))


class AnnotatedArea:
    """The annotations of one raster; ``classes`` are 1 to k, one for each geometry."""

    def __init__(self, geometries: Geometries, classes: NDArray[np.uint8]) -> None:
        order = np.argsort(-shapely.area(geometries), kind="stable")
        self.geometries = geometries[order]
        self.classes = classes[order]
        self._tree = shapely.STRtree(self.geometries)

    def near(self, window: Window) -> NDArray[np.int64]:
        """Return which annotations lie, by their bounds, in or at the window, the largest first."""
        return np.sort(self._tree.query(box(window)))

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """Return (rows, columns) with each pixel's class, 0 where nothing is annotated."""
        near = self.near(window)
        return burnt(self.geometries[near], self.classes[near], window)

    def objects(self, window: Window) -> NDArray[np.int32]:
        """Return (rows, columns) with the number of each pixel's annotation, from 1, 0 for none."""
        near = self.near(window)
        return burnt(self.geometries[near], (near + 1).astype(np.int32), window)

    @functools.cached_property
    def visible(self) -> Geometries:
        """What of each annotation is not hidden by smaller ones on top; empty where all is."""
        lower, upper = self._tree.query(self.geometries, predicate="intersects")
        lower, upper = lower[upper > lower], upper[upper > lower]
        shared = shapely.intersection(self.geometries[lower], self.geometries[upper])
        hidden = shapely.area(shared) > 0.0
        lower, shared = lower[hidden], shared[hidden]
        order = np.argsort(lower, kind="stable")
        under, first = np.unique(lower[order], return_index=True)
        result: Geometries = self.geometries.copy()
        for number, parts in zip(under, np.split(shared[order], first[1:]), strict=False):
            result[number] = shapely.difference(result[number], shapely.union_all(parts))
        return result

    def mostly_within(self, area: Area) -> NDArray[np.bool_]:
        """Return which annotations have at least half of their ground in an area."""
        inside = shapely.area(clipped(self.geometries, area))
        result: NDArray[np.bool_] = inside >= 0.5 * shapely.area(self.geometries)
        return result

    @functools.cached_property
    def radii(self) -> NDArray[np.float64]:
        """The radius of the largest circle inside each annotation, in px."""
        circles = shapely.maximum_inscribed_circle(self.geometries, tolerance=RADIUS_TOLERANCE_PX)
        lengths: NDArray[np.float64] = shapely.length(circles)
        return lengths


def box(window: Window) -> shapely.Polygon:
    """Return the window as a polygon in pixel coordinates."""
    return shapely.box(window.column, window.row, window.column_end, window.row_end)


def clipped(geometries: Geometries, area: Area) -> Geometries:
    """Return what of polygons lies in an area; what touches it may leave lines and points too."""
    shapely.prepare(area.geometry)
    result: Geometries = geometries.copy()
    crossing = ~shapely.contains_properly(area.geometry, geometries)
    result[crossing] = shapely.intersection(geometries[crossing], area.geometry)
    return result


def burnt(geometries: Geometries, values: NDArray[Value], window: Window) -> NDArray[Value]:
    """Return (rows, columns) with the value of the last geometry over each pixel's centre, or 0."""
    shape = (window.height, window.width)
    if len(geometries) == 0:
        return np.zeros(shape, dtype=values.dtype)
    geometries = _within_reach(geometries, window)
    return np.asarray(
        rasterize(
            zip(geometries, values.tolist(), strict=True),
            out_shape=shape,
            transform=Affine.translation(window.column, window.row),
            dtype=values.dtype,
        )
    )


def _within_reach(geometries: Geometries, window: Window) -> Geometries:
    """Return geometries with those that reach far out cut off near the window."""
    far = (np.abs(shapely.bounds(geometries)) > FARTHEST).any(axis=1)
    if not far.any():
        return geometries
    result: Geometries = geometries.copy()
    result[far] = shapely.intersection(geometries[far], shapely.buffer(box(window), 1.0))
    return result
