"""How objects are kept apart best: found on ground where they are known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deepseg_qgis.engine.inference.decisions import as_levels, decide_known
from deepseg_qgis.engine.instances.basins import Basins
from deepseg_qgis.engine.instances.overlaps import Overlaps
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.panoptic import Quality

DEPTHS = (3, 6, 10, 15, 21, 28, 36, 46, 58, 72, 90, 112, 140)
LEAST_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2)
"""Smallest sizes that are tried, as shares of the median object's."""


@dataclass(frozen=True)
class Rule:
    """How objects are told apart: see `ModelCard` for ``depth`` and ``least_px``.

    ``qualities`` are the panoptic qualities that it gives, by category; None for those that are not
    countable, or neither there nor found.
    """

    depth: int
    least_px: int
    qualities: tuple[float | None, ...]


@dataclass(frozen=True)
class Ground:
    """A piece of ground: what the network says, and what is there.

    ``planes`` (planes, rows, columns) uint8, see `ModelCard.planes`; ``objects`` (rows, columns)
    int32 the number of each pixel's annotation, 0 for none; ``classes`` uint8 its category;
    ``known`` bool.
    """

    planes: NDArray[np.uint8]
    objects: NDArray[np.int32]
    classes: NDArray[np.uint8]
    known: NDArray[np.bool_]


def best_rule(
    grounds: Sequence[Ground], thresholds: Sequence[float], countable: NDArray[np.bool_]
) -> Rule:
    """Return the rule with the best objects of the countable categories, rightly counted.

    What is compared is the mean of panoptic quality × (1 − |count error|): quality alone is highest
    where a quarter of the houses are missing, since what is left out cannot be wrong.
    ``thresholds`` (0 to 1) are the categories'. Memory: some 40 bytes a pixel of one piece of
    ground.
    """
    sizes = _least_sizes(grounds, countable)
    rules = list(itertools.product(DEPTHS, sizes))
    sums = [_Sums(len(countable)) for _ in rules]
    levels = as_levels(tuple(thresholds))
    for ground in grounds:
        found = _at_depths(ground, levels, countable)
        overlaps = (each.without_small(least) for each in found for least in sizes)
        for total, each in zip(sums, overlaps, strict=True):
            total.add(each)
    merits = np.array([each.merits for each in sums]).reshape(len(DEPTHS), len(sizes), -1)
    chosen = int(_steadied(_means(merits, countable)).argmax())
    qualities = [
        None if np.isnan(quality) or not counted else quality
        for quality, counted in zip(sums[chosen].qualities, countable, strict=True)
    ]
    return Rule(*rules[chosen], tuple(qualities))


def _means(merits: NDArray[np.float64], countable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean over the countable categories of merits (depths, sizes, categories).

    A category that is neither there nor found with a rule, NaN, is left out there.
    """
    known = countable & ~np.isnan(merits)
    sums = np.where(known, merits, 0.0).sum(axis=-1)
    means: NDArray[np.float64] = sums / np.maximum(known.sum(axis=-1), 1)
    return means


def _steadied(merits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each merit averaged with its neighbours': one lucky rule among many is no good one."""
    for axis in (0, 1):
        ends = [(int(each == axis),) * 2 for each in range(merits.ndim)]
        sums = sliding_window_view(np.pad(merits, ends, mode="edge"), 3, axis) @ (1.0, 2.0, 1.0)
        merits = sums / 4.0
    return merits


def _reference(ground: Ground, countable: NDArray[np.bool_]) -> NDArray[np.int32]:
    counted = np.append(False, countable)[ground.classes] & ground.known
    return np.where(counted, ground.objects, np.int32(0))


def _at_depths(
    ground: Ground, levels: NDArray[np.uint8], countable: NDArray[np.bool_]
) -> Iterator[Overlaps]:
    """Yield the overlaps of instances and reference for each depth, the smallest first.

    Those of a greater depth are unions of those of the smallest, so pixels are counted once.
    """
    classes, _ = decide_known(ground.planes, levels, ground.known)
    basins = Basins(classes, ground.planes[len(countable)], countable)
    finest = basins.instances(DEPTHS[0]).labels
    reference = _reference(ground, countable)
    overlaps = Overlaps.of((finest, classes), (reference, ground.classes))
    for depth in DEPTHS:
        unions = np.zeros(len(overlaps.sizes[0]), dtype=np.int64)
        unions[finest.ravel()] = basins.instances(depth).labels.ravel()
        yield overlaps.united(unions)


def _least_sizes(grounds: Sequence[Ground], countable: NDArray[np.bool_]) -> list[int]:
    sizes = [size for ground in grounds for size in _sizes(_reference(ground, countable))]
    median = float(np.median(sizes)) if sizes else 0.0
    return sorted({round(share * median) for share in LEAST_SHARES})


def _sizes(reference: NDArray[np.int32]) -> list[int]:
    sizes = np.bincount(reference.ravel())[1:]
    return [int(size) for size in sizes if size]


class _Sums:
    """Matched and unmatched objects by category, of one rule."""

    def __init__(self, categories: int) -> None:
        self._found, self._there, self._right = np.zeros((3, categories + 1), dtype=np.int64)
        self._iou = np.zeros(categories + 1)

    def add(self, overlaps: Overlaps) -> None:
        count = len(self._iou)
        found, there = overlaps.categories
        self._found += np.bincount(found, minlength=count)
        self._there += np.bincount(there, minlength=count)
        ious, matched = overlaps.ious, overlaps.matched
        categories = there[overlaps.pairs[matched, 1]]
        self._right += np.bincount(categories, minlength=count)
        self._iou += np.bincount(categories, ious[matched], minlength=count)

    @property
    def qualities(self) -> list[float]:
        """The panoptic quality of each category, NaN where there is none."""
        found = [self._quality(number).pq for number in range(1, len(self._iou))]
        return [np.nan if each is None else each for each in found]

    @property
    def merits(self) -> list[float]:
        """The quality of each category, less the share by which it is counted wrongly."""
        found, there = self._found[1:], np.maximum(self._there[1:], 1)
        errors = np.minimum(np.abs(found - there) / there, 1.0)
        return [float(each) for each in np.array(self.qualities) * (1.0 - errors)]

    def _quality(self, number: int) -> Quality:
        right = int(self._right[number])
        counts = Counts(right, int(self._found[number]) - right, int(self._there[number]) - right)
        return Quality(counts, float(self._iou[number]))
