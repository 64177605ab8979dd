"""Tiles divided into training, validation and test parts that share no pixel. No I/O.

The parts are made of blocks of neighbouring tiles, chosen so that every category has about the
same share in each part: single tiles at random would put neighbours into different parts, and a
score on them would flatter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.validation_split import Cell, choose_cells
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.annotated_raster import AnnotatedRaster
from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.tiling import Tile, Window

PARTS = ("train", "validation", "test")
SHARES = {"validation": 0.15, "test": 0.15}
"""Of the labelled area; the rest is for training."""
BLOCKS = 40
"""The tiles are divided into about so many blocks…"""
LONGEST_BLOCK = 8
"""…of at most so many tiles to a side."""
SEED = 0


@dataclass(frozen=True)
class DatasetSplit:
    """The part of each tile by its row and column; ``left_out`` tiles would have shared pixels."""

    part_of: dict[tuple[int, int], str]
    left_out: int


def class_counts(tile: Tile, annotated: AnnotatedRaster) -> NDArray[np.int64]:
    """Return how many pixels of each class (background first) are known of a tile's core."""
    classes = annotated.annotated.mask(tile.core)[annotated.area.mask(tile.core)]
    return np.bincount(classes, minlength=len(annotated.categories) + 1).astype(np.int64)


def split(
    tiles: Sequence[Tile], counts: Sequence[NDArray[np.int64]], control: Control
) -> DatasetSplit:
    """Return the tiles with known pixels (by ``counts``, see `class_counts`) divided into parts.

    Where tiles of two parts overlap, the one that is less precious (training before validation
    before test) is left out.
    """
    known = [(tile, count) for tile, count in zip(tiles, counts, strict=True) if count.any()]
    side = int(np.clip(round((len(known) / BLOCKS) ** 0.5), 1, LONGEST_BLOCK))
    blocks: dict[tuple[int, int], NDArray[np.int64]] = {}
    for tile, count in known:
        block = (tile.row // side, tile.column // side)
        blocks[block] = blocks[block] + count if block in blocks else count
    part_of_block = _parts_of(blocks)
    if len(set(part_of_block.values())) < len(PARTS):
        control.warn(
            "The labelled area has too few tiles to be divided: all are for training. Use smaller "
            "tiles, or annotate more."
        )
    parts = [part_of_block[tile.row // side, tile.column // side] for tile, _ in known]
    kept = _without_overlaps([tile.window for tile, _ in known], parts)
    part_of = {
        (tile.row, tile.column): part
        for (tile, _), part, keep in zip(known, parts, kept, strict=True)
        if keep
    }
    return DatasetSplit(part_of, len(known) - len(part_of))


def _parts_of(blocks: dict[tuple[int, int], NDArray[np.int64]]) -> dict[tuple[int, int], str]:
    cells = [Cell(0, Window(row, column, 1, 1), count) for (row, column), count in blocks.items()]
    part_of = dict.fromkeys(blocks, PARTS[0])
    if len(cells) < len(PARTS):
        return part_of
    rng = np.random.default_rng(SEED)
    rest = 1.0
    for part in PARTS[:0:-1]:
        chosen = choose_cells(cells, SHARES[part] / rest, rng)
        rest -= SHARES[part]
        for cell in chosen:
            part_of[cell.window.row, cell.window.column] = part
        taken = {(cell.window.row, cell.window.column) for cell in chosen}
        cells = [cell for cell in cells if (cell.window.row, cell.window.column) not in taken]
    return part_of


def _without_overlaps(windows: Sequence[Window], parts: Sequence[str]) -> list[bool]:
    """Return which windows share no pixel with one of a more precious part."""
    boxes: Geometries = np.array([box(window) for window in windows], dtype=object)
    kept = [True] * len(windows)
    ranks = [PARTS.index(part) for part in parts]
    for one, other in shapely.STRtree(boxes).query(boxes, predicate="intersects").T.tolist():
        if ranks[one] < ranks[other] and windows[one].intersects(windows[other]):
            kept[one] = False
    return kept
