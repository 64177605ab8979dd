"""Blocks with everything around them that outlines must see, from decided cores. No I/O.

Outlines look a few pixels past a block's border (the halo), also to the right and below, where the
classes are not decided yet. So blocks lag behind: each is its core moved up and left by the halo.
Memory: one core, and strips of two halos along its left side and above, over the whole width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.tiling import Window

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Block:
    """Classes and probabilities (uint8) of a window on the raster.

    ``classes`` has ``halo`` pixels more than the window on every side, ``probabilities`` has not;
    beyond the region all is 0.
    """

    window: Window
    halo: int
    classes: Pixels
    probabilities: Pixels

    def within(self, part: Window) -> Block:
        """Return a part of the block as a block."""
        rows, columns = part.within(self.window)
        halo = self.halo
        return Block(
            part,
            halo,
            self.classes[
                rows.start : rows.stop + 2 * halo, columns.start : columns.stop + 2 * halo
            ],
            self.probabilities[rows, columns],
        )


class HaloBuffer:
    """Turns cores of some planes into windows that lag by the halo, with the halo around them.

    Cores are given row by row of a complete grid over a region; so come the windows, some of which
    may be empty.
    """

    def __init__(self, region: Window, halo: int, planes: int) -> None:
        self._region, self._halo, self._planes = region, halo, planes
        self._strip = 2 * halo
        shape = (planes, self._strip, region.width + self._strip)
        self._above = np.zeros(shape, dtype=np.uint8)
        self._next_above = np.zeros(shape, dtype=np.uint8)
        self._left = np.zeros((planes, 0, self._strip), dtype=np.uint8)

    def window(self, core: Window, planes: Sequence[Pixels | None]) -> tuple[Window, Pixels]:
        """Return the window that the next core completes; planes that are None or missing are 0.

        Its pixels are (planes, rows + 2 halo, columns + 2 halo); beyond the region all is 0.
        """
        region, halo, strip = self._region, self._halo, self._strip
        at = core.column - region.column
        if at == 0:
            self._left = np.zeros((self._planes, core.height, strip), dtype=np.uint8)
            if core.row > region.row:
                self._above, self._next_above = self._next_above, self._above
        last_row, last_column = core.row_end == region.row_end, core.column_end == region.column_end
        below, right = (halo if last_row else 0), (halo if last_column else 0)
        known = np.zeros(
            (self._planes, strip + core.height + below, strip + core.width + right), dtype=np.uint8
        )
        known[:, :strip, : strip + core.width] = self._above[:, :, at : at + strip + core.width]
        known[:, strip : strip + core.height, :strip] = self._left
        for number, plane in enumerate(planes):
            if plane is None:
                continue
            known[number, strip : strip + core.height, strip : strip + core.width] = plane
        bottom = strip + core.height
        self._next_above[:, :, at + strip : at + strip + core.width] = known[
            :, bottom - strip : bottom, strip : strip + core.width
        ]
        if last_column:
            self._next_above[:, :, :strip] = 0
        self._left = known[:, strip:bottom, core.width : core.width + strip].copy()
        return self._cut(core, known, last_row, last_column)

    def _cut(
        self, core: Window, known: Pixels, last_row: bool, last_column: bool
    ) -> tuple[Window, Pixels]:
        region, halo = self._region, self._halo
        top = max(region.row, core.row - halo)
        left = max(region.column, core.column - halo)
        bottom = core.row_end if last_row else max(region.row, core.row_end - halo)
        right = core.column_end if last_column else max(region.column, core.column_end - halo)
        window = Window(top, left, bottom - top, right - left)
        # `known` begins two halos above and left of the core
        row, column = top - core.row + halo, left - core.column + halo
        return window, known[
            :, row : row + window.height + 2 * halo, column : column + window.width + 2 * halo
        ]


class Blocks:
    """Turns cores, given row by row of a complete grid over a region, into blocks."""

    def __init__(self, region: Window, halo: int) -> None:
        self._halo = halo
        self._buffer = HaloBuffer(region, halo, 2)

    def block(self, core: Window, classes: Pixels | None, probabilities: Pixels | None) -> Block:
        """Return the block that the next core completes; without classes all of it is 0."""
        empty = classes is None or probabilities is None
        window, known = self._buffer.window(core, () if empty else (classes, probabilities))
        halo = self._halo
        return Block(window, halo, known[0], known[1, halo:-halo, halo:-halo])


def cells_of(block: Block, cell_px: int) -> Iterator[Block]:
    """Yield the parts of a block between the lines of a fixed lattice, row by row.

    The lattice's lines are the rows and columns that ``cell_px`` divides.
    """
    for top, bottom in _stretches(block.window.row, block.window.row_end, cell_px):
        for left, right in _stretches(block.window.column, block.window.column_end, cell_px):
            yield block.within(Window(top, left, bottom - top, right - left))


def with_cells(block: Block, cell_px: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the classes of a block and its halo, those of other cells of the lattice told apart.

    The cell stands in the upper byte of uint16; where all lies in one cell, uint8 will do.
    """
    window, halo = block.window, block.halo
    rows = np.arange(window.row - halo, window.row_end + halo) // cell_px
    columns = np.arange(window.column - halo, window.column_end + halo) // cell_px
    if rows[0] == rows[-1] and columns[0] == columns[-1]:
        return np.ascontiguousarray(block.classes)
    cells = (rows[:, None] % 4 * 4 + columns[None, :] % 4).astype(np.uint16)
    return np.where(block.classes > 0, block.classes | (cells << 8), np.uint16(0))


def _stretches(start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(end, (start // length + 1) * length)
        yield start, stop
        start = stop
