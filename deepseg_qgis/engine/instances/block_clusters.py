"""What one block tells of its clusters: all that can be merged inside of it is merged. No I/O."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepseg_qgis.engine.instances.basins import basins
from deepseg_qgis.engine.instances.ordering import saddle_rank
from deepseg_qgis.engine.instances.saddles import (
    Clusters,
    Numbers,
    Saddles,
    merged,
    saddles,
)
from deepseg_qgis.engine.kernels import Ints, kernel
from deepseg_qgis.engine.vectorising.blocks import Pixels
from deepseg_qgis.engine.vectorising.labelling import root_of


class BlockClusters(NamedTuple):
    """The clusters of a block, numbered from 0 in the order of their first pixels.

    ``labels`` (rows + 2, columns + 2) int32 is each pixel's cluster, −1 where there is none and all
    around. For each cluster: ``ranks`` (int64, as of `basins.Basins`), ``contacts`` (int32), how
    many pixel sides it shares with its own class outside of the block, and ``categories`` (uint8).
    Open saddles: the clusters on both sides (``ones``, ``others``, int32) and their
    ``saddle_ranks`` (int64). Touching clusters of one category, diagonally too, each pair once:
    ``neighbours`` (pairs, 2) int32.
    """

    labels: Numbers
    ranks: Ints
    contacts: Numbers
    categories: Pixels
    ones: Numbers
    others: Numbers
    saddle_ranks: Ints
    neighbours: Numbers


def block_clusters(
    counted: Pixels, heights: Pixels, row: int, column: int, depths: Ints
) -> BlockClusters:
    """Return the clusters of a block.

    Memory: about 10 bytes for each pixel, and 17 for each pair where two basins touch.

    Args:
        counted: (rows + 2, columns + 2), classes with one pixel around; 0 where there is nothing to
            split.
        heights: the same shape.
        row: the block's first, from the region's.
        column: the block's first, from the region's.
        depths: (256,), how far a peak of each class must stand out, at least 1 where it occurs.
    """
    labels, ranks, classes = basins(counted, heights, row, column)
    found = saddles(counted, heights, labels)
    members = np.arange(len(ranks), dtype=np.int32)
    clusters = Clusters(members, ranks, _contacts(counted, labels, len(ranks)))
    kept = merged(found.ones, found.others, found.heights, clusters, depths[classes])
    roots = _numbered(labels, clusters.parents)
    corner = row - 1, column - 1  # of the array with a pixel around
    ones, others, saddle_ranks = _kept(found, kept, clusters.parents, counted.shape[1], corner)
    numbers = np.empty(len(ranks), dtype=np.int32)
    numbers[roots] = np.arange(len(roots), dtype=np.int32)
    categories = classes[roots]
    pairs = _neighbours(labels, categories)
    return BlockClusters(
        labels,
        ranks[roots],
        clusters.contacts[roots],
        categories,
        numbers[ones],
        numbers[others],
        saddle_ranks,
        unpacked_pairs(np.unique(pairs)),
    )


def unpacked_pairs(pairs: Ints) -> Numbers:
    """Return pairs of numbers, each packed into one, as (pairs, 2)."""
    return np.stack([pairs >> 32, pairs & 0xFFFFFFFF], axis=1).astype(np.int32)


@kernel
def _contacts(counted: Pixels, labels: Numbers, count: int) -> Numbers:
    """Return how many pixel sides each basin shares with its class outside of the block."""
    contacts = np.zeros(count, dtype=np.int32)
    last_row, last_column = counted.shape[0] - 2, counted.shape[1] - 2
    for i in range(1, last_row + 1):
        for here, outside in ((1, 0), (last_column, last_column + 1)):
            if labels[i, here] >= 0 and counted[i, here] == counted[i, outside]:
                contacts[labels[i, here]] += 1
    for j in range(1, last_column + 1):
        for here, outside in ((1, 0), (last_row, last_row + 1)):
            if labels[here, j] >= 0 and counted[here, j] == counted[outside, j]:
                contacts[labels[here, j]] += 1
    return contacts


@kernel
def _numbered(labels: Numbers, parents: Numbers) -> Numbers:
    """Turn labels of basins into numbers of clusters; return each one's root."""
    count = 0
    for k in range(len(parents)):
        parents[k] = root_of(parents, k)
        count += parents[k] == k
    roots = np.empty(count, dtype=np.int32)
    numbers = np.full(len(parents), -1, dtype=np.int32)
    count = 0
    for i in range(1, labels.shape[0] - 1):
        for j in range(1, labels.shape[1] - 1):
            if labels[i, j] < 0:
                continue
            root = parents[labels[i, j]]
            if numbers[root] < 0:
                numbers[root] = count
                roots[count] = root
                count += 1
            labels[i, j] = numbers[root]
    return roots


@kernel
def _kept(
    found: Saddles, kept: Ints, parents: Numbers, width: int, corner: tuple[int, int]
) -> tuple[Numbers, Numbers, Ints]:
    """Return the roots on both sides of open saddles, and the saddles' ranks.

    The flat array has rows of ``width``; ``corner`` is its first pixel, from the region's.
    """
    ones = np.empty(len(kept), dtype=np.int32)
    others = np.empty(len(kept), dtype=np.int32)
    ranks = np.empty(len(kept), dtype=np.int64)
    for n in range(len(kept)):
        k = kept[n]
        ones[n] = parents[found.ones[k]]
        others[n] = parents[found.others[k]]
        at = found.places[k] >> 1
        ranks[n] = saddle_rank(
            np.int64(found.heights[k]),
            corner[0] + at // width,
            corner[1] + at % width,
            found.places[k] & 1,
        )
    return ones, others, ranks


@kernel
def _neighbours(labels: Numbers, categories: Pixels) -> Ints:
    """Return pairs of clusters that touch, packed, some of them many times."""
    pairs = np.empty(1024, dtype=np.int64)
    count = 0
    for i in range(1, labels.shape[0] - 1):
        for j in range(1, labels.shape[1] - 1):
            here = labels[i, j]
            if here < 0:
                continue
            for there in (
                labels[i, j + 1],
                labels[i + 1, j - 1],
                labels[i + 1, j],
                labels[i + 1, j + 1],
            ):
                if there == here or there < 0 or categories[there] != categories[here]:
                    continue
                pair = (np.int64(min(here, there)) << 32) | max(here, there)
                if count > 0 and pairs[count - 1] == pair:
                    continue
                if count == len(pairs):
                    pairs = np.append(pairs, np.empty(count, dtype=np.int64))
                pairs[count] = pair
                count += 1
    return pairs[:count].copy()
