"""Pieces: pixels of a block from which the way up leads to one peak, or out of it at one place.

Every pixel steps to the greatest among itself and its 4-neighbours of the same class, in the order
of `ordering`; no two pixels are equal in it, so every way ends. No I/O.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.instances.ordering import pixel_rank

UP, LEFT, STAY, RIGHTWARD, DOWNWARD = range(5)
"""Steps, in the order of the pixels they lead to where heights are equal."""
NO_STEP = 5


class Pieces(NamedTuple):
    """The pieces of a block, numbered from 0.

    ``labels`` (rows + 2, columns + 2) int32 is each pixel's piece, −1 where there is none and all
    around the block. For each piece: ``ranks`` (int64) is the order (`ordering.pixel_rank`) of the
    peak; where the way leads out, that of the first pixel outside: the peak comes no earlier.
    ``categories`` (uint8) is its class.
    """

    labels: NDArray[np.int32]
    ranks: NDArray[np.int64]
    categories: NDArray[np.uint8]


@njit(cache=True, nogil=True)
def pieces(counted, heights, row, column):
    """Return the pieces of a block.

    Args:
        counted: (rows + 2, columns + 2) uint8, classes with one pixel of the surroundings on every
            side; 0 where there is nothing to split.
        heights: the same shape, uint8.
        row: the block's first, from the region's.
        column: the block's first, from the region's.
    """
    steps = _steps(counted, heights)
    labels = np.full(counted.shape, -1, dtype=np.int32)
    width = counted.shape[1]
    moves = np.array([-width, -1, 0, 1, width])
    ranks = np.empty(1024, dtype=np.int64)
    categories = np.empty(1024, dtype=np.uint8)
    count = 0
    flat, ways, high, kinds = labels.ravel(), steps.ravel(), heights.ravel(), counted.ravel()
    for i in range(1, counted.shape[0] - 1):
        for start in range(i * width + 1, (i + 1) * width - 1):
            if ways[start] == NO_STEP or flat[start] >= 0:
                continue
            at = start
            while flat[at] < 0 and ways[at] < NO_STEP and ways[at] != STAY:
                at += moves[ways[at]]
            piece = flat[at]
            if piece < 0:
                piece = count
                if count == len(ranks):
                    ranks = np.append(ranks, np.empty(count, dtype=np.int64))
                    categories = np.append(categories, np.empty(count, dtype=np.uint8))
                ranks[count] = pixel_rank(
                    np.int64(high[at]), row + at // width - 1, column + at % width - 1
                )
                categories[count] = kinds[start]
                count += 1
            _mark(flat, ways, moves, start, piece)
    return Pieces(labels, ranks[:count].copy(), categories[:count].copy())


@njit(cache=True, nogil=True)
def _mark(labels, steps, moves, start, piece):
    """Mark the way from a pixel with its piece, as far as that is new."""
    at = start
    while labels[at] < 0 and steps[at] < NO_STEP:
        labels[at] = piece
        at += moves[steps[at]]


@njit(cache=True, nogil=True)
def _steps(counted, heights):
    """Return each pixel's step; `NO_STEP` where there is nothing to split and around the block.

    Height and step are packed into one number, so that the inner loop has no branches.
    """
    steps = np.full(counted.shape, NO_STEP, dtype=np.uint8)
    for i in range(1, counted.shape[0] - 1):
        for j in range(1, counted.shape[1] - 1):
            here = counted[i, j]
            best = (np.int32(heights[i, j]) << 3) | STAY
            up = (np.int32(heights[i - 1, j]) << 3) | UP
            left = (np.int32(heights[i, j - 1]) << 3) | LEFT
            right = (np.int32(heights[i, j + 1]) << 3) | RIGHTWARD
            down = (np.int32(heights[i + 1, j]) << 3) | DOWNWARD
            best = max(best, up if counted[i - 1, j] == here else np.int32(0))
            best = max(best, left if counted[i, j - 1] == here else np.int32(0))
            best = max(best, right if counted[i, j + 1] == here else np.int32(0))
            best = max(best, down if counted[i + 1, j] == here else np.int32(0))
            steps[i, j] = (best & 7) if here else NO_STEP
    return steps
