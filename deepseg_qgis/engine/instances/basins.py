"""Instances of a class map that is at hand as a whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.instances.ordering import height_of
from deepseg_qgis.engine.instances.pieces import pieces
from deepseg_qgis.engine.instances.saddles import merged, root_of, saddles

Pixels = NDArray[np.uint8]


class Instances(NamedTuple):
    """Instances, numbered from 1 in the order of their first pixels, row by row.

    ``labels`` (rows, columns) int32, 0 where there is none; ``peaks`` (instances,) uint8, the
    height of the highest pixel of each.
    """

    labels: NDArray[np.int32]
    peaks: NDArray[np.uint8]


class Basins:
    """Where the heights lead to, on a whole class map; from it instances of any depth.

    Memory: 9 bytes a pixel, and 17 for each pair of pixels where two basins touch.
    """

    def __init__(self, classes: Pixels, heights: Pixels, countable: NDArray[np.bool_]) -> None:
        """Find the basins.

        Args:
            classes: (rows, columns), 0 background, 1 to k.
            heights: (rows, columns), high in the middle of an object and low along its border.
            countable: (k,), which categories have instances.
        """
        counted = np.pad(countable_classes(classes, countable), 1)
        padded = np.pad(heights, 1)
        self._pieces = pieces(counted, padded, 0, 0)
        self._saddles = saddles(counted, padded, self._pieces.labels)

    def instances(self, depth: int) -> Instances:
        """Return the instances whose peaks stand out by ``depth`` (at least 1) or more."""
        labels, ranks = self._pieces
        parents = np.arange(len(ranks), dtype=np.int32)
        ones, others, heights, _ = self._saddles
        merged(ones, others, heights, parents, ranks, np.zeros(len(ranks), np.int32), depth)
        return Instances(*_numbered(labels, parents, ranks))


def instances_of(
    classes: Pixels, heights: Pixels, countable: NDArray[np.bool_], depth: int
) -> NDArray[np.int32]:
    """Return each pixel's instance, from 1 in the order of first pixels; 0 where there is none.

    Args:
        classes: (rows, columns), 0 background, 1 to k.
        heights: (rows, columns), high in the middle of an object and low along its border.
        countable: (k,), which categories have instances.
        depth: how far a peak must stand out above the saddle to a higher one, at least 1.
    """
    return Basins(classes, heights, countable).instances(depth).labels


def countable_classes(classes: Pixels, countable: NDArray[np.bool_]) -> Pixels:
    """Return a copy of class maps of any shape with 0 for what is not countable."""
    kept = np.zeros(256, dtype=np.uint8)
    numbers = np.flatnonzero(countable) + 1
    kept[numbers] = numbers
    return kept[classes]


@njit(cache=True, nogil=True)
def _numbered(labels, parents, ranks):
    """Return the instances' numbers without the border of the labels, and their peaks."""
    rows, columns = labels.shape[0] - 2, labels.shape[1] - 2
    numbers = np.zeros((rows, columns), dtype=np.int32)
    peaks = np.empty(len(ranks), dtype=np.uint8)
    given = np.zeros(len(ranks), dtype=np.int32)
    roots = np.empty(len(ranks), dtype=np.int32)
    for k in range(len(ranks)):
        roots[k] = root_of(parents, k)
    count = 0
    for i in range(rows):
        for j in range(columns):
            piece = labels[i + 1, j + 1]
            if piece < 0:
                continue
            root = roots[piece]
            if given[root] == 0:
                peaks[count] = height_of(ranks[root])
                count += 1
                given[root] = count
            numbers[i, j] = given[root]
    return numbers, peaks[:count].copy()
