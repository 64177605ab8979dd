"""Which rule keeps objects apart best on ground where they are known: its depth and least size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.inference.decisions import decide_known
from deepseg_qgis.engine.instances.basins import Basins
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.panoptic import MAJORITY, Quality

DEPTHS = (2, 4, 7, 11, 16, 22, 30, 40, 55)
LEAST_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2)
"""Smallest sizes that are tried, as shares of the median object's."""


@dataclass(frozen=True)
class Rule:
    """How objects are told apart: see `ModelCard`. ``qualities`` are what it gives, by category.

    Those of categories that are not countable are None.
    """

    depth: int
    least_px: int
    qualities: tuple[float | None, ...]


@dataclass(frozen=True)
class Ground:
    """A piece of ground: what the network says, and what is there.

    ``planes`` (categories + 1, rows, columns) uint8, heights last; ``objects`` (rows, columns)
    int32 the number of each pixel's annotation, 0 for none; ``classes`` uint8 its category;
    ``known`` bool.
    """

    planes: NDArray[np.uint8]
    objects: NDArray[np.int32]
    classes: NDArray[np.uint8]
    known: NDArray[np.bool_]


def best_rule(
    grounds: Sequence[Ground], levels: NDArray[np.uint8], countable: NDArray[np.bool_]
) -> Rule:
    """Return the rule with the highest mean panoptic quality of the countable categories.

    Memory: some 30 bytes a pixel of one piece of ground.
    """
    sizes = _least_sizes(grounds, countable)
    sums = {(depth, least): _Sums(len(countable)) for depth in DEPTHS for least in sizes}
    for ground in grounds:
        classes, _ = decide_known(ground.planes, levels, ground.known)
        basins = Basins(classes, ground.planes[-1], countable)
        reference = np.where(countable[ground.classes.astype(np.int64) - 1], ground.objects, 0)
        reference[(ground.classes == 0) | ~ground.known] = 0
        for depth in DEPTHS:
            labels = basins.instances(depth).labels
            overlaps = _Overlaps.of(labels, reference, classes, ground.classes)
            for least in sizes:
                sums[depth, least].add(overlaps.without_small(least))
    means = np.array([[sums[depth, least].mean(countable) for least in sizes] for depth in DEPTHS])
    row, column = np.unravel_index(_steadied(means).argmax(), means.shape)
    best = DEPTHS[row], sizes[column]
    return Rule(*best, sums[best].qualities(countable))


def _steadied(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each mean together with its neighbours': one lucky rule among many is no good rule."""
    padded = np.pad(means, 1, mode="edge")
    rows = padded[:-2] + 2.0 * padded[1:-1] + padded[2:]
    return rows[:, :-2] + 2.0 * rows[:, 1:-1] + rows[:, 2:]


def _least_sizes(grounds: Sequence[Ground], countable: NDArray[np.bool_]) -> list[int]:
    sizes = [size for ground in grounds for size in _sizes(ground, countable).tolist()]
    median = float(np.median(sizes)) if sizes else 0.0
    return sorted({round(share * median) for share in LEAST_SHARES})


def _sizes(ground: Ground, countable: NDArray[np.bool_]) -> NDArray[np.int64]:
    counted = ground.known & (ground.classes > 0)
    counted &= countable[ground.classes.astype(np.int64) - 1]
    sizes = np.bincount(ground.objects[counted])
    return sizes[sizes > 0]


@dataclass(frozen=True)
class _Overlaps:
    """Which instances and objects of one category share how many pixels.

    ``pairs`` (n, 2) of numbers with ``shared`` (n,) pixels; sizes and categories (0 for unused
    numbers) are arrays by number.
    """

    pairs: NDArray[np.int64]
    shared: NDArray[np.int64]
    sizes: tuple[NDArray[np.int64], NDArray[np.int64]]
    categories: tuple[NDArray[np.uint8], NDArray[np.uint8]]

    @classmethod
    def of(
        cls,
        labels: NDArray[np.int32],
        reference: NDArray[np.int32],
        classes: NDArray[np.uint8],
        truth: NDArray[np.uint8],
    ) -> _Overlaps:
        both = (labels > 0) & (reference > 0) & (classes == truth)
        width = int(reference.max(initial=0)) + 1
        keys, shared = np.unique(
            labels[both].astype(np.int64) * width + reference[both], return_counts=True
        )
        pairs = np.stack([keys // width, keys % width], axis=1)
        sizes = np.bincount(labels.ravel()), np.bincount(reference.ravel())
        categories = _categories(labels, classes), _categories(reference, truth)
        return cls(pairs, shared, sizes, categories)

    def without_small(self, least_px: int) -> _Overlaps:
        """Return the same with smaller instances left out."""
        kept = self.sizes[0] >= least_px
        which = kept[self.pairs[:, 0]]
        categories = np.where(kept, self.categories[0], np.uint8(0)), self.categories[1]
        return _Overlaps(self.pairs[which], self.shared[which], self.sizes, categories)

    @property
    def ious(self) -> NDArray[np.float64]:
        sizes = self.sizes[0][self.pairs[:, 0]] + self.sizes[1][self.pairs[:, 1]]
        return self.shared / (sizes - self.shared)


def _categories(numbers: NDArray[np.int32], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the category of each number; 0 for those that do not occur, and for number 0."""
    found = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.uint8)
    found[numbers.ravel()] = classes.ravel()
    found[0] = 0
    return found


class _Sums:
    """Matched and unmatched objects by category, of one rule."""

    def __init__(self, categories: int) -> None:
        self._found, self._there, self._right = np.zeros((3, categories + 1), dtype=np.int64)
        self._iou = np.zeros(categories + 1)

    def add(self, overlaps: _Overlaps) -> None:
        count = len(self._iou)
        found, there = overlaps.categories
        self._found += np.bincount(found, minlength=count)
        self._there += np.bincount(there, minlength=count)
        ious = overlaps.ious
        matched = ious > MAJORITY
        categories = there[overlaps.pairs[matched, 1]]
        self._right += np.bincount(categories, minlength=count)
        self._iou += np.bincount(categories, ious[matched], minlength=count)

    def qualities(self, countable: NDArray[np.bool_]) -> tuple[float | None, ...]:
        return tuple(
            self._quality(i + 1).pq if counted else None for i, counted in enumerate(countable)
        )

    def mean(self, countable: NDArray[np.bool_]) -> float:
        known = [each for each in self.qualities(countable) if each is not None]
        return float(np.mean(known)) if known else 0.0

    def _quality(self, number: int) -> Quality:
        right = int(self._right[number])
        counts = Counts(right, int(self._found[number]) - right, int(self._there[number]) - right)
        return Quality(counts, float(self._iou[number]))
