"""Known class fields of any size, made window by window, to feed the vectoriser's benchmark.

Each pixel is a function of its place alone, so a field is the same however it is cut, and nothing
larger than a window is ever held.

- ``parcels``: about 500 polygons per million pixels, of four categories, with blobby outlines; some
  touch, of the same category (then they are one) or of another.
- ``comb``: one polygon as large as the raster: a spine along the top with a tooth every 16 px.
- ``sheet``: one polygon with about a million holes, whatever the size.

`town` makes rows of houses that touch, with the heights that tell them apart.

    python benchmarks/class_fields.py            # polygons per Mpx and speed of each
"""

import math
import sys
import time
from collections.abc import Callable

import numba
import numpy as np

from deepseg_qgis.engine.geometry.tiling import Window

Field = Callable[[Window], tuple[np.ndarray, np.ndarray]]
"""Takes a window and gives classes and probabilities (in 1/255), both (rows, columns) uint8."""

KINDS = ("parcels", "comb", "sheet")
CELL = 42
"""A cell of the parcels' lattice in px; about 0.88 of them hold one: 500 a million pixels."""
SHARE = 0.88
TOOTH = 16
HOLES = 1_000_000
SMALLEST_CELL = 4
PLOT = 80
"""A plot of the town in px; 0.83 of them hold a house: 130 a million pixels, with 45 % cover."""
BUILT = 0.83
NOISE = 4
"""Heights waver by a lattice of so many px, as those of a network do."""


def field(kind: str, width: int, height: int) -> Field:
    """Return the field of a kind on a raster of ``width`` × ``height`` px."""
    if kind == "parcels":
        return lambda window: _made(_parcels, window, CELL)
    if kind == "comb":
        return lambda window: _made(_comb, window, TOOTH)
    cell = max(SMALLEST_CELL, math.floor(math.sqrt(width * height / HOLES)))
    return lambda window: _made(_sheet, window, cell)


def town(window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return classes, probabilities and heights of a window, all (rows, columns) uint8.

    Houses of one class stand in rows, wall to wall but for the plots left empty. Heights grow from
    0 at the walls to the full in a house's middle, and waver.
    """
    classes = np.zeros((window.height, window.width), dtype=np.uint8)
    probabilities, heights = np.zeros_like(classes), np.zeros_like(classes)
    _town(classes, probabilities, heights, window.row, window.column)
    return classes, probabilities, heights


def _made(make: Callable[..., None], window: Window, cell: int) -> tuple[np.ndarray, np.ndarray]:
    classes = np.zeros((window.height, window.width), dtype=np.uint8)
    probabilities = np.zeros_like(classes)
    make(classes, probabilities, window.row, window.column, cell)
    return classes, probabilities


@numba.njit(cache=True, nogil=True)
def _mixed(a: int, b: int, salt: int) -> int:
    """Return 32 bits that look random, of two whole numbers (the finaliser of MurmurHash3)."""
    h = (a * 73856093) ^ (b * 19349663) ^ (salt * 83492791)
    h &= 0xFFFFFFFF
    h ^= h >> 16
    h = (h * 0x85EBCA6B) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * 0xC2B2AE35) & 0xFFFFFFFF
    return h ^ (h >> 16)


@numba.njit(cache=True, nogil=True)
def _parcels(classes, probabilities, top, left, cell) -> None:
    """Draw a blob into every cell that has one: a radius that waves around a shifted middle.

    A blob may reach into its neighbours' cells by half a cell; the later cell lies on top.
    """
    rows, columns = classes.shape
    for i in range((top - cell) // cell, (top + rows + cell) // cell + 1):
        for j in range((left - cell) // cell, (left + columns + cell) // cell + 1):
            if _mixed(i, j, 1) / 2**32 > SHARE:
                continue
            y = (i + 0.3 + 0.4 * _mixed(i, j, 2) / 2**32) * cell
            x = (j + 0.3 + 0.4 * _mixed(i, j, 3) / 2**32) * cell
            radius = (0.22 + 0.2 * _mixed(i, j, 4) / 2**32) * cell
            wave = 0.22 * _mixed(i, j, 5) / 2**32
            lobes = 2 + _mixed(i, j, 6) % 4
            turn = _mixed(i, j, 7) / 2**32 * 2.0 * math.pi
            kind = 1 + _mixed(i, j, 8) % 4
            reach = int(radius * (1.0 + wave)) + 1
            for row in range(max(int(y) - reach, top), min(int(y) + reach + 2, top + rows)):
                for column in range(
                    max(int(x) - reach, left), min(int(x) + reach + 2, left + columns)
                ):
                    dy, dx = row + 0.5 - y, column + 0.5 - x
                    square = dx * dx + dy * dy
                    inside = radius * (1.0 - wave)
                    if square > inside * inside:
                        if square > (radius * (1.0 + wave)) ** 2:
                            continue
                        edge = radius * (1.0 + wave * math.cos(lobes * math.atan2(dy, dx) + turn))
                        if square > edge * edge:
                            continue
                    classes[row - top, column - left] = kind
                    probabilities[row - top, column - left] = 128 + ((row * 7 + column * 13) & 127)


@numba.njit(cache=True, nogil=True)
def _comb(classes, probabilities, top, left, cell) -> None:
    """Draw the spine of four rows, and teeth as wide as the gaps that end at ragged lengths."""
    rows, columns = classes.shape
    for row in range(rows):
        for column in range(columns):
            x = (left + column) % cell
            # a tooth's flank waves a little, so that its outline has vertices everywhere
            width = cell // 2 + ((top + row) // 8) % 2
            if top + row < 4 or x < width:
                classes[row, column] = 1
                probabilities[row, column] = 128 + ((top + row + left + column) & 127)


@numba.njit(cache=True, nogil=True)
def _sheet(classes, probabilities, top, left, cell) -> None:
    """Draw a sheet with a hole in every cell, of up to half its side; some notch its last rows."""
    rows, columns = classes.shape
    most = max(1, cell // 2)
    for row in range(rows):
        i, y = (top + row) // cell, (top + row) % cell
        j = -1
        size = 0
        for column in range(columns):
            if (left + column) // cell != j:
                j = (left + column) // cell
                size = 1 + _mixed(i, j, 1) % most
            x = (left + column) % cell
            hole = 1 <= y <= size and 1 <= x <= size
            if not hole:
                classes[row, column] = 1
                probabilities[row, column] = 128 + ((top + row + left + column) & 127)


@numba.njit(cache=True, nogil=True)
def _wall(i: int, j: int) -> int:
    """Return the column of the wall between two plots of a row."""
    return j * PLOT + _mixed(i, j, 1) % (PLOT // 4)


@numba.njit(cache=True, nogil=True)
def _wavering(row: int, column: int) -> float:
    """Return a number from −1 to 1 that changes smoothly with the place, and a little roughly."""
    i, j = row // NOISE, column // NOISE
    y, x = (row % NOISE) / NOISE, (column % NOISE) / NOISE
    upper = _mixed(i, j, 5) * (1.0 - x) + _mixed(i, j + 1, 5) * x
    lower = _mixed(i + 1, j, 5) * (1.0 - x) + _mixed(i + 1, j + 1, 5) * x
    smooth = (upper * (1.0 - y) + lower * y) / 2**31 - 1.0
    return 0.9 * smooth + 0.1 * (_mixed(row, column, 6) / 2**31 - 1.0)


@numba.njit(cache=True, nogil=True)
def _town(classes, probabilities, heights, top, left) -> None:
    """Draw the houses: each from wall to wall of its plot, some shallow and some deep."""
    rows, columns = classes.shape
    for i in range(top // PLOT, (top + rows - 1) // PLOT + 1):
        for j in range(left // PLOT - 1, (left + columns - 1) // PLOT + 1):
            if _mixed(i, j, 2) / 2**32 > BUILT:
                continue
            first, last = _wall(i, j), _wall(i, j + 1) - 1
            front = i * PLOT + 8 + _mixed(i, j, 3) % 12
            back = front + 36 + _mixed(i, j, 4) % 16
            for row in range(max(front, top), min(back + 1, top + rows)):
                for column in range(max(first, left), min(last + 1, left + columns)):
                    inside = min(row - front, back - row, column - first, last - column)
                    height = 255.0 * min(1.0, (inside + 0.5) / 20.0) + 12.0 * _wavering(row, column)
                    classes[row - top, column - left] = 1
                    heights[row - top, column - left] = max(1.0, min(255.0, height))
                    probabilities[row - top, column - left] = 128 + ((row * 7 + column * 13) & 127)


def main() -> None:
    """Print how dense and how fast to make each field is."""
    from rasterio.features import shapes

    side = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    for kind in KINDS:
        made = field(kind, side, side)
        made(Window(0, 0, 64, 64))  # compiles
        start = time.perf_counter()
        for row in range(0, side, 1024):
            for column in range(0, side, 1024):
                made(Window(row, column, min(1024, side - row), min(1024, side - column)))
        seconds = time.perf_counter() - start
        size = min(side, 2048)
        classes, _ = made(Window(0, 0, size, size))
        found = [len(each["coordinates"]) for each, _ in shapes(classes, classes > 0)]
        millions = size * size / 1e6
        print(
            f"{kind}: {side * side / 1e6 / seconds:.0f} Mpx/s; a million pixels hold "
            f"{len(found) / millions:.0f} polygons with {sum(found) / millions:.0f} rings"
        )


if __name__ == "__main__":
    main()
