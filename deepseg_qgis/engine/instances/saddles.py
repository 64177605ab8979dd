"""Saddles: where two pieces of one class touch, from the highest down; and the merging over them.

No I/O. The merging removes peaks that do not stand out: topological persistence (H. Edelsbrunner,
D. Letscher, A. Zomorodian, Topological Persistence and Simplification, Discrete & Computational
Geometry 28, 2002), which image analysis knows as dynamics (M. Grimaud, A new measure of contrast:
the dynamics, SPIE 1769, 1992).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.instances.ordering import DOWN, RIGHT, height_of

LEVELS = 256


class Saddles(NamedTuple):
    """Pairs of neighbouring pixels that lie in different pieces, in the order of `ordering`.

    The two pieces (int32), the lower pixel's height (uint8), and the place in the block: that of
    the left or upper pixel in the flat array, doubled, plus the side. 17 bytes a pair.
    """

    ones: NDArray[np.int32]
    others: NDArray[np.int32]
    heights: NDArray[np.uint8]
    places: NDArray[np.int64]


@njit(cache=True, nogil=True)
def saddles(counted, heights, labels):
    """Return the saddles inside of a block; arrays as for `pieces.pieces`.

    Sorted by counting: pixels are met row by row, so equal heights stay in the order of places.
    """
    width = counted.shape[1]
    kinds, high, flat = counted.ravel(), heights.ravel(), labels.ravel()
    first, stop = width + 1, (counted.shape[0] - 1) * width - 1
    ends = np.zeros(LEVELS + 1, dtype=np.int64)
    for at in range(first, stop):
        for side in range(2):
            other = at + (width if side == DOWN else 1)
            if flat[at] != flat[other] and _touch(kinds, flat, at, other):
                ends[LEVELS - min(high[at], high[other])] += 1
    ends = np.cumsum(ends)
    count = ends[LEVELS]
    found = Saddles(
        np.empty(count, dtype=np.int32),
        np.empty(count, dtype=np.int32),
        np.empty(count, dtype=np.uint8),
        np.empty(count, dtype=np.int64),
    )
    for at in range(first, stop):
        for side in range(2):
            other = at + (width if side == DOWN else 1)
            if flat[at] != flat[other] and _touch(kinds, flat, at, other):
                height = min(high[at], high[other])
                k = ends[LEVELS - 1 - height]
                ends[LEVELS - 1 - height] += 1
                found.ones[k], found.others[k] = flat[at], flat[other]
                found.heights[k] = height
                found.places[k] = 2 * at + (RIGHT if side == RIGHT else DOWN)
    return found


@njit(cache=True, nogil=True, inline="always")
def _touch(kinds, labels, one, other):
    return labels[one] >= 0 and labels[other] >= 0 and kinds[one] == kinds[other]


@njit(cache=True, nogil=True, inline="always")
def root_of(parents, k):
    """Return what stands for the cluster of ``k``, and shorten the way there."""
    while parents[k] != k:
        parents[k] = parents[parents[k]]
        k = parents[k]
    return k


@njit(cache=True, nogil=True)
def merged(ones, others, heights, parents, ranks, waiting, depth):
    """Merge clusters over saddles as far as that is certain; return which saddles stay open.

    A cluster whose peak is the lower one, over its highest saddle, merges exactly if the peak
    stands out by less than ``depth``: nothing that is still to come changes that, since the other
    cluster's peak can only grow. So it suffices that the lower cluster is complete and that none of
    its higher saddles is open. Where both peaks stand out they always will, and the saddle goes.
    If nothing waits, no saddle stays open.

    Args:
        ones: the cluster (or a member of it) on one side of each saddle, from the highest down.
        others: the same of the other side.
        heights: of each saddle.
        parents: union-find; the root of a cluster is the member with its peak. Changed.
        ranks: of each root's peak, or of a pixel that the peak comes no earlier than.
        waiting: more than 0 for roots that are not complete.
        depth: how far a peak must stand out above the saddle, at least 1.

    Returns:
        The indices of the saddles that stay open, in their order, int64.
    """
    blocked = np.zeros(len(parents), dtype=np.bool_)
    kept = np.empty(len(ones), dtype=np.int64)
    count = 0
    for k in range(len(ones)):
        low, high = root_of(parents, ones[k]), root_of(parents, others[k])
        if low == high:
            continue
        if ranks[low] > ranks[high]:
            low, high = high, low
        if height_of(ranks[low]) - np.int64(heights[k]) >= depth:
            continue
        if waiting[low] == 0 and not blocked[low]:
            parents[low] = high
        else:
            blocked[low] = blocked[high] = True
            kept[count] = k
            count += 1
    return kept[:count].copy()
