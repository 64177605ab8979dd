"""Clusters of all blocks so far: how they grow together, and when they are settled. No I/O.

Memory: 18 bytes for each cluster of the blocks that wait, and 16 or 8 for each of their saddles and
pairs that are still open.
"""

from __future__ import annotations

import numpy as np

from deepseg_qgis.engine.instances.block_clusters import BlockClusters
from deepseg_qgis.engine.instances.borders import Border, Line
from deepseg_qgis.engine.instances.ordering import (
    SADDLE_HEIGHT_SHIFT,
    Side,
    pixel_rank,
    saddle_rank,
)
from deepseg_qgis.engine.instances.saddles import Clusters, Numbers, merged
from deepseg_qgis.engine.instances.slots import Slots
from deepseg_qgis.engine.kernels import Ints, kernel
from deepseg_qgis.engine.vectorising.blocks import Pixels
from deepseg_qgis.engine.vectorising.labelling import root_of


class OpenClusters:
    """All clusters that still matter, by numbers that `forget` moves."""

    def __init__(self, depths: Ints, slots: Slots) -> None:
        self._depths = depths
        self._slots = slots
        self._clusters = Clusters(
            np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
        )
        self._categories = np.empty(0, dtype=np.uint8)
        self._assigned = np.empty(0, dtype=np.uint8)  # slots; 0 for none yet
        self._unsettled = np.empty(0, dtype=np.int32)
        self._saddles = np.empty((0, 2), dtype=np.int32)
        self._saddle_ranks = np.empty(0, dtype=np.int64)
        self._pairs = np.empty((0, 2), dtype=np.int32)

    def __len__(self) -> int:
        return len(self._clusters.parents)

    @property
    def first_unsettled(self) -> int:
        """The first cluster that is not settled; their number if all are."""
        return int(self._unsettled[0]) if len(self._unsettled) else len(self)

    def slots(self, clusters: range) -> Pixels:
        """Return the slots of some clusters, which are settled."""
        return self._assigned[clusters.start : clusters.stop].copy()

    def add(self, found: BlockClusters) -> int:
        """Add the clusters of a block; return the number of its first one."""
        first, count = len(self), len(found.ranks)
        added = np.arange(first, first + count, dtype=np.int32)
        self._clusters = Clusters(
            np.concatenate([self._clusters.parents, added]),
            np.concatenate([self._clusters.ranks, found.ranks]),
            np.concatenate([self._clusters.contacts, found.contacts]),
        )
        self._categories = np.concatenate([self._categories, found.categories])
        self._assigned = np.concatenate([self._assigned, np.zeros(count, dtype=np.uint8)])
        self._unsettled = np.concatenate([self._unsettled, added])
        self._open(np.stack([found.ones, found.others], axis=1) + first, found.saddle_ranks)
        self._pairs = np.concatenate([self._pairs, found.neighbours + np.int32(first)])
        return first

    def link(self, border: Border) -> None:
        """Link the clusters on both sides of a border."""
        saddles, ranks, pairs = _linked(border, self._clusters)
        self._open(saddles, ranks)
        self._pairs = np.concatenate([self._pairs, pairs])

    def settle(self) -> None:
        """Merge what can be merged, and give slots to what is settled by it.

        Raises:
            ParameterError: there are not enough slots.
        """
        self._merge()
        parents = self._clusters.parents
        self._pairs = _live(self._pairs, parents, self._assigned)
        settled = _settled(self._unsettled, self._saddles, self._clusters)
        self._slots.assign(settled, self._pairs, self._categories, self._assigned)
        self._unsettled = _unsettled(self._unsettled, parents, self._assigned)

    def forget(self, first: int, lines: tuple[Line, ...]) -> int:
        """Drop the clusters before ``first``, all settled, but for those still spoken of.

        Numbers in ``lines`` are changed. Returns by how much all others become smaller.
        """
        kept = np.ones(len(self), dtype=bool)
        kept[:first] = False
        kept[self._pairs] = True
        for line in lines:
            kept[line[line >= 0]] = True
        numbers = np.cumsum(kept, dtype=np.int32) - np.int32(1)
        for line in lines:
            line[line >= 0] = numbers[line[line >= 0]]
        parents, ranks, contacts = self._clusters
        self._clusters = Clusters(numbers[parents[kept]], ranks[kept], contacts[kept])
        self._categories, self._assigned = self._categories[kept], self._assigned[kept]
        self._unsettled = numbers[self._unsettled]
        self._saddles, self._pairs = numbers[self._saddles], numbers[self._pairs]
        return int(len(kept) - kept.sum())

    def _open(self, saddles: Numbers, ranks: Ints) -> None:
        self._saddles = np.concatenate([self._saddles, saddles.astype(np.int32)])
        self._saddle_ranks = np.concatenate([self._saddle_ranks, ranks])

    def _merge(self) -> None:
        if len(self._saddles) == 0:
            return
        saddles, ranks = _first_of_pairs(self._saddles, self._saddle_ranks, self._clusters.parents)
        heights = (ranks >> SADDLE_HEIGHT_SHIFT).astype(np.uint8)
        ones, others = np.ascontiguousarray(saddles.T)
        depths = self._depths[self._categories]
        kept = merged(ones, others, heights, self._clusters, depths)
        self._saddles, self._saddle_ranks = saddles[kept], ranks[kept]


def _first_of_pairs(saddles: Numbers, ranks: Ints, parents: Numbers) -> tuple[Numbers, Ints]:
    """Return the first saddle of each two clusters, in their order."""
    order = np.argsort(-ranks)
    saddles, ranks = np.sort(_roots(saddles[order], parents), axis=1), ranks[order]
    pairs = (saddles[:, 0].astype(np.int64) << 32) | saddles[:, 1]
    _, first = np.unique(pairs, return_index=True)
    first = np.sort(first)
    return saddles[first], ranks[first]


@kernel
def _roots(members: Numbers, parents: Numbers) -> Numbers:
    roots = np.empty_like(members)
    for k in range(len(members)):
        for side in range(2):
            roots[k, side] = root_of(parents, members[k, side])
    return roots


@kernel
def _linked(border: Border, clusters: Clusters) -> tuple[Numbers, Ints, Numbers]:
    """Unite clusters of one basin across a border; return new saddles, their ranks, and pairs.

    The way up from a pixel leads across exactly if the pixel there has the rank of its cluster.
    """
    count = len(border.here)
    saddles = np.empty((count, 2), dtype=np.int32)
    saddle_ranks = np.empty(count, dtype=np.int64)
    pairs = np.empty((3 * count, 2), dtype=np.int32)
    n = m = 0
    for k in range(count):
        here, kind = border.here[k], border.kinds_here[k]
        if here < 0:
            continue
        for other in range(k, k + 3):
            there = border.across[other]
            if there >= 0 and border.kinds_across[other] == kind:
                pairs[m, 0], pairs[m, 1] = there, here
                m += 1
        if border.kinds_across[k + 1] != kind:
            continue
        across = border.across[k + 1]
        clusters.contacts[root_of(clusters.parents, here)] -= 1
        clusters.contacts[root_of(clusters.parents, across)] -= 1
        rank_here, rank_across, saddle = _ranks(border, k)
        if clusters.ranks[here] == rank_across or clusters.ranks[across] == rank_here:
            _unite(clusters, here, across)
        else:
            saddles[n, 0], saddles[n, 1], saddle_ranks[n] = across, here, saddle
            n += 1
    return saddles[:n].copy(), saddle_ranks[:n].copy(), pairs[:m].copy()


@kernel
def _ranks(border: Border, k: int) -> tuple[int, int, int]:
    """Return the ranks of pixel ``k`` along a border, of the one across, and of their saddle."""
    height, height_across = np.int64(border.heights_here[k]), np.int64(border.heights_across[k + 1])
    if border.downwards:
        row, column, side = border.row + k, border.column, np.int64(Side.RIGHT)
        row_across, column_across = row, column - 1
    else:
        row, column, side = border.row, border.column + k, np.int64(Side.DOWN)
        row_across, column_across = row - 1, column
    lower = min(height, height_across)
    return (
        pixel_rank(height, row, column),
        pixel_rank(height_across, row_across, column_across),
        saddle_rank(lower, row_across, column_across, side),
    )


@kernel
def _unite(clusters: Clusters, one: int, other: int) -> None:
    """Make two clusters one, whose root has the greater rank."""
    parents, ranks, contacts = clusters
    low, high = root_of(parents, one), root_of(parents, other)
    if low == high:
        return
    if ranks[low] > ranks[high]:
        low, high = high, low
    parents[low] = high
    contacts[high] += contacts[low]


@kernel
def _live(pairs: Numbers, parents: Numbers, assigned: Pixels) -> Numbers:
    """Return the pairs of two clusters that do not both have a slot, in terms of roots."""
    found = np.empty_like(pairs)
    count = 0
    for k in range(len(pairs)):
        one, other = pairs[k, 0], pairs[k, 1]
        if assigned[one] > 0 and assigned[other] > 0:
            continue
        one = one if assigned[one] > 0 else root_of(parents, one)
        other = other if assigned[other] > 0 else root_of(parents, other)
        if one != other:
            found[count, 0], found[count, 1] = one, other
            count += 1
    return found[:count].copy()


@kernel
def _settled(unsettled: Numbers, saddles: Numbers, clusters: Clusters) -> Numbers:
    """Return the roots of clusters that are complete and have no open saddle."""
    parents, _, contacts = clusters
    blocked = np.zeros(len(parents), dtype=np.bool_)
    for k in range(len(saddles)):
        blocked[root_of(parents, saddles[k, 0])] = True
        blocked[root_of(parents, saddles[k, 1])] = True
    found = np.empty(len(unsettled), dtype=np.int32)
    count = 0
    for node in unsettled:
        if parents[node] == node and contacts[node] == 0 and not blocked[node]:
            found[count] = node
            count += 1
    return found[:count].copy()


@kernel
def _unsettled(unsettled: Numbers, parents: Numbers, assigned: Pixels) -> Numbers:
    """Give members the slots of their roots; return who has none.

    Who has one stands for itself from now on, so that numbers of others may go.
    """
    left = np.empty_like(unsettled)
    count = 0
    for node in unsettled:
        root = root_of(parents, node)
        if assigned[root] > 0:
            assigned[node] = assigned[root]
        else:
            left[count] = node
            count += 1
    for node in unsettled:
        if assigned[node] > 0:
            parents[node] = node
    return left[:count].copy()
