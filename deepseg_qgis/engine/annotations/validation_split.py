"""Which part of the labelled ground is kept for validation: drawn by the user, or chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.annotation_layer import load_area, placed
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.local_crs import are_comparable
from deepseg_qgis.engine.geometry.tiling import LATTICE_PX, Window
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import VectorSource

SPLIT_CELLS = 24
"""The labelled area is divided into about so many cells, out of which validation is chosen."""
CELL_TILES = (0.5, 4.0)
"""A cell's side is at least and at most so many tiles."""
CANDIDATES = 400
BALANCED = 20
"""So many random choices of cells are drawn; the most compact of the best balanced is taken."""


@dataclass(frozen=True)
class Cell:
    """A square of a raster's labelled area, with its pixels per class (background first).

    ``owner`` is the raster's number.
    """

    owner: int
    window: Window
    counts: NDArray[np.int64]


def split_by_area(
    labelled_rasters: Sequence[LabelledRaster],
    source: VectorSource,
    control: Control,
    *,
    drawn: bool = False,
) -> list[LabelledRaster]:
    """Return the labelled rasters with the areas of a layer kept for validation.

    Where the labelled area was ``drawn``, a validation area that reaches beyond it is worth a word.

    Raises:
        VectorError: the layer covers none, or all, of the rasters' labelled area.
    """
    result = []
    for labelled in labelled_rasters:
        area = load_area(source, labelled.raster, control)
        if labelled.unknown.size_px:
            area = area.without(labelled.unknown)
        result.append(replace(labelled, training=labelled.training.without(area), validation=area))
    if drawn:
        _warn_of_ground_outside(labelled_rasters, result, source, control)
    if not any(labelled.validation.size_px for labelled in result):
        raise VectorError(
            f"The validation area '{source.name}' does not touch any raster. Draw it on annotated "
            "ground, or leave it empty to have one chosen."
        )
    if not any(labelled.training.size_px for labelled in result):
        raise VectorError(
            f"The validation area '{source.name}' leaves nothing to train on. Make it smaller."
        )
    return result


def _warn_of_ground_outside(
    labelled_rasters: Sequence[LabelledRaster],
    split: Sequence[LabelledRaster],
    source: VectorSource,
    control: Control,
) -> None:
    """Warn of a validation area that reaches beyond the labelled area."""
    kept = sum(labelled.validation.size_px for labelled in split)
    inside = sum(
        new.validation.within(old.training).size_px
        for new, old in zip(split, labelled_rasters, strict=True)
    )
    if 0.0 < inside < 0.99 * kept:
        control.warn(
            f"{1 - inside / kept:.0%} of the validation area '{source.name}' lie outside of the "
            "area of interest. What is not annotated there counts as background, too."
        )


def split_by_cells(
    labelled_rasters: Sequence[LabelledRaster],
    fraction: float,
    tile_size_px: int,
    categories: tuple[Category, ...],
    rng: np.random.Generator,
) -> list[LabelledRaster]:
    """Return the labelled rasters with about ``fraction`` of their area kept for validation.

    Square cells are chosen so that each category has about the same share in them; never random
    pixels or overlapping tiles, which would flatter the score. Where a few polygons lie within a
    tile the cells are smaller.

    Raises:
        VectorError: the labelled area is too small to be divided.
    """
    cells = candidate_cells(labelled_rasters, tile_size_px, len(categories))
    while len(cells) < 2 and tile_size_px > LATTICE_PX:
        tile_size_px //= 2
        cells = candidate_cells(labelled_rasters, tile_size_px, len(categories))
    if len(cells) < 2:
        raise VectorError(
            "The labelled area is too small to keep a part of it for validation. Annotate more, "
            "use a smaller tile size, or draw a validation area."
        )
    chosen = choose_cells(cells, fraction, rng)
    result = []
    for number, labelled in enumerate(labelled_rasters):
        windows = [cell.window for cell in chosen if cell.owner == number]
        area = Area.of_windows(windows)
        result.append(
            replace(
                labelled,
                training=labelled.training.without(area),
                validation=area.within(labelled.training),
            )
        )
    return result


def withhold_overlaps(labelled_rasters: Sequence[LabelledRaster]) -> list[LabelledRaster]:
    """Return the same, but no raster trains on ground that another one keeps for validation.

    Several rasters may show one place, such as pictures of two days.

    Raises:
        VectorError: nothing is left to train on.
    """
    result = []
    for labelled in labelled_rasters:
        others = [
            _validation_on(labelled, other) for other in labelled_rasters if other is not labelled
        ]
        known = labelled.validated_elsewhere
        area = Area(shapely.union_all([known.geometry, *(other.geometry for other in others)]))
        result.append(
            replace(labelled, training=labelled.training.without(area), validated_elsewhere=area)
        )
    if not any(labelled.training.size_px for labelled in result):
        raise VectorError(
            "The rasters show the same ground, and together their validation areas leave nothing "
            "of it to train on. Draw a smaller validation area."
        )
    return result


def _validation_on(labelled: LabelledRaster, other: LabelledRaster) -> Area:
    """Return the validation area of another raster, as it lies on this one's grid."""
    grid, crs = labelled.raster.grid, labelled.raster.grid.crs
    if not are_comparable(crs, other.raster.grid.crs) or not other.validation.size_px:
        return Area.of_windows([])
    shape = np.array([other.validation.geometry], dtype=object)
    there = placed(other.raster.grid.to_crs(shape, crs), crs, grid)
    return Area.of(there).within(Area(box(grid.window)))


def candidate_cells(
    labelled_rasters: Sequence[LabelledRaster], tile_size_px: int, categories: int
) -> list[Cell]:
    """Return the cells of all rasters that hold labelled pixels."""
    total = sum(labelled.training.size_px for labelled in labelled_rasters)
    low, high = (share * tile_size_px for share in CELL_TILES)
    side = int(np.clip((total / SPLIT_CELLS) ** 0.5, low, high))
    cells = []
    for owner, labelled in enumerate(labelled_rasters):
        around = labelled.training.window(labelled.raster.grid.window)
        for window in labelled.training.cells(around, side):
            known = labelled.training.mask(window)
            classes = labelled.annotated.mask(window)[known]
            if classes.size:
                counts = np.bincount(classes, minlength=categories + 1)
                cells.append(Cell(owner, window, counts))
    return cells


def choose_cells(cells: list[Cell], fraction: float, rng: np.random.Generator) -> list[Cell]:
    """Return cells with about ``fraction`` of each class; the most compact of the best choices.

    A class that lies in several cells is on both sides, if a choice has it so; one that lies in a
    single cell is trained on.
    """
    counts = np.array([cell.counts for cell in cells], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=0), 1.0)
    sizes = counts.sum(axis=1) / counts.sum()
    candidates = []
    for _ in range(CANDIDATES):
        order = rng.permutation(len(cells))
        reached = int(np.searchsorted(np.cumsum(sizes[order]), fraction)) + 1
        candidates.append(order[: min(max(reached, 1), len(cells) - 1)])
    present = counts.sum(axis=0) > 0
    kept = np.array([shares[each].sum(axis=0) for each in candidates])[:, present]
    several = (counts[:, present] > 0).sum(axis=0) > 1
    one_sided = ((kept > 1.0 - 1e-9) | ((kept == 0.0) & several)).sum(axis=1)
    imbalance = np.abs(kept - fraction).sum(axis=1)
    allowed = np.flatnonzero(one_sided == one_sided.min())
    best = allowed[np.argsort(imbalance[allowed], kind="stable")[:BALANCED]]
    chosen = min(best, key=lambda i: _perimeter(cells, candidates[i]))
    return [cells[i] for i in candidates[chosen]]


def _perimeter(cells: list[Cell], chosen: NDArray[np.int64]) -> int:
    """Return how many sides of the chosen cells do not lie against another chosen one."""
    side = max(cell.window.height for cell in cells)
    places = {
        (cells[i].owner, cells[i].window.row // side, cells[i].window.column // side)
        for i in chosen
    }
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    return sum(
        (owner, row + down, column + right) not in places
        for owner, row, column in places
        for down, right in steps
    )
