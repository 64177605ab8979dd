"""Which windows a network is run on: their size, halo and place. No I/O.

Two things were measured with a trained U-Net/ResNet-18 (`benchmarks/seams.py`). The answer hangs on
where a window begins, since encoders halve the picture five times: shifted by a number of pixels
that is no multiple of 32, about 1 % of the pixels are decided differently. So all windows begin on
one lattice of 32 px, counted from the raster's corner, whatever area is asked for. And what is cut
away at a window's border costs in proportion, so windows are large and fitted to the region.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import LATTICE_PX, Tile, Window
from deepseg_qgis.errors import ParameterError

OVERLAP_PX = 128
"""Neighbouring windows share so many pixels, found by `benchmarks/seams.py`."""
OVERLAP_SHARE = 4
"""Of a tile whose size was given, or of one that the network sees as a whole, one part in so many
is shared."""
SMALLEST_DEFAULT_TILE_PX = 512
SIDES_PX = (256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2304, 2560, 3072)
"""What is tried as the longest side of a window."""
LARGEST_SIDE_PX = 2048
"""An overlap without a tile size may be up to half of this."""
PIXELS_A_WINDOW_COSTS = 20_000
"""What starting a window takes, as pixels in the same time."""
MOST_CELLS = 4_000_000
"""An area is looked at in no more cells than that while windows are laid."""


@dataclass(frozen=True)
class Layout:
    """Windows over an area: all of one size; the cores partition the area's bounding box.

    ``tiles`` is the complete grid, row by row; ``wanted`` says of each whether its core touches the
    area.
    """

    height: int
    width: int
    tiles: tuple[Tile, ...]
    wanted: NDArray[np.bool_]

    @property
    def pixels(self) -> int:
        """How many pixels the network is run on at most."""
        return int(self.wanted.sum()) * self.height * self.width

    @property
    def wanted_alone(self) -> Layout:
        """The tiles that are wanted, without the rest of the grid."""
        tiles = tuple(itertools.compress(self.tiles, self.wanted))
        return Layout(self.height, self.width, tiles, np.ones(len(tiles), dtype=bool))

    def after(self, done: int) -> Layout:
        """Return what is left of it after the first tiles."""
        return Layout(self.height, self.width, self.tiles[done:], self.wanted[done:])


def check_tile_size(tile_size_px: int) -> None:
    """Check that networks can take tiles of this size.

    Raises:
        ParameterError: it is no multiple of 32 px.
    """
    if tile_size_px < LATTICE_PX or tile_size_px % LATTICE_PX:
        nearest = max(1, round(tile_size_px / LATTICE_PX)) * LATTICE_PX
        raise ParameterError(
            f"The tile size must be a multiple of {LATTICE_PX} px, got {tile_size_px}. Use "
            f"{nearest} px."
        )


def default_tile_size(training_tile_px: int) -> int:
    """Return the side of tiles for a network that sees the whole of one, or for validation."""
    return max(training_tile_px, SMALLEST_DEFAULT_TILE_PX)


def check_overlap(tile_size_px: int, overlap_px: int) -> None:
    """Check that an overlap goes with a tile size.

    Raises:
        ParameterError: it does not.
    """
    if not 0 <= 2 * overlap_px <= tile_size_px:
        raise ParameterError(
            f"The overlap must be from 0 to half of the tile size; got a tile size of "
            f"{tile_size_px} px and an overlap of {overlap_px} px."
        )


def square(raster: Window, area: Area, tile_size_px: int, overlap_px: int | None = None) -> Layout:
    """Return square windows over an area that share at least ``overlap_px`` (default: a quarter).

    Raises:
        ParameterError: size and overlap do not go together.
    """
    overlap = tile_size_px // OVERLAP_SHARE if overlap_px is None else overlap_px
    check_overlap(tile_size_px, overlap)
    region = area.window(raster)
    if region.height == 0 or region.width == 0:
        return Layout(tile_size_px, tile_size_px, (), np.zeros(0, dtype=bool))
    around = _with_context(region, raster, overlap)
    stride = max(LATTICE_PX, (tile_size_px - overlap) // LATTICE_PX * LATTICE_PX)
    rows = _Side(around.row, around.height, tile_size_px, stride)
    columns = _Side(around.column, around.width, tile_size_px, stride)
    return _layout(region, area, rows, columns)


def fitted(raster: Window, area: Area, most_window_px: int, overlap_px: int = OVERLAP_PX) -> Layout:
    """Return the windows that run the fewest pixels over an area, fitted to its bounding box.

    Windows have at most ``most_window_px`` pixels. Scattered areas get small ones.
    """
    region = area.window(raster)
    if region.height == 0 or region.width == 0:
        return Layout(LATTICE_PX, LATTICE_PX, (), np.zeros(0, dtype=bool))
    around = _with_context(region, raster, overlap_px)
    touched = _Touched(region, area)
    sides = [each for each in SIDES_PX if each >= 2 * overlap_px]
    most = max(most_window_px, min(sides) ** 2)
    possible = [
        (rows, columns)
        for rows in _along(around.row, around.height, sides, overlap_px)
        for columns in _along(around.column, around.width, sides, overlap_px)
        if rows.size * columns.size <= most
    ]

    def cost(grid: tuple[_Side, _Side]) -> int:
        rows, columns = grid
        ends = rows.ends(region.row, region.row_end), columns.ends(region.column, region.column_end)
        return touched.count(*ends) * (rows.size * columns.size + PIXELS_A_WINDOW_COSTS)

    return _layout(region, area, *min(possible, key=cost))


@dataclass(frozen=True)
class _Side:
    """Windows along one side: ``size`` long, ``stride`` apart, over ``length`` from ``start``."""

    start: int
    length: int
    size: int
    stride: int

    @property
    def starts(self) -> list[int]:
        """Where each window begins; the last one is moved back so that it sees the most."""
        count = max(1, -(-(self.length - self.size) // self.stride) + 1)
        last = max(0, -(-(self.length - self.size) // LATTICE_PX) * LATTICE_PX)
        return [self.start + min(i * self.stride, last) for i in range(count)]

    def ends(self, first: int, last: int) -> list[int]:
        """Return where each window's core ends: in the middle of what two share."""
        starts = self.starts
        middles = [
            (here + self.size + following) // 2 for here, following in itertools.pairwise(starts)
        ]
        return [min(max(each, first), last) for each in middles] + [last]


def _along(start: int, length: int, sides: list[int], overlap: int) -> list[_Side]:
    """Return the ways to lay windows of at most one of ``sides`` along one side, each once."""
    found = {}
    for longest in sides:
        count = max(1, -(-(length - overlap) // (longest - overlap)))
        size = -(-(length + (count - 1) * overlap) // (count * LATTICE_PX)) * LATTICE_PX
        size = max(size, min(sides))
        stride = max(LATTICE_PX, (size - overlap) // LATTICE_PX * LATTICE_PX)
        found[size] = _Side(start, length, size, stride)
    return list(found.values())


def _with_context(region: Window, raster: Window, overlap: int) -> Window:
    """Return the region with half an overlap around it, where there is raster, on the lattice."""
    around = region.grown(overlap // 2).intersection(raster)
    row, column = (each // LATTICE_PX * LATTICE_PX for each in (around.row, around.column))
    return Window(row, column, around.row_end - row, around.column_end - column)


def _layout(region: Window, area: Area, rows: _Side, columns: _Side) -> Layout:
    row_ends = rows.ends(region.row, region.row_end)
    column_ends = columns.ends(region.column, region.column_end)
    grid = []
    for i, (top, core_top, core_bottom) in enumerate(
        zip(rows.starts, [region.row, *row_ends[:-1]], row_ends, strict=True)
    ):
        for j, (left, core_left, core_right) in enumerate(
            zip(columns.starts, [region.column, *column_ends[:-1]], column_ends, strict=True)
        ):
            core = Window(core_top, core_left, core_bottom - core_top, core_right - core_left)
            grid.append(Tile(i, j, Window(top, left, rows.size, columns.size), core))
    cores = [tile.core for tile in grid]
    wanted = area.touched(cores) & np.array([core.height * core.width > 0 for core in cores])
    return Layout(rows.size, columns.size, tuple(grid), wanted)


class _Touched:
    """Counts the cores of a grid that touch an area, on a picture of it in coarse cells."""

    def __init__(self, region: Window, area: Area) -> None:
        self._region = region
        self._all = area.covers(region)
        if self._all:
            return
        self._cell = max(
            LATTICE_PX, math.ceil(math.sqrt(region.height * region.width / MOST_CELLS))
        )
        shape = (-(-region.height // self._cell), -(-region.width // self._cell))
        burnt = rasterize(
            [area.geometry],
            out_shape=shape,
            transform=Affine(self._cell, 0.0, region.column, 0.0, self._cell, region.row),
            all_touched=True,
            dtype=np.uint8,
        )
        self._sums = np.zeros((shape[0] + 1, shape[1] + 1), dtype=np.int64)
        self._sums[1:, 1:] = burnt.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)

    def count(self, row_ends: list[int], column_ends: list[int]) -> int:
        if self._all:
            return len(row_ends) * len(column_ends)
        top, bottom = self._cells([self._region.row, *row_ends], self._region.row)
        left, right = self._cells([self._region.column, *column_ends], self._region.column)
        sums = self._sums
        inside = (
            sums[np.ix_(bottom, right)]
            - sums[np.ix_(top, right)]
            - sums[np.ix_(bottom, left)]
            + sums[np.ix_(top, left)]
        )
        return int((inside > 0).sum())

    def _cells(self, ends: list[int], start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        places = np.array(ends, dtype=np.int64) - start
        return places[:-1] // self._cell, -(-places[1:] // self._cell)
