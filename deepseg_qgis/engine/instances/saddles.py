"""Saddles: where two basins of one class touch, from the highest down; and the merging over them.

No I/O. The merging removes peaks that do not stand out: topological persistence (H. Edelsbrunner,
D. Letscher, A. Zomorodian, Topological Persistence and Simplification, Discrete & Computational
Geometry 28, 2002), which image analysis knows as dynamics (M. Grimaud, A new measure of contrast:
the dynamics, SPIE 1769, 1992).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.instances.ordering import Side, height_of
from deepseg_qgis.engine.kernels import Ints, inlined, kernel
from deepseg_qgis.engine.vectorising.blocks import Pixels
from deepseg_qgis.engine.vectorising.labelling import root_of

LEVELS = 256


Numbers = NDArray[np.int32]


class Clusters(NamedTuple):
    """Clusters of basins, as disjoint sets whose root is the member with the peak.

    For each member: ``parents`` (int32), itself for a root. For each root: ``ranks`` (int64), the
    order of its peak, or of a pixel that the peak comes no earlier than; and ``contacts`` (int32),
    how many pixel sides it shares with its own class where nothing is known yet.
    """

    parents: Numbers
    ranks: Ints
    contacts: Numbers


class Saddles(NamedTuple):
    """Pairs of neighbouring pixels that lie in different basins, in the order of `ordering`.

    The two basins (int32), the lower pixel's height (uint8), and the place in the block: that of
    the left or upper pixel in the flat array, doubled, plus the side. 17 bytes a pair.
    """

    ones: Numbers
    others: Numbers
    heights: Pixels
    places: Ints


@kernel
def saddles(counted: Pixels, heights: Pixels, labels: Numbers) -> Saddles:
    """Return the saddles inside of a block; arrays as for `basins.basins`.

    Sorted by counting: pixels are met row by row, so equal heights stay in the order of places.
    """
    ends = np.zeros(LEVELS + 1, dtype=np.int64)
    _scan(counted, heights, labels, ends, _space(0))
    ends = np.cumsum(ends)
    found = _space(ends[LEVELS])
    _scan(counted, heights, labels, ends, found)
    return found


@kernel
def _space(count: int) -> Saddles:
    return Saddles(
        np.empty(count, dtype=np.int32),
        np.empty(count, dtype=np.int32),
        np.empty(count, dtype=np.uint8),
        np.empty(count, dtype=np.int64),
    )


@kernel
def _scan(counted: Pixels, heights: Pixels, labels: Numbers, ends: Ints, found: Saddles) -> None:
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
                    _put(found, ends, height, here, there, 2 * (i * columns + j) + Side.RIGHT)
                else:
                    ends[LEVELS - height] += 1
            there = labels[i + 1, j]
            if there != here and there >= 0 and counted[i, j] == counted[i + 1, j]:
                height = min(heights[i, j], heights[i + 1, j])
                if filling:
                    _put(found, ends, height, here, there, 2 * (i * columns + j) + Side.DOWN)
                else:
                    ends[LEVELS - height] += 1


@inlined
def _put(found: Saddles, ends: Ints, height: int, one: int, other: int, place: int) -> None:
    k = ends[LEVELS - 1 - height]
    ends[LEVELS - 1 - height] += 1
    found.ones[k] = one
    found.others[k] = other
    found.heights[k] = height
    found.places[k] = place


@kernel
def merged(
    ones: Numbers, others: Numbers, heights: Pixels, clusters: Clusters, depths: Ints
) -> Ints:
    """Merge clusters over saddles as far as that is certain; return which saddles stay open.

    A cluster whose peak is the lower one, over its highest saddle, merges exactly if the peak
    stands out by less than its depth: nothing that is still to come changes that, since the other
    cluster's peak can only grow. So it suffices that the lower cluster is complete and that none of
    its higher saddles is open. Where both peaks stand out they always will, and the saddle goes.
    If no cluster has contacts, no saddle stays open.

    Args:
        ones: the cluster (or a member of it) on one side of each saddle, from the highest down.
        others: the same of the other side.
        heights: of each saddle.
        clusters: parents are changed.
        depths: how far the peak of each root must stand out above the saddle, at least 1; one and
            the same for both sides of a saddle.

    Returns:
        The indices of the saddles that stay open, in their order, int64.
    """
    parents, ranks, contacts = clusters
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
        if contacts[low] == 0 and not blocked[low]:
            parents[low] = high
        else:
            blocked[low] = blocked[high] = True
            kept[count] = k
            count += 1
    return kept[:count].copy()
