"""Basins of a block: pixels from which the way up leads to one peak, or out at one place.

Every pixel steps to the greatest among itself and its 4-neighbours of the same class, in the order
of `ordering`; no two pixels are equal in it, so every way ends. No I/O.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.instances.ordering import pixel_rank
from deepseg_qgis.engine.kernels import Ints, kernel
from deepseg_qgis.engine.vectorising.blocks import Pixels


class Step(IntEnum):
    """Where the way up leads, in the order of pixels where heights are equal."""

    UP = 0
    LEFT = 1
    STAY = 2
    RIGHT = 3
    DOWN = 4
    NONE = 5


class Basins(NamedTuple):
    """The basins of a block, numbered from 0.

    ``labels`` (rows + 2, columns + 2) int32 is each pixel's basin, −1 where there is none and all
    around the block. For each basin: ``ranks`` (int64) is the order (`ordering.pixel_rank`) of the
    peak; where the way leads out, that of the first pixel outside: the peak comes no earlier.
    ``categories`` (uint8) is its class.
    """

    labels: NDArray[np.int32]
    ranks: NDArray[np.int64]
    categories: NDArray[np.uint8]


@kernel
def basins(counted: Pixels, heights: Pixels, row: int, column: int) -> Basins:
    """Return the basins of a block.

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
            if ways[start] == Step.NONE or flat[start] >= 0:
                continue
            at = start
            while flat[at] < 0 and ways[at] < Step.NONE and ways[at] != Step.STAY:
                at += moves[ways[at]]
            basin = flat[at]
            if basin < 0:
                basin = count
                if count == len(ranks):
                    ranks = np.append(ranks, np.empty(count, dtype=np.int64))
                    categories = np.append(categories, np.empty(count, dtype=np.uint8))
                ranks[count] = pixel_rank(
                    np.int64(high[at]), row + at // width - 1, column + at % width - 1
                )
                categories[count] = kinds[start]
                count += 1
            _mark(flat, ways, moves, start, basin)
    return Basins(labels, ranks[:count].copy(), categories[:count].copy())


@kernel
def _mark(labels: NDArray[np.int32], steps: Pixels, moves: Ints, start: int, basin: int) -> None:
    """Mark the way from a pixel with its basin, as far as that is new."""
    at = start
    while labels[at] < 0 and steps[at] < Step.NONE:
        labels[at] = basin
        at += moves[steps[at]]


@kernel
def _steps(counted: Pixels, heights: Pixels) -> Pixels:
    """Return each pixel's step; `Step.NONE` where there is nothing to split and around the block.

    Height and step are packed into one number, so that the inner loop has no branches.
    """
    steps = np.full(counted.shape, Step.NONE, dtype=np.uint8)
    for i in range(1, counted.shape[0] - 1):
        for j in range(1, counted.shape[1] - 1):
            here = counted[i, j]
            best = (np.int32(heights[i, j]) << 3) | Step.STAY
            up = (np.int32(heights[i - 1, j]) << 3) | Step.UP
            left = (np.int32(heights[i, j - 1]) << 3) | Step.LEFT
            right = (np.int32(heights[i, j + 1]) << 3) | Step.RIGHT
            down = (np.int32(heights[i + 1, j]) << 3) | Step.DOWN
            best = max(best, up if counted[i - 1, j] == here else np.int32(0))
            best = max(best, left if counted[i, j - 1] == here else np.int32(0))
            best = max(best, right if counted[i, j + 1] == here else np.int32(0))
            best = max(best, down if counted[i + 1, j] == here else np.int32(0))
            steps[i, j] = (best & 7) if here else Step.NONE
    return steps
