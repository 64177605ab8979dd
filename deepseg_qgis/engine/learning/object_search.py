"""How objects are kept apart best: found on ground where they are known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.inference.decisions import as_levels, decide_known
from deepseg_qgis.engine.instances.basins import Basins
from deepseg_qgis.engine.instances.overlaps import Overlaps
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.panoptic import Quality

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DEPTHS = (3, 6, 10, 15, 21, 28, 36, 46, 58, 72, 90)
LEAST_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2)
"""Smallest sizes that are tried, as shares of the median object's."""


@dataclass(frozen=True)
class Rule:
    """How objects are told apart: see `ModelCard` for ``thresholds``, ``depth``, ``least_px``.

    ``qualities`` are the panoptic qualities that it gives, by category; None for those that are not
    countable, or neither there nor found.
    """

    thresholds: tuple[float, ...]
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
    ``thresholds`` are those of the other categories, which stay. Memory: some 40 bytes a pixel of
    one piece of ground.
    """
    sizes = _least_sizes(grounds, countable)
    rules = list(itertools.product(DEPTHS, sizes))
    shape = (len(THRESHOLDS), len(DEPTHS), len(sizes))
    sums = [[_Sums(len(countable)) for _ in rules] for _ in THRESHOLDS]
    for ground in grounds:
        reference = _reference(ground, countable)
        for tried, given in enumerate(THRESHOLDS):
            levels = as_levels(tuple(np.where(countable, given, thresholds).tolist()))
            found = _at_depths(ground, reference, levels, countable, DEPTHS)
            overlaps = [each.without_small(least) for each in found for least in sizes]
            for total, each in zip(sums[tried], overlaps, strict=True):
                total.add(each)
    merits = np.array([[each.merits for each in row] for row in sums]).reshape(*shape, -1)
    rule = _chosen(merits, sizes, thresholds, countable)
    return replace(rule, qualities=_given_by(rule, grounds, countable))


def _chosen(
    merits: NDArray[np.float64],
    sizes: Sequence[int],
    thresholds: Sequence[float],
    countable: NDArray[np.bool_],
) -> Rule:
    """Return the best rule; ``merits`` (thresholds, depths, sizes, categories), NaN for none.

    Each category has its own threshold, all together one depth and one least size. What the rule
    gives is not known yet: each threshold was tried for all categories at once.
    """
    judged = _steadied(np.where(countable, merits, np.nan))
    alone = np.nan_to_num(judged, nan=-1.0).max(axis=0)  # (depths, sizes, categories)
    alone[alone < 0.0] = np.nan
    means = np.nansum(alone, axis=-1)
    depth, size = divmod(int(means.argmax()), means.shape[1])
    chosen = list(thresholds)
    for category in np.flatnonzero(~np.isnan(alone[depth, size])):
        chosen[category] = THRESHOLDS[int(np.nanargmax(judged[:, depth, size, category]))]
    return Rule(tuple(chosen), DEPTHS[depth], sizes[size], ())


def _given_by(
    rule: Rule, grounds: Sequence[Ground], countable: NDArray[np.bool_]
) -> tuple[float | None, ...]:
    """Return the panoptic qualities that a rule gives, by category."""
    total = _Sums(len(countable))
    levels = as_levels(rule.thresholds)
    for ground in grounds:
        reference = _reference(ground, countable)
        for found in _at_depths(ground, reference, levels, countable, [rule.depth]):
            total.add(found.without_small(rule.least_px))
    return tuple(
        None if np.isnan(quality) or not counted else quality
        for quality, counted in zip(total.qualities, countable, strict=True)
    )


def _steadied(merits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each merit averaged with its neighbours': one lucky rule among many is no good one.

    A category that has none with one rule or threshold counts as 0 there.
    """
    missing = np.isnan(merits).all(axis=(0, 1, 2))
    result = np.nan_to_num(merits)
    for axis in range(3):
        padded = np.pad(result, [(1, 1) if i == axis else (0, 0) for i in range(4)], mode="edge")
        before, here, after = (
            np.take(padded, range(i, i + result.shape[axis]), axis=axis) for i in range(3)
        )
        result = (before + 2.0 * here + after) / 4.0
    result[..., missing] = np.nan
    return result


def _reference(ground: Ground, countable: NDArray[np.bool_]) -> NDArray[np.int32]:
    counted = np.append(False, countable)[ground.classes] & ground.known
    return np.where(counted, ground.objects, np.int32(0))


def _at_depths(
    ground: Ground,
    reference: NDArray[np.int32],
    levels: NDArray[np.uint8],
    countable: NDArray[np.bool_],
    depths: Sequence[int],
) -> Iterator[Overlaps]:
    """Yield the overlaps of instances and reference for each of ``depths``, the smallest first.

    Those of a greater depth are unions of those of the smallest, so pixels are counted once.
    """
    classes, _ = decide_known(ground.planes, levels, ground.known)
    basins = Basins(classes, ground.planes[len(countable)], countable)
    finest = basins.instances(depths[0]).labels
    overlaps = Overlaps.of((finest, classes), (reference, ground.classes))
    for depth in depths:
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
