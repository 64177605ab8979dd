"""Windows and tiles on a pixel grid: whole numbers only, no I/O.

A tile has a *window* (what is read) and a *core* (what it answers for). The cores of a grid
partition the region: every pixel belongs to exactly one. Windows reach beyond their cores by the
overlap, and may stick out of the raster; whoever reads them pads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deepseg_qgis.bounds import GRID_TILE_SIZE_PX, OVERLAP_PX, TILE_SIZE_STEP_PX
from deepseg_qgis.errors import ParameterError

LATTICE_PX = TILE_SIZE_STEP_PX
"""Encoders halve the picture five times, so sides and places of windows are multiples of 2⁵."""


@dataclass(frozen=True, order=True)
class Window:
    """Rows ``row`` to ``row + height`` and columns ``column`` to ``column + width``, in pixels."""

    row: int
    column: int
    height: int
    width: int

    @property
    def row_end(self) -> int:
        """The first row below the window."""
        return self.row + self.height

    @property
    def column_end(self) -> int:
        """The first column right of the window."""
        return self.column + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """The window as an index into an array of the whole raster (..., rows, columns)."""
        return slice(self.row, self.row_end), slice(self.column, self.column_end)

    def within(self, outer: Window) -> tuple[slice, slice]:
        """Return the window as an index into an array that holds ``outer``."""
        row, column = self.row - outer.row, self.column - outer.column
        return slice(row, row + self.height), slice(column, column + self.width)

    def grown(self, margin: int) -> Window:
        """Return the window with ``margin`` pixels more on every side."""
        return Window(
            self.row - margin,
            self.column - margin,
            self.height + 2 * margin,
            self.width + 2 * margin,
        )

    def intersection(self, other: Window) -> Window:
        """Return the shared part; its height or width is 0 where there is none."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        height = max(0, min(self.row_end, other.row_end) - row)
        width = max(0, min(self.column_end, other.column_end) - column)
        return Window(row, column, height, width)

    def intersects(self, other: Window) -> bool:
        """Whether the two share at least one pixel."""
        shared = self.intersection(other)
        return shared.height > 0 and shared.width > 0


@dataclass(frozen=True)
class Tile:
    """One tile of a grid: its place in it, what is read, and what it answers for."""

    row: int
    column: int
    window: Window
    core: Window


def tiles(region: Window, tile_size: int, overlap: int) -> Iterator[Tile]:
    """Yield the tiles of a region, row by row, windows all of ``tile_size`` × ``tile_size`` px.

    Neighbouring windows share ``overlap`` pixels (a core ends in the middle of the shared strip).
    There are ``ceil((length - overlap) / (tile_size - overlap))`` tiles along a side: ceiling,
    since floor would leave the last rows and columns out. They are spread evenly, so that the last
    one sticks out of the region by less than a pixel per tile, or is wider than a small region.

    Raises:
        ParameterError: the overlap is not smaller than half the tile.
    """
    _check(tile_size, overlap)
    rows = _spans(region.row, region.height, tile_size, overlap)
    columns = _spans(region.column, region.width, tile_size, overlap)
    for i, (top, core_top, core_bottom) in enumerate(rows):
        for j, (left, core_left, core_right) in enumerate(columns):
            yield Tile(
                i,
                j,
                Window(top, left, tile_size, tile_size),
                Window(core_top, core_left, core_bottom - core_top, core_right - core_left),
            )


def side_by_side(region: Window, tile_size: int, overlap: int) -> Iterator[Tile]:
    """Yield the tiles of a region from its upper left corner on, sharing ``overlap`` px exactly.

    The last row and column may stick out of the region. Cores are the windows inside the region.

    Raises:
        ParameterError: the overlap is not smaller than half the tile.
    """
    _check(tile_size, overlap)
    step = tile_size - overlap
    for i in range(_count(region.height, tile_size, overlap)):
        for j in range(_count(region.width, tile_size, overlap)):
            window = Window(region.row + i * step, region.column + j * step, tile_size, tile_size)
            yield Tile(i, j, window, window.intersection(region))


def tile_count(region: Window, tile_size: int, overlap: int) -> int:
    """Return how many tiles `tiles` yields."""
    return _count(region.height, tile_size, overlap) * _count(region.width, tile_size, overlap)


def divided(region: Window, rows: int, columns: int, overlap: int) -> Iterator[Tile]:
    """Yield ``rows`` × ``columns`` tiles whose cores divide the region as evenly as pixels allow.

    Windows are the cores grown by half of the overlap and kept inside the region.

    Raises:
        ParameterError: there are more rows or columns than pixels.
    """
    if not (1 <= rows <= region.height and 1 <= columns <= region.width):
        raise ParameterError(
            f"Rows and columns must be from 1 to the raster's {region.height} × {region.width} px; "
            f"got {rows} rows and {columns} columns."
        )
    row_ends = [region.row + region.height * i // rows for i in range(rows + 1)]
    column_ends = [region.column + region.width * j // columns for j in range(columns + 1)]
    for i in range(rows):
        for j in range(columns):
            core = Window(
                row_ends[i],
                column_ends[j],
                row_ends[i + 1] - row_ends[i],
                column_ends[j + 1] - column_ends[j],
            )
            yield Tile(i, j, core.grown(overlap // 2).intersection(region), core)


def _check(tile_size: int, overlap: int) -> None:
    if tile_size not in GRID_TILE_SIZE_PX or overlap not in OVERLAP_PX or 2 * overlap > tile_size:
        raise ParameterError(
            f"The tile size must be at least 1 px and the overlap from 0 to half of it; got a tile "
            f"size of {tile_size} px and an overlap of {overlap} px."
        )


def _count(length: int, tile_size: int, overlap: int) -> int:
    return max(1, -(-(length - overlap) // (tile_size - overlap)))


def _spans(start: int, length: int, tile_size: int, overlap: int) -> list[tuple[int, int, int]]:
    """Return (window start, core start, core end) of each tile along one side."""
    count = _count(length, tile_size, overlap)
    slack = max(0, length - tile_size)
    starts = [start + (slack * i + count - 2) // max(1, count - 1) for i in range(count)]
    starts[0] = start
    ends = [
        (starts[i] + tile_size + starts[i + 1]) // 2 if i + 1 < count else start + length
        for i in range(count)
    ]
    return [
        (window, start if i == 0 else ends[i - 1], end)
        for i, (window, end) in enumerate(zip(starts, ends, strict=True))
    ]
