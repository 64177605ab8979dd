"""What one block tells of its clusters: all that can be merged inside of it is merged. No I/O."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.instances.ordering import saddle_rank
from deepseg_qgis.engine.instances.pieces import pieces
from deepseg_qgis.engine.instances.saddles import Saddles, merged, root_of, saddles
from deepseg_qgis.engine.vectorising.blocks import Pixels


class BlockClusters(NamedTuple):
    """The clusters of a block, numbered from 0 in the order of their first pixels.

    ``labels`` (rows + 2, columns + 2) int32 is each pixel's cluster, −1 where there is none and all
    around. For each cluster: ``ranks`` (int64, as of `pieces.Pieces`), ``contacts`` (int32), how
    many pixel sides it shares with its own class outside of the block, and ``categories`` (uint8).
    Open saddles: the clusters on both sides (``ones``, ``others``, int32) and their
    ``saddle_ranks`` (int64). Touching clusters of one category, diagonally too, each pair once:
    ``neighbours`` (pairs, 2) int32.
    """

    labels: NDArray[np.int32]
    ranks: NDArray[np.int64]
    contacts: NDArray[np.int32]
    categories: NDArray[np.uint8]
    ones: NDArray[np.int32]
    others: NDArray[np.int32]
    saddle_ranks: NDArray[np.int64]
    neighbours: NDArray[np.int32]


def block_clusters(
    counted: Pixels, heights: Pixels, row: int, column: int, depths: NDArray[np.int64]
) -> BlockClusters:
    """Return the clusters of a block.

    Memory: about 10 bytes for each pixel, and 17 for each pair where two pieces touch.

    Args:
        counted: (rows + 2, columns + 2), classes with one pixel around; 0 where there is nothing to
            split.
        heights: the same shape.
        row: the block's first, from the region's.
        column: the block's first, from the region's.
        depths: (256,), how far a peak of each class must stand out, at least 1 where it occurs.
    """
    labels, ranks, classes = pieces(counted, heights, row, column)
    contacts = _contacts(counted, labels, len(ranks))
    found = saddles(counted, heights, labels)
    parents = np.arange(len(ranks), dtype=np.int32)
    kept = merged(
        found.ones, found.others, found.heights, parents, ranks, contacts, depths[classes]
    )
    roots = _numbered(labels, parents)
    ones, others, saddle_ranks = _kept(found, kept, parents, counted.shape[1], row, column)
    numbers = np.empty(len(ranks), dtype=np.int32)
    numbers[roots] = np.arange(len(roots), dtype=np.int32)
    categories = classes[roots]
    pairs = _neighbours(labels, categories)
    return BlockClusters(
        labels,
        ranks[roots],
        contacts[roots],
        categories,
        numbers[ones],
        numbers[others],
        saddle_ranks,
        unpacked_pairs(np.unique(pairs)),
    )


def unpacked_pairs(pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return pairs of numbers, each packed into one, as (pairs, 2)."""
    return np.stack([pairs >> 32, pairs & 0xFFFFFFFF], axis=1).astype(np.int32)


@njit(cache=True, nogil=True)
def _contacts(counted, labels, count):
    """Return how many pixel sides each piece shares with its class outside of the block."""
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


@njit(cache=True, nogil=True)
def _numbered(labels, parents):
    """Turn labels of pieces into numbers of clusters; return each one's root."""
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


@njit(cache=True, nogil=True)
def _kept(found: Saddles, kept, parents, width, row, column):
    """Return the roots on both sides of open saddles and their ranks, of each pair the first."""
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
            row + at // width - 1,
            column + at % width - 1,
            found.places[k] & 1,
        )
    return ones, others, ranks


@njit(cache=True, nogil=True)
def _neighbours(labels, categories):
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
