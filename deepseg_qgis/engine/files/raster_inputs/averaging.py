"""Means over rectangles of pixels that need not begin or end between pixels, as compiled code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import Flags, Floats, kernel

Means = tuple[NDArray[np.float64], NDArray[np.float64]]


def averaged(
    band: NDArray[np.generic],
    valid: NDArray[np.bool_],
    row_ends: NDArray[np.float64],
    column_ends: NDArray[np.float64],
) -> Means:
    """Return (rows, columns) the mean of valid pixels in each rectangle, and their share of it.

    ``band`` and ``valid`` are (height, width). ``row_ends`` has one entry more than there are rows
    of the result, rising or falling, within 0 to height; ``column_ends`` alike. The mean is 0 where
    nothing is valid. Cost: each pixel is looked at once.
    """
    sums = np.zeros((len(row_ends) - 1, len(column_ends) - 1))
    weights = np.zeros_like(sums)
    _sum(band, valid, row_ends, column_ends, sums, weights)
    area = np.abs(np.outer(np.diff(row_ends), np.diff(column_ends)))
    return np.divide(sums, weights, out=sums, where=weights > 0.0), weights / area


@kernel
def _sum(
    band: NDArray[np.generic],
    valid: Flags,
    row_ends: Floats,
    column_ends: Floats,
    sums: Floats,
    weights: Floats,
) -> None:
    """Add up values and weights, a row of rectangles at a time."""
    width = band.shape[1]
    line, known = np.empty(width), np.empty(width)
    for i in range(len(row_ends) - 1):
        low, high = min(row_ends[i], row_ends[i + 1]), max(row_ends[i], row_ends[i + 1])
        line[:] = 0.0
        known[:] = 0.0
        for row in range(int(low), min(int(np.ceil(high)), band.shape[0])):
            share = min(high, row + 1.0) - max(low, float(row))
            for column in range(width):
                if valid[row, column]:
                    line[column] += share * band[row, column]
                    known[column] += share
        for j in range(len(column_ends) - 1):
            left = min(column_ends[j], column_ends[j + 1])
            right = max(column_ends[j], column_ends[j + 1])
            value = weight = 0.0
            for column in range(int(left), min(int(np.ceil(right)), width)):
                share = min(right, column + 1.0) - max(left, float(column))
                value += share * line[column]
                weight += share * known[column]
            sums[i, j] = value
            weights[i, j] = weight
