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
    ends = np.zeros(LEVELS + 1, dtype=np.int64)
    _scan(counted, heights, labels, ends, _space(0))
    ends = np.cumsum(ends)
    found = _space(ends[LEVELS])
    _scan(counted, heights, labels, ends, found)
    return found


@njit(cache=True, nogil=True)
def _space(count):
    return Saddles(
        np.empty(count, dtype=np.int32),
        np.empty(count, dtype=np.int32),
        np.empty(count, dtype=np.uint8),
        np.empty(count, dtype=np.int64),
    )


@njit(cache=True, nogil=True)
def _scan(counted, heights, labels, ends, found):
    """Count the saddles of each height, if there is no space for them; else put them there."""
    rows, columns = counted.shape
    filling = len(found.ones) > 0
    for i in range(1, rows - 1):
        for j in range(1, columns - 1):
            here = labels[i, j]
            if here < 0:
                continue
            there = labels[i, j + 1]
            if there != here and there >= 0 and counted[i, j] == counted[i, j + 1]:
                height = min(heights[i, j], heights[i, j + 1])
                if filling:
                    _put(found, ends, height, here, there, 2 * (i * columns + j) + RIGHT)
                else:
                    ends[LEVELS - height] += 1
            there = labels[i + 1, j]
            if there != here and there >= 0 and counted[i, j] == counted[i + 1, j]:
                height = min(heights[i, j], heights[i + 1, j])
                if filling:
                    _put(found, ends, height, here, there, 2 * (i * columns + j) + DOWN)
                else:
                    ends[LEVELS - height] += 1


@njit(cache=True, nogil=True, inline="always")
def _put(found, ends, height, one, other, place):
    k = ends[LEVELS - 1 - height]
    ends[LEVELS - 1 - height] += 1
    found.ones[k] = one
    found.others[k] = other
    found.heights[k] = height
    found.places[k] = place


@njit(cache=True, nogil=True, inline="always")
def root_of(parents, k):
    """Return what stands for the cluster of ``k``, and shorten the way there."""
    while parents[k] != k:
        parents[k] = parents[parents[k]]
        k = parents[k]
    return k


@njit(cache=True, nogil=True)
def merged(ones, others, heights, parents, ranks, waiting, depths):
    """Merge clusters over saddles as far as that is certain; return which saddles stay open.

    A cluster whose peak is the lower one, over its highest saddle, merges exactly if the peak
    stands out by less than its depth: nothing that is still to come changes that, since the other
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
        depths: how far the peak of each root must stand out above the saddle, at least 1; one and
            the same for both sides of a saddle.

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
        if height_of(ranks[low]) - np.int64(heights[k]) >= depths[low]:
            continue
        if waiting[low] == 0 and not blocked[low]:
            parents[low] = high
        else:
            blocked[low] = blocked[high] = True
            kept[count] = k
            count += 1
    return kept[:count].copy()
