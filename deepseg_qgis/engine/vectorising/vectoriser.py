"""Class maps in, block by block; finished objects out, exact whatever the blocks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays, joined_arrays
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising.blocks import Block, Blocks, in_cells, with_cells
from deepseg_qgis.engine.vectorising.frontier import Finished, Frontier, Piece, Sides, new_pieces
from deepseg_qgis.engine.vectorising.labelling import Pieces, Runs, labelled
from deepseg_qgis.engine.vectorising.loops import ragged
from deepseg_qgis.engine.vectorising.objects import (
    Components,
    Measured,
    Outlines,
    Shaping,
    polygons,
)
from deepseg_qgis.engine.vectorising.spool import MOST_BYTES, Chunk, Spool
from deepseg_qgis.engine.vectorising.styling import reach_of
from deepseg_qgis.engine.vectorising.tracing import Fragments, Frame, traced
from deepseg_qgis.engine.vectorising.vertices import LATTICE, LONGEST_SIDE_PX, SEAM
from deepseg_qgis.errors import DeepSegError, RasterError


@dataclass(frozen=True)
class Limits:
    """When an object is cut: into cells of the lattice, beyond so many vertices.

    ``spool_bytes`` is what unfinished outlines may hold in memory.
    """

    cell_px: int = 8192
    most_vertices: int = 1_000_000
    spool_bytes: int = MOST_BYTES


class Vectoriser:
    """Finds the objects of a region, whose cores come row by row of a complete grid.

    A context manager, since much that waits may lie in a temporary file. Not safe to use from
    several threads at once; its heavy parts let other threads run.

    Memory: about 30 bytes for each pixel of a core (38 where outlines move by 2 px or more), and 8
    for each vertex of unfinished objects, up to a bound.

    Raises:
        RasterError: the region is longer or wider than 134 million pixels.
    """

    def __init__(self, region: Window, shaping: Shaping, limits: Limits | None = None) -> None:
        if max(region.row_end, region.column_end) >= LONGEST_SIDE_PX:
            raise RasterError(
                f"The raster is {region.row_end:,} × {region.column_end:,} pixels; up to "
                f"{LONGEST_SIDE_PX:,} to a side can be predicted. Cut it in two."
            )
        self._limits = limits or Limits()
        self._shaping = shaping
        self._clearances = reach_of(shaping.outlines, shaping.simplify_px)
        self._region = region
        self._blocks = Blocks(region, max(1, self._clearances))
        self._frontier = Frontier(region, self._limits.most_vertices)
        self._spool = Spool(self._limits.spool_bytes)
        self._pixels = np.zeros(
            256, dtype=np.int64
        )  # of each class, less those of finished objects

    @property
    def cut_objects(self) -> int:
        """How many objects were so large that they were cut along the lattice."""
        return self._frontier.cut_objects

    def check_complete(self) -> None:
        """Check, after the last core, that every pixel of every class is in an object.

        Raises:
            DeepSegError: it is not, which would be a fault of this package.
        """
        if self._pixels.any():
            raise DeepSegError(
                "Some of the pixels found are in no polygon. This is a fault of DeepSeg's: please "
                "report it with the raster and the model."
            )

    @property
    def held_bytes(self) -> int:
        """What the outlines of unfinished objects take in memory."""
        return self._spool.held_bytes

    @property
    def spilled_bytes(self) -> int:
        """How much was moved into a temporary file, so far."""
        return self._spool.spilled_bytes

    def add(
        self,
        core: Window,
        classes: NDArray[np.uint8] | None,
        probabilities: NDArray[np.uint8] | None,
    ) -> Components:
        """Take the next core; return the objects that are complete now.

        Args:
            core: the next of the grid, row by row.
            classes: (rows, columns), 0 for background; None where all is.
            probabilities: (rows, columns), of each pixel's class, in 1/255.
        """
        block = self._blocks.block(core, classes, probabilities)
        found = [self._taken(part) for part in in_cells(block, self._limits.cell_px)]
        return joined_components(found)

    def __enter__(self) -> Vectoriser:
        return self

    def __exit__(self, *_error: object) -> None:
        self._spool.close()

    def _taken(self, block: Block) -> Components:
        """Return what a block that lies in one cell completes."""
        window, halo = block.window, block.halo
        values = with_cells(block, self._limits.cell_px)
        frame = Frame(values.shape[1], halo, window.height, window.width, window.row, window.column)
        inner = np.ascontiguousarray(block.classes[halo:-halo, halo:-halo])
        runs, found = labelled(inner, np.ascontiguousarray(block.probabilities))
        sides = _sides(block, runs, self._limits.cell_px)
        fragments = traced(values.ravel(), runs, frame, self._clearances)
        border = self._frontier.border(window, sides, len(found.classes))
        pieces = new_pieces(found, np.flatnonzero(border), window)
        self._keep(fragments, border, pieces)
        finished = self._frontier.take(window, sides, pieces)
        inside = _inner(fragments, found, ~border, window)
        outlines, measured = _with_finished(*inside, finished)
        self._count(found.classes, found.sizes, 1)
        self._count(measured.classes, measured.sizes, -1)
        return polygons(outlines, measured, self._shaping)

    def _count(self, classes: NDArray[np.uint8], sizes: NDArray[np.int64], sign: int) -> None:
        self._pixels += sign * np.bincount(classes, sizes, 256).astype(np.int64)

    def _keep(
        self, fragments: Fragments, border: NDArray[np.bool_], pieces: dict[int, Piece]
    ) -> None:
        """Give border pieces their parts of the outlines."""
        which = np.flatnonzero(border[fragments.pieces])
        which = which[np.argsort(fragments.pieces[which], kind="stable")]
        lengths = np.diff(fragments.offsets)[which]
        vertices, offsets = ragged(fragments.vertices, fragments.offsets, which)
        signed = np.where(fragments.closed[which], lengths, -lengths).astype(np.int32)
        owners = fragments.pieces[which]
        bounds = np.append(np.flatnonzero(np.diff(owners, prepend=-1)), len(owners)).tolist()
        for start, stop in itertools.pairwise(bounds):
            piece = pieces[int(owners[start])]
            mine = vertices[offsets[start] : offsets[stop]].copy()
            signs = signed[start:stop].copy()
            piece.vertices = int(((mine & (SEAM | LATTICE)) == 0).sum() - (signs < 0).sum())
            piece.chunks.append(Chunk(mine, signs, self._spool))


def _no_objects() -> Components:
    whole = np.empty(0, dtype=np.int64)
    none = PolygonArrays(np.empty((0, 2)), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    return Components(none, np.empty(0, dtype=np.uint8), whole, np.empty(0), whole, whole)


NONE = _no_objects()


def components(
    classes: NDArray[np.uint8], probabilities: NDArray[np.uint8], region: Window
) -> Components:
    """Return the objects of a class map that is at hand as a whole, exact, by first pixel.

    Args:
        classes: (rows, columns), 0 for background.
        probabilities: (rows, columns), of each pixel's class, in 1/255.
        region: where the map lies on the raster.
    """
    with Vectoriser(region, Shaping()) as vectoriser:
        found = vectoriser.add(region, classes, probabilities)
        vectoriser.check_complete()
    return found.chosen(np.lexsort((found.first_columns, found.first_rows)))


def joined_components(found: list[Components]) -> Components:
    """Return the objects of all parts together."""
    if len(found) == 1:
        return found[0]
    if not found:
        return NONE
    exact = [each.exact for each in found if each.exact is not None]
    return Components(
        joined_arrays([each.polygons for each in found]),
        np.concatenate([each.classes for each in found]),
        np.concatenate([each.sizes_px for each in found]),
        np.concatenate([each.scores for each in found]),
        np.concatenate([each.first_rows for each in found]),
        np.concatenate([each.first_columns for each in found]),
        joined_arrays(exact) if len(exact) == len(found) else None,
    )


def _sides(block: Block, runs: Runs, cell_px: int) -> Sides:
    window, halo, classes = block.window, block.halo, block.classes
    above, here = classes[halo - 1, halo:-halo], classes[halo, halo:-halo]
    left, first = classes[halo:-halo, halo - 1], classes[halo:-halo, halo]
    top, bottom, before, after = _lines(runs, window.width)
    return Sides(
        top,
        bottom,
        before,
        after,
        same_above=(above == here) & (here > 0),
        same_left=(left == first) & (first > 0),
        lattice_above=window.row % cell_px == 0,
        lattice_left=window.column % cell_px == 0,
    )


@njit(cache=True, nogil=True)
def _lines(runs, width):
    """Return the pieces along top, bottom, left and right; -1 where there is none."""
    height = len(runs.rows) - 1
    top = np.full(width, -1, dtype=np.int32)
    bottom = np.full(width, -1, dtype=np.int32)
    left = np.full(height, -1, dtype=np.int32)
    right = np.full(height, -1, dtype=np.int32)
    for k in range(runs.rows[0], runs.rows[1]):
        top[runs.starts[k] : runs.ends[k]] = runs.pieces[k]
    for k in range(runs.rows[height - 1], runs.rows[height]):
        bottom[runs.starts[k] : runs.ends[k]] = runs.pieces[k]
    for i in range(height):
        low, high = runs.rows[i], runs.rows[i + 1]
        if low < high:
            if runs.starts[low] == 0:
                left[i] = runs.pieces[low]
            if runs.ends[high - 1] == width:
                right[i] = runs.pieces[high - 1]
    return top, bottom, left, right


def _inner(
    fragments: Fragments, found: Pieces, inner: NDArray[np.bool_], window: Window
) -> tuple[Outlines, Measured]:
    """Return the objects that no other block has a part of."""
    numbers = np.cumsum(inner) - 1
    which = np.flatnonzero(inner[fragments.pieces])
    vertices, offsets = ragged(fragments.vertices, fragments.offsets, which)
    outlines = Outlines(
        vertices,
        offsets,
        numbers[fragments.pieces[which]],
        fragments.closed[which],
        np.zeros(int(inner.sum()), dtype=bool),
    )
    return outlines, Measured(
        found.classes[inner],
        found.sizes[inner],
        found.sums[inner],
        found.first_rows[inner] + window.row,
        found.first_columns[inner] + window.column,
    )


def _with_finished(
    outlines: Outlines, measured: Measured, finished: Finished
) -> tuple[Outlines, Measured]:
    """Return objects of one block together with those that ended in it."""
    if not finished.objects:
        return outlines, measured
    vertices, lengths, owners = [outlines.vertices], [np.diff(outlines.offsets)], [outlines.owners]
    count = len(measured.classes)
    for number, pieces in enumerate(finished.objects):
        for chunk in (chunk for piece in pieces for chunk in piece.chunks):
            vertices.append(chunk.vertices())
            lengths.append(chunk.lengths)
            owners.append(np.full(len(chunk.lengths), count + number))
    signed = np.concatenate(lengths)
    closed = signed > 0
    closed[: len(outlines.closed)] = outlines.closed
    joined = Outlines(
        np.concatenate(vertices),
        np.concatenate([[0], np.cumsum(np.abs(signed))]),
        np.concatenate(owners),
        closed,
        np.concatenate([outlines.whole, np.array(finished.whole, dtype=bool)]),
    )
    rows = [
        (
            pieces[0].category,
            sum(piece.size for piece in pieces),
            sum(piece.sum for piece in pieces),
            *min(piece.first for piece in pieces),
        )
        for pieces in finished.objects
    ]
    added = np.array(rows, dtype=np.int64).T
    return joined, Measured(
        np.concatenate([measured.classes, added[0].astype(np.uint8)]),
        np.concatenate([measured.sizes, added[1]]),
        np.concatenate([measured.sums, added[2]]),
        np.concatenate([measured.first_rows, added[3]]),
        np.concatenate([measured.first_columns, added[4]]),
    )
