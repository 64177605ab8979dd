"""Growing parts of annotated ground, each of which holds the ones before. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.annotations.validation_split import Cell, candidate_cells, choose_cells
from deepseg_qgis.engine.geometry.areas import Area

SMALLEST_SHARE = 0.25
"""Of the training ground lies in the smallest part."""
FEWEST_OBJECTS = 5
"""A part with fewer polygons teaches nothing, and is left out."""


@dataclass(frozen=True)
class Subset:
    """A part of the training ground: an area on each raster, and how many polygons lie in it."""

    areas: tuple[Area, ...]
    polygons: int


def nested_subsets(
    labelled_rasters: Sequence[LabelledRaster],
    count: int,
    tile_size_px: int,
    categories: int,
    rng: np.random.Generator,
) -> list[Subset]:
    """Return up to ``count`` subsets of the training ground, the smallest first, the last is all.

    They grow by one factor from `SMALLEST_SHARE` on. Each is made of compact cells, chosen out of
    those of the next larger one so that each category has its share.
    """
    cells = candidate_cells(labelled_rasters, tile_size_px, categories)
    step = SMALLEST_SHARE ** (1.0 / (count - 1))
    subsets = [_all(labelled_rasters)]
    while len(subsets) < count and len(cells) > 1:
        cells = choose_cells(cells, step, rng)
        subset = _of_cells(labelled_rasters, cells)
        if subset.polygons < FEWEST_OBJECTS:
            break
        subsets.insert(0, subset)
    return subsets


def _all(labelled_rasters: Sequence[LabelledRaster]) -> Subset:
    return _subset(labelled_rasters, [labelled.training for labelled in labelled_rasters])


def _of_cells(labelled_rasters: Sequence[LabelledRaster], cells: Sequence[Cell]) -> Subset:
    areas = [
        Area.of_windows([cell.window for cell in cells if cell.owner == owner]).within(
            labelled.training
        )
        for owner, labelled in enumerate(labelled_rasters)
    ]
    return _subset(labelled_rasters, areas)


def _subset(labelled_rasters: Sequence[LabelledRaster], areas: Sequence[Area]) -> Subset:
    """Return areas with the number of the polygons that lie mostly in them."""
    polygons = 0
    for labelled, area in zip(labelled_rasters, areas, strict=True):
        if area.size_px:
            shapely.prepare(area.geometry)
            points = shapely.point_on_surface(labelled.annotated.geometries)
            polygons += int(shapely.intersects(area.geometry, points).sum())
    return Subset(tuple(areas), polygons)
