"""How far outlines keep from each other, measured at the corners of pixels. No I/O.

The array and its corners are those of `headings`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import Ints, inlined, kernel
from deepseg_qgis.engine.vectorising.headings import arrival, departure, offset, step

COUNTED = 3
"""Up to so many pixels around, edges are counted; beyond, summing all of them up is faster."""


class Surroundings(NamedTuple):
    """A block with its halo, flattened, and what is kept to measure clearances on it.

    ``values`` (n,) uint8 or uint16, in rows of ``stride``. ``edge_sums`` (2, rows + 1, stride + 1)
    says how many pixels above and left of a corner have an edge on their left side, and on their
    upper side; it is empty where counting is faster. ``met`` (limit + 1,) is room for counts.
    """

    values: NDArray[np.generic]
    stride: int
    edge_sums: NDArray[np.int32]
    met: Ints


@kernel
def surroundings(
    values: NDArray[np.generic], stride: int, limit_px: int, empty: bool
) -> Surroundings:
    """Return what measures clearances of up to ``limit_px``; an ``empty`` block has none."""
    met = np.empty(limit_px + 1, dtype=np.int64)
    sums = np.empty((2, 0, 0), dtype=np.int32)
    if limit_px > COUNTED and not empty:
        sums = _edge_sums(values, stride)
    return Surroundings(values, stride, sums, met)


@kernel
def clearance_at(around: Surroundings, corner: int, heading: int) -> int:
    """Return how far, in pixels, nothing but this very stretch of outline is around a corner.

    The square of k pixels to each side around the corner (no node) holds one path alone if all of
    its edges are met, and no node, on the way through the corner in both directions, as far as it
    stays within the largest square. From the other side of the outline the answer is the same.
    """
    values, stride, sums, met = around
    limit = len(met) - 1
    met[:] = 0
    back = departure(values, corner, heading, stride)[0]
    behind = corner - step(back, stride)
    node_at, closed = _meet_ahead(around, corner, heading, behind)
    if not closed:
        node_at = min(node_at, _meet_behind(around, behind, back))
    row, column = corner // stride, corner % stride
    summed = sums.shape[1] > 0
    if summed and node_at == limit and _edges_within(sums, row, column, limit) == 2 + met.sum():
        return limit  # as along most outlines
    edges = total = 2  # within one pixel of a corner that is no node
    for k in range(2, limit + 1):
        if summed:
            edges = _edges_within(sums, row, column, k)
        else:
            edges += _edges_around(values, corner, k, stride)
        total += met[k]
        if total != edges or node_at < k:
            return k - 1
    return limit


@kernel
def _meet_ahead(around: Surroundings, corner: int, heading: int, behind: int) -> tuple[int, bool]:
    """Count the edges ahead, by the square that they reach; return where the first node is.

    Also whether the way came round to the corner ``behind``.
    """
    values, stride, _, met = around
    limit = len(met) - 1
    ahead = corner + step(heading, stride)
    y, x = offset(heading)
    at = 1
    while at < limit and ahead != behind:
        heading, node, _ = arrival(values, ahead, heading, stride)
        if node:
            return at, False
        ahead += step(heading, stride)
        dy, dx = offset(heading)
        y, x, before = y + dy, x + dx, at
        at = max(abs(y), abs(x))
        met[min(at, before) + 1] += 1
    return limit, ahead == behind


@kernel
def _meet_behind(around: Surroundings, behind: int, back: int) -> int:
    """Count the edges behind, by the square that they reach; return where the first node is."""
    values, stride, _, met = around
    limit = len(met) - 1
    y, x = offset(back)
    at = 1
    while at < limit:
        back, node = departure(values, behind, back, stride)
        if node:
            return at
        behind -= step(back, stride)
        dy, dx = offset(back)
        y, x, before = y + dy, x + dx, at
        at = max(abs(y), abs(x))
        met[min(at, before) + 1] += 1
    return limit


@kernel
def _edges_around(values: NDArray[np.generic], corner: int, k: int, stride: int) -> int:
    """Return how many edges lie within k pixels around a corner, but not all within k - 1."""
    count = 0
    top, bottom = corner - k * stride, corner + (k - 1) * stride
    for j in range(-k, k - 1):
        count += values[top + j] != values[top + j + 1]
        count += values[bottom + j] != values[bottom + j + 1]
    for j in range(-k + 1, k - 1):
        count += values[top + j] != values[top + j + stride]
        count += values[bottom + j] != values[bottom + j - stride]
    left, right = corner - k, corner + k - 1
    for i in range(-k, k - 1):
        count += values[left + i * stride] != values[left + (i + 1) * stride]
        count += values[right + i * stride] != values[right + (i + 1) * stride]
    for i in range(-k + 1, k - 1):
        count += values[left + i * stride] != values[left + i * stride + 1]
        count += values[right + i * stride] != values[right + i * stride - 1]
    return count


@kernel
def _edge_sums(values: NDArray[np.generic], stride: int) -> NDArray[np.int32]:
    """Return the sums that `Surroundings` keeps."""
    rows = len(values) // stride
    sums = np.zeros((2, rows + 1, stride + 1), dtype=np.int32)
    for i in range(rows):
        left = above = 0
        for j in range(stride):
            at = i * stride + j
            left += j > 0 and values[at] != values[at - 1]
            above += i > 0 and values[at] != values[at - stride]
            sums[0, i + 1, j + 1] = sums[0, i, j + 1] + left
            sums[1, i + 1, j + 1] = sums[1, i, j + 1] + above
    return sums


@inlined
def _edges_within(sums: NDArray[np.int32], y: int, x: int, k: int) -> int:
    """Return how many edges lie within k pixels around a corner."""
    top, bottom, left, right = y - k, y + k, x - k, x + k
    return (
        sums[0, bottom, right]
        - sums[0, top, right]
        - sums[0, bottom, left + 1]
        + sums[0, top, left + 1]
        + sums[1, bottom, right]
        - sums[1, top + 1, right]
        - sums[1, bottom, left]
        + sums[1, top + 1, left]
    )
