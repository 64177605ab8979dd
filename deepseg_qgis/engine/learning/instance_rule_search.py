"""Which instance rule finds the objects of the validation areas best."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.instances.watershed import Watershed, by_class, instances_of
from deepseg_qgis.engine.learning.object_sizes import SMALL_QUANTILE, SPECK_SHARE
from deepseg_qgis.engine.legend.decisions import as_levels, decide_known
from deepseg_qgis.engine.legend.legend import InstanceRule
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.label_overlaps import LabelOverlaps
from deepseg_qgis.engine.scoring.panoptic import PanopticQuality

DEPTHS = (3, 6, 10, 15, 21, 28, 36, 46, 58, 72, 90, 112, 140)
LEAST_SHARES = (0.0, 0.2, 0.4, 0.6)
"""Least sizes that are tried, as shares of the category's small object."""
DEFAULT_DEPTH = 58
"""This and `SPECK_SHARE` are taken unless others are better by more than chance
(docs/instances.md)."""
CONNECTED = 256
"""A depth that no peak reaches: objects are connected areas."""


@dataclass(frozen=True)
class ScoredInstanceRule(InstanceRule):
    """A rule, and the panoptic qualities that it gives on the validation areas, by category.

    None for categories that are not countable, or neither annotated nor predicted.
    """

    qualities: tuple[float | None, ...]


@dataclass(frozen=True)
class ValidationRegion:
    """A part of the validation area: what the network says, and what is annotated.

    ``planes`` (planes, rows, columns) uint8, see `Legend.planes`; ``objects`` (rows, columns)
    int32 the number of each pixel's annotation, 0 for none; ``classes`` uint8 its category;
    ``known`` bool.
    """

    planes: NDArray[np.uint8]
    objects: NDArray[np.int32]
    classes: NDArray[np.uint8]
    known: NDArray[np.bool_]


def best_instance_rule(
    regions: Sequence[ValidationRegion],
    thresholds: Sequence[float],
    countable: NDArray[np.bool_],
    control: Control | None = None,
    usual: InstanceRule | None = None,
) -> ScoredInstanceRule:
    """Return for each category the rule with the best objects, rightly counted.

    What is compared is panoptic quality × (1 − count error²): quality alone may be highest where a
    quarter of the houses are missing, since what is left out cannot be wrong; but a small error of
    the count on other ground tells little. Of those that are as good as the best, the one nearest
    to the default is taken, see `_nearest_to_default`. Of categories that are not countable,
    objects are connected areas, and only the least size is looked for: specks are none.

    Args:
        regions: the validation areas.
        thresholds: of the categories, 0 to 1.
        countable: (k,), which categories are countable; one at least.
        control: hears how far it is.
        usual: the rule that is the default of each category whose depth it knows (above 0).

    Memory: some 40 bytes a pixel of one region, and 4 of the others.
    """
    references = [_reference(region, countable) for region in regions]
    sizes = _least_sizes(regions, references, len(countable))
    counts = [_MatchCounts(len(countable)) for _ in itertools.product(DEPTHS, sizes)]
    levels = as_levels(tuple(thresholds))
    for number, (region, reference) in enumerate(zip(regions, references, strict=True), start=1):
        at_depths = _at_depths(region, reference, levels, countable)
        tried = (each.without_small(by_class(least)) for each in at_depths for least in sizes)
        for one, overlaps in zip(counts, tried, strict=True):
            one.add(overlaps)
            if control is not None:
                control.progress(
                    number / len(regions), f"Validation of objects, {number} of {len(regions)}"
                )
    return _best(counts, sizes, countable, _Default.of(usual, sizes))


def _best(
    counts: Sequence[_MatchCounts],
    sizes: NDArray[np.int64],
    countable: NDArray[np.bool_],
    default: _Default,
) -> ScoredInstanceRule:
    """Return each category's best rule, out of the counts of all (depths × sizes)."""
    merits = np.nan_to_num(np.array([each.merits for each in counts]))
    shape = len(DEPTHS), len(sizes), len(countable)
    chosen = _nearest_to_default(_smoothed(merits.reshape(shape)), counts[0].reference, default)
    depths, least = np.divmod(chosen, len(sizes))
    qualities = [counts[rule].qualities[category] for category, rule in enumerate(chosen)]
    return ScoredInstanceRule(
        tuple(DEPTHS[k] if counted else 0 for k, counted in zip(depths, countable, strict=True)),
        tuple(int(sizes[k, category]) for category, k in enumerate(least)),
        tuple(
            None if np.isnan(quality) or not counted else quality
            for quality, counted in zip(qualities, countable, strict=True)
        ),
    )


def _smoothed(merits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each merit averaged with its neighbours': one lucky rule among many is no good one."""
    for axis in (0, 1):
        ends = [(int(each == axis),) * 2 for each in range(merits.ndim)]
        sums = sliding_window_view(np.pad(merits, ends, mode="edge"), 3, axis) @ (1.0, 2.0, 1.0)
        merits = sums / 4.0
    return merits


class _Default(NamedTuple):
    """The default of each category, as places in `DEPTHS` and in the sizes that are tried."""

    depths: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, usual: InstanceRule | None, sizes: NDArray[np.int64]) -> _Default:
        """Return the places nearest to a usual rule, where that knows a category."""
        count = sizes.shape[1]
        depths = np.full(count, DEPTHS.index(DEFAULT_DEPTH))
        shares = np.full(count, LEAST_SHARES.index(SPECK_SHARE))
        if usual is None:
            return cls(depths, shares)
        given = np.array(usual.depths)
        nearest = np.abs(np.array(DEPTHS)[:, None] - given).argmin(axis=0)
        least = np.abs(sizes - np.array(usual.least_px)).argmin(axis=0)
        return cls(np.where(given > 0, nearest, depths), np.where(given > 0, least, shares))


def _nearest_to_default(
    merits: NDArray[np.float64], reference: NDArray[np.int64], default: _Default
) -> NDArray[np.int64]:
    """Return each category's rule: the nearest to the default of those as good as the best.

    The best of many rules is so by chance, the more so the fewer objects there are. So all those
    count as good that are worse by no more than a standard error: the share of n objects that are
    found has one of at most 0.5 / √n, which is about 1 / √n of such qualities as are usual.

    Args:
        merits: (depths, sizes, categories).
        reference: (categories,), how many objects are annotated.
        default: of each category.

    Source: the rule of one standard error, Breiman, Friedman, Olshen, Stone, Classification and
    Regression Trees, 1984.
    """
    depths = np.abs(np.arange(len(DEPTHS))[:, None] - default.depths) / len(DEPTHS)
    shares = np.abs(np.arange(len(LEAST_SHARES))[:, None] - default.sizes) / len(LEAST_SHARES)
    away = depths[:, None] + shares  # (depths, sizes, categories)
    error = 1.0 / np.sqrt(np.maximum(reference, 1))
    good = merits >= (1.0 - error) * merits.max(axis=(0, 1))
    distance = np.where(good, away - 1e-6 * merits, np.inf)
    chosen: NDArray[np.int64] = distance.reshape(-1, merits.shape[-1]).argmin(axis=0)
    return chosen


def _reference(region: ValidationRegion, countable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the number of each pixel's object; where not countable, connected ground is one."""
    counted = np.append(False, countable)[region.classes]
    flat = np.zeros_like(region.classes)
    others = instances_of(region.classes, flat, [int(not each) for each in countable])
    first = int(region.objects.max(initial=0))
    labels = np.where(counted, region.objects, np.where(others > 0, others + first, 0))
    return np.where(region.known, labels, 0).astype(np.int32)


def _depths(countable: NDArray[np.bool_], depth: int) -> list[int]:
    return [depth if counted else CONNECTED for counted in countable]


def _at_depths(
    region: ValidationRegion,
    reference: NDArray[np.int32],
    levels: NDArray[np.uint8],
    countable: NDArray[np.bool_],
) -> Iterator[LabelOverlaps]:
    """Yield the overlaps of objects and reference for each depth, the smallest first.

    Those of a greater depth are unions of those of the smallest, so pixels are counted once.
    """
    classes, _ = decide_known(region.planes, levels, region.known)
    counted = np.append(False, countable)[classes]
    heights = np.where(counted, region.planes[len(countable)], np.uint8(0))
    basins = Watershed(classes, heights, np.ones_like(countable).tolist())
    finest = basins.instances(_depths(countable, DEPTHS[0])).labels
    overlaps = LabelOverlaps.of((finest, classes), (reference, region.classes))
    for depth in DEPTHS:
        unions = np.zeros(len(overlaps.sizes[0]), dtype=np.int64)
        unions[finest.ravel()] = basins.instances(_depths(countable, depth)).labels.ravel()
        yield overlaps.united(unions)


def _least_sizes(
    regions: Sequence[ValidationRegion], references: Sequence[NDArray[np.int32]], count: int
) -> NDArray[np.int64]:
    """Return the smallest sizes that are tried, (sizes, categories).

    A category that is not there takes those of all objects.
    """
    found = [
        _sizes(reference, region.classes)
        for region, reference in zip(regions, references, strict=True)
    ]
    categories, sizes = np.concatenate([np.zeros((2, 0), dtype=np.int64), *found], axis=1)
    small = np.full(count, np.quantile(sizes, SMALL_QUANTILE) if len(sizes) else 0.0)
    for category in np.unique(categories):
        small[category - 1] = np.quantile(sizes[categories == category], SMALL_QUANTILE)
    return np.round(np.outer(LEAST_SHARES, small)).astype(np.int64)


def _sizes(reference: NDArray[np.int32], classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the category and the size in pixels of each object, (2, objects)."""
    there = reference > 0
    _, first, sizes = np.unique(reference[there], return_index=True, return_counts=True)
    return np.stack([classes[there][first].astype(np.int64), sizes])


class _MatchCounts:
    """Predicted, annotated and matched objects of one rule, by category."""

    def __init__(self, categories: int) -> None:
        shape = (3, categories + 1)
        self._predicted, self._reference, self._matched = np.zeros(shape, dtype=np.int64)
        self._iou = np.zeros(categories + 1)

    def add(self, overlaps: LabelOverlaps) -> None:
        count = len(self._iou)
        predicted, reference = overlaps.categories
        self._predicted += np.bincount(predicted, minlength=count)
        self._reference += np.bincount(reference, minlength=count)
        ious, matched = overlaps.ious, overlaps.matched
        categories = reference[overlaps.pairs[matched, 1]]
        self._matched += np.bincount(categories, minlength=count)
        self._iou += np.bincount(categories, ious[matched], minlength=count)

    @property
    def reference(self) -> NDArray[np.int64]:
        """How many objects of each category are annotated."""
        return self._reference[1:]

    @property
    def qualities(self) -> list[float]:
        """The panoptic quality of each category, NaN where there is none."""
        values = [self._quality(number).pq for number in range(1, len(self._iou))]
        return [np.nan if each is None else each for each in values]

    @property
    def merits(self) -> list[float]:
        """The quality of each category, less the squared share by which it is counted wrongly."""
        predicted, reference = self._predicted[1:], np.maximum(self._reference[1:], 1)
        errors = np.minimum(np.abs(predicted - reference) / reference, 1.0)
        return [float(each) for each in np.array(self.qualities) * (1.0 - errors**2)]

    def _quality(self, number: int) -> PanopticQuality:
        matched = int(self._matched[number])
        false, missed = self._predicted[number] - matched, self._reference[number] - matched
        return PanopticQuality(Counts(matched, int(false), int(missed)), float(self._iou[number]))
