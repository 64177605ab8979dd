"""Instances of a class map that is at hand as a whole: a watershed of its heights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deepseg_qgis.engine.instances.basins import basins
from deepseg_qgis.engine.instances.ordering import height_of
from deepseg_qgis.engine.instances.saddles import Clusters, Numbers, merged, saddles
from deepseg_qgis.engine.kernels import Ints, kernel
from deepseg_qgis.engine.vectorising.blocks import Pixels
from deepseg_qgis.engine.vectorising.labelling import root_of


class Instances(NamedTuple):
    """Instances, numbered from 1 in the order of their first pixels, row by row.

    ``labels`` (rows, columns) int32, 0 where there is none; ``peaks`` (instances,) uint8, the
    height of the highest pixel of each.
    """

    labels: Numbers
    peaks: Pixels


class Watershed:
    """Basins of heights on a whole class map, and from them instances of any depth.

    Memory: 9 bytes a pixel, and 17 for each pair of pixels where two basins touch.
    """

    def __init__(self, classes: Pixels, heights: Pixels, countable: Sequence[bool]) -> None:
        """Find the basins.

        Args:
            classes: (rows, columns), 0 background, 1 to k.
            heights: (rows, columns), high in the middle of an object and low along its border.
            countable: (k,), which categories have instances.
        """
        counted = np.pad(countable_classes(classes, by_class(countable)), 1)
        padded = np.pad(heights, 1)
        self._basins = basins(counted, padded, 0, 0)
        self._saddles = saddles(counted, padded, self._basins.labels)

    def instances(self, depths: Sequence[int]) -> Instances:
        """Return the instances whose peaks stand out by their category's depth or more.

        ``depths`` (k,) are at least 1 for countable categories.
        """
        labels, ranks, categories = self._basins
        members = np.arange(len(ranks), dtype=np.int32)
        clusters = Clusters(members, ranks, np.zeros(len(ranks), dtype=np.int32))
        ones, others, heights, _ = self._saddles
        merged(ones, others, heights, clusters, by_class(depths)[categories])
        return _numbered(labels, clusters)


def instances_of(classes: Pixels, heights: Pixels, depths: Sequence[int]) -> Numbers:
    """Return each pixel's instance, from 1 in the order of first pixels; 0 where there is none.

    Args:
        classes: (rows, columns), 0 background, 1 to k.
        heights: (rows, columns), high in the middle of an object and low along its border.
        depths: (k,), how far a category's peak must stand out above the saddle to a higher one; 0
            for those that have no instances.
    """
    return Watershed(classes, heights, [depth > 0 for depth in depths]).instances(depths).labels


def by_class(values: Sequence[int]) -> Ints:
    """Return what is given by category as (256,) by class; 0 for background and unused ones."""
    result = np.zeros(256, dtype=np.int64)
    result[1 : len(values) + 1] = values
    return result


def countable_classes(classes: Pixels, depths: Ints) -> Pixels:
    """Return a copy of class maps of any shape with 0 where the class's depth is."""
    kept = np.where(depths > 0, np.arange(256), 0).astype(np.uint8)
    return kept[classes]


@kernel
def _numbered(labels: Numbers, clusters: Clusters) -> Instances:
    """Return the instances; ``labels`` of basins have one pixel around."""
    parents, ranks, _ = clusters
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
            basin = labels[i + 1, j + 1]
            if basin < 0:
                continue
            root = roots[basin]
            if given[root] == 0:
                peaks[count] = height_of(ranks[root])
                count += 1
                given[root] = count
            numbers[i, j] = given[root]
    return Instances(numbers, peaks[:count].copy())
