"""Borders between blocks: which clusters lie along them, on both sides. No I/O."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.vectorising.blocks import Pixels

Line = NDArray[np.int32]


class Border(NamedTuple):
    """One side of a block, and what lies across.

    ``here`` (n,) and ``across`` (n + 2,) int32 are clusters, −1 where there is none or it is not
    known; ``across`` begins and ends one pixel farther. Classes (0 where there is nothing to split)
    and heights likewise, uint8. ``row`` and ``column`` are of the first pixel of ``here``, from the
    region's; ``downwards`` is whether the side is the left one, else it is the upper.
    """

    here: Line
    across: Line
    kinds_here: Pixels
    kinds_across: Pixels
    heights_here: Pixels
    heights_across: Pixels
    row: int
    column: int
    downwards: bool


class Borders:
    """Remembers the clusters along the sides of blocks, which come row by row of a grid.

    Memory: 8 bytes for each column of the region.
    """

    def __init__(self, width: int) -> None:
        # along the lower sides of the last row of blocks and of this one, one pixel more each way
        self._above = np.full(width + 2, -1, dtype=np.int32)
        self._next_above = self._above.copy()
        self._left = np.empty(0, dtype=np.int32)

    @property
    def lines(self) -> tuple[Line, Line, Line]:
        """All that is remembered; numbers in it may be changed."""
        return self._above, self._next_above, self._left

    def of(
        self, counted: Pixels, heights: Pixels, labels: Line, first: int, at: tuple[int, int]
    ) -> tuple[Border, Border]:
        """Return the upper and the left side of the next block, and remember the other two.

        Args:
            counted: (rows + 2, columns + 2), classes with one pixel around.
            heights: the same shape.
            labels: the same shape, clusters of the block from 0; −1 where there is none.
            first: the number of its cluster 0 among all.
            at: the block's first row and column, from the region's.
        """
        column, inner = at[1], labels[1:-1, 1:-1]
        rows, columns = inner.shape
        upper, lower = _numbers(inner[0], first), _numbers(inner[-1], first)
        before, last = _numbers(inner[:, 0], first), _numbers(inner[:, -1], first)
        if column == 0:
            self._above, self._next_above = self._next_above, self._above
            self._left = np.full(rows, -1, dtype=np.int32)
        above = self._above[column : column + columns + 2].copy()
        left = np.pad(self._left, 1, constant_values=-1)
        self._next_above[column + 1 : column + 1 + columns] = lower
        self._left = last
        sides = counted[:, :2].T, heights[:, :2].T
        return (
            _border(upper, above, counted[:2], heights[:2], at, False),
            _border(before, left, *sides, at, True),
        )


def _numbers(labels: Line, first: int) -> Line:
    return np.where(labels >= 0, labels + np.int32(first), np.int32(-1))


def _border(
    here: Line,
    across: Line,
    kinds: Pixels,
    heights: Pixels,
    at: tuple[int, int],
    downwards: bool,
) -> Border:
    """Return a border of two lines of classes and heights, (2, n + 2), across and here."""
    # copies, since numba compiles again for lines with gaps
    return Border(
        here,
        across,
        kinds[1, 1:-1].copy(),
        kinds[0].copy(),
        heights[1, 1:-1].copy(),
        heights[0].copy(),
        *at,
        downwards,
    )
