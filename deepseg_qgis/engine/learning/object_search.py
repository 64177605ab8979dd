"""How objects are kept apart best: found on ground where they are known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.instances.watershed import Watershed, by_class, instances_of
from deepseg_qgis.engine.legend.decisions import as_levels, decide_known
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.label_overlaps import LabelOverlaps
from deepseg_qgis.engine.scoring.panoptic import PanopticQuality

DEPTHS = (3, 6, 10, 15, 21, 28, 36, 46, 58, 72, 90, 112, 140)
LEAST_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2)
"""Smallest sizes that are tried, as shares of the category's median object."""
USUAL_DEPTH, USUAL_SHARE = 58, 0.15
"""What is taken unless another rule is better by more than chance.

The validation areas of the town and of three seeds of the nuclei (docs/instances.md) agree on it.
"""
CONNECTED = 256
"""A depth that no peak reaches: objects are connected ground."""


@dataclass(frozen=True)
class Rule:
    """What counts as an object: see `ModelCard` for ``depths`` and ``least_px``, by category.

    ``qualities`` are the panoptic qualities that it gives, by category; None for those that are not
    countable, or neither there nor found.
    """

    depths: tuple[int, ...]
    least_px: tuple[int, ...]
    qualities: tuple[float | None, ...]


@dataclass(frozen=True)
class Ground:
    """A piece of ground: what the network says, and what is there.

    ``planes`` (planes, rows, columns) uint8, see `Legend.planes`; ``objects`` (rows, columns)
    int32 the number of each pixel's annotation, 0 for none; ``classes`` uint8 its category;
    ``known`` bool.
    """

    planes: NDArray[np.uint8]
    objects: NDArray[np.int32]
    classes: NDArray[np.uint8]
    known: NDArray[np.bool_]


def best_rule(
    grounds: Sequence[Ground],
    thresholds: Sequence[float],
    countable: NDArray[np.bool_],
    control: Control | None = None,
) -> Rule:
    """Return for each category the rule with the best objects, rightly counted.

    What is compared is panoptic quality × (1 − count error²): quality alone may be highest where a
    quarter of the houses are missing, since what is left out cannot be wrong; but a small error of
    the count on other ground tells little. Of those that are as good as the best, the most usual
    is taken, see `_most_usual`. Of categories that are not countable, objects are the parts of
    connected ground, and only the least size is looked for: specks are none.

    Args:
        grounds: pieces of ground.
        thresholds: of the categories, 0 to 1.
        countable: (k,), which categories are countable; one at least.
        control: hears how far it is.

    Memory: some 40 bytes a pixel of one piece of ground, and 4 of the others.
    """
    references = [_reference(ground, countable) for ground in grounds]
    sizes = _least_sizes(grounds, references, len(countable))
    sums = [_Sums(len(countable)) for _ in itertools.product(DEPTHS, sizes)]
    levels = as_levels(tuple(thresholds))
    for number, (ground, reference) in enumerate(zip(grounds, references, strict=True), start=1):
        found = _at_depths(ground, reference, levels, countable)
        overlaps = (each.without_small(by_class(least)) for each in found for least in sizes)
        for total, each in zip(sums, overlaps, strict=True):
            total.add(each)
            if control is not None:
                control.progress(
                    number / len(grounds), f"Validation of objects, {number} of {len(grounds)}"
                )
    merits = np.array([each.merits for each in sums])
    there = sums[0].there
    shape = len(DEPTHS), len(sizes), len(countable)
    chosen = _most_usual(_steadied(np.nan_to_num(merits).reshape(shape)), there)
    depths, least = np.divmod(chosen, len(sizes))
    qualities = [sums[rule].qualities[k] for k, rule in enumerate(chosen)]
    return Rule(
        tuple(DEPTHS[k] if counted else 0 for k, counted in zip(depths, countable, strict=True)),
        tuple(int(sizes[k, category]) for category, k in enumerate(least)),
        tuple(
            None if np.isnan(quality) or not counted else quality
            for quality, counted in zip(qualities, countable, strict=True)
        ),
    )


def _steadied(merits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each merit averaged with its neighbours': one lucky rule among many is no good one."""
    for axis in (0, 1):
        ends = [(int(each == axis),) * 2 for each in range(merits.ndim)]
        sums = sliding_window_view(np.pad(merits, ends, mode="edge"), 3, axis) @ (1.0, 2.0, 1.0)
        merits = sums / 4.0
    return merits


def _most_usual(merits: NDArray[np.float64], there: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each category's rule: the most usual of those that are as good as the best.

    The best of many rules is so by chance, the more so the fewer objects there are. So all those
    count as good that are worse by no more than a standard error: the share of n objects that are
    found has one of at most 0.5 / √n, which is about 1 / √n of such qualities as are usual.

    Args:
        merits: (depths, sizes, categories).
        there: (categories,), how many objects there are.

    Source: the rule of one standard error, Breiman, Friedman, Olshen, Stone, Classification and
    Regression Trees, 1984.
    """
    depths = np.abs(np.arange(len(DEPTHS)) - DEPTHS.index(USUAL_DEPTH)) / len(DEPTHS)
    shares = np.abs(np.arange(len(LEAST_SHARES)) - LEAST_SHARES.index(USUAL_SHARE))
    away = (depths[:, None] + shares / len(LEAST_SHARES))[..., None]
    error = 1.0 / np.sqrt(np.maximum(there, 1))
    good = merits >= (1.0 - error) * merits.max(axis=(0, 1))
    unusual = np.where(good, away - 1e-6 * merits, np.inf)
    chosen: NDArray[np.int64] = unusual.reshape(-1, merits.shape[-1]).argmin(axis=0)
    return chosen


def _reference(ground: Ground, countable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the number of each pixel's object; where not countable, connected ground is one."""
    counted = np.append(False, countable)[ground.classes]
    flat = np.zeros_like(ground.classes)
    others = instances_of(ground.classes, flat, [int(not each) for each in countable])
    first = int(ground.objects.max(initial=0))
    labels = np.where(counted, ground.objects, np.where(others > 0, others + first, 0))
    return np.where(ground.known, labels, 0).astype(np.int32)


def _depths(countable: NDArray[np.bool_], depth: int) -> list[int]:
    return [depth if counted else CONNECTED for counted in countable]


def _at_depths(
    ground: Ground,
    reference: NDArray[np.int32],
    levels: NDArray[np.uint8],
    countable: NDArray[np.bool_],
) -> Iterator[LabelOverlaps]:
    """Yield the overlaps of objects and reference for each depth, the smallest first.

    Those of a greater depth are unions of those of the smallest, so pixels are counted once.
    """
    classes, _ = decide_known(ground.planes, levels, ground.known)
    counted = np.append(False, countable)[classes]
    heights = np.where(counted, ground.planes[len(countable)], np.uint8(0))
    basins = Watershed(classes, heights, np.ones_like(countable).tolist())
    finest = basins.instances(_depths(countable, DEPTHS[0])).labels
    overlaps = LabelOverlaps.of((finest, classes), (reference, ground.classes))
    for depth in DEPTHS:
        unions = np.zeros(len(overlaps.sizes[0]), dtype=np.int64)
        unions[finest.ravel()] = basins.instances(_depths(countable, depth)).labels.ravel()
        yield overlaps.united(unions)


def _least_sizes(
    grounds: Sequence[Ground], references: Sequence[NDArray[np.int32]], count: int
) -> NDArray[np.int64]:
    """Return the smallest sizes that are tried, (sizes, categories).

    A category that is not there takes those of all objects.
    """
    found = [
        _sizes(reference, ground.classes)
        for ground, reference in zip(grounds, references, strict=True)
    ]
    categories, sizes = np.concatenate([np.zeros((2, 0), dtype=np.int64), *found], axis=1)
    medians = np.full(count, np.median(sizes) if len(sizes) else 0.0)
    for category in np.unique(categories):
        medians[category - 1] = np.median(sizes[categories == category])
    return np.round(np.outer(LEAST_SHARES, medians)).astype(np.int64)


def _sizes(reference: NDArray[np.int32], classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the category and the size in pixels of each object, (2, objects)."""
    there = reference > 0
    _, first, sizes = np.unique(reference[there], return_index=True, return_counts=True)
    return np.stack([classes[there][first].astype(np.int64), sizes])


class _Sums:
    """Matched and unmatched objects by category, of one rule."""

    def __init__(self, categories: int) -> None:
        self._found, self._there, self._right = np.zeros((3, categories + 1), dtype=np.int64)
        self._iou = np.zeros(categories + 1)

    def add(self, overlaps: LabelOverlaps) -> None:
        count = len(self._iou)
        found, there = overlaps.categories
        self._found += np.bincount(found, minlength=count)
        self._there += np.bincount(there, minlength=count)
        ious, matched = overlaps.ious, overlaps.matched
        categories = there[overlaps.pairs[matched, 1]]
        self._right += np.bincount(categories, minlength=count)
        self._iou += np.bincount(categories, ious[matched], minlength=count)

    @property
    def there(self) -> NDArray[np.int64]:
        """How many objects of each category are there."""
        return self._there[1:]

    @property
    def qualities(self) -> list[float]:
        """The panoptic quality of each category, NaN where there is none."""
        found = [self._quality(number).pq for number in range(1, len(self._iou))]
        return [np.nan if each is None else each for each in found]

    @property
    def merits(self) -> list[float]:
        """The quality of each category, less the squared share by which it is counted wrongly."""
        found, there = self._found[1:], np.maximum(self._there[1:], 1)
        errors = np.minimum(np.abs(found - there) / there, 1.0)
        return [float(each) for each in np.array(self.qualities) * (1.0 - errors**2)]

    def _quality(self, number: int) -> PanopticQuality:
        right = int(self._right[number])
        counts = Counts(right, int(self._found[number]) - right, int(self._there[number]) - right)
        return PanopticQuality(counts, float(self._iou[number]))
