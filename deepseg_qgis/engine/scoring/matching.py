"""Which objects are right: predictions matched to references by COCO's rules. No I/O.

The rules are those of pycocotools' ``COCOeval`` (T.-Y. Lin et al., Microsoft COCO, ECCV 2014), to
the last tie, with two differences: there is no cap on the number of predictions, and the cost grows
with the pairs that overlap, not with all pairs. So a whole scene can be matched as one picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.projections import Geometries
from deepseg_qgis.engine.scoring.confusion import Counts

COCO_THRESHOLDS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
"""The IoU thresholds that AP is the mean of, to the bit those of pycocotools."""

RECALL_POINTS = 101
PERFECT = 1.0 - 1e-10
"""A threshold of 1 forgives rounding, as in pycocotools."""

NOBODY = -1
"""The partner of an object that has none."""

TRUE_POSITIVE = "true_positive"
FALSE_POSITIVE = "false_positive"
MATCHED = "matched"
MISSED = "missed"
IGNORED = "ignored"

BATCH = 10_000
"""So many predictions look for overlaps at a time, which bounds the memory."""

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Objects:
    """Predicted or reference objects; arrays of one length.

    ``geometries`` are valid polygons or multipolygons in pixel coordinates; ``categories`` (int)
    number a list of categories that both sides share; ``scores`` are floats, ones for references;
    ``ignored`` (bool) marks objects with less than half of their area inside the AOI.
    """

    geometries: Geometries
    categories: Indices
    scores: Floats
    ignored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.geometries)

    @staticmethod
    def joined(parts: Sequence[Objects]) -> Objects:
        """Return the objects of several rasters one after the other."""
        return Objects(
            np.concatenate([part.geometries for part in parts]),
            np.concatenate([part.categories for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.ignored for part in parts]),
        )


@dataclass(frozen=True)
class Outcome:
    """What became of each object at one IoU threshold, for counts and for a map of errors.

    ``predicted`` holds ``true_positive``, ``false_positive`` or ``ignored`` for each prediction,
    ``reference`` holds ``matched``, ``missed`` or ``ignored`` for each reference (arrays of text).
    The partners are indices into the other side, or -1 (also ignored objects may have one).
    """

    predicted: NDArray[np.str_]
    predicted_partner: Indices
    reference: NDArray[np.str_]
    reference_partner: Indices


@dataclass(frozen=True)
class Matches:
    """Predictions and references with who belongs to whom; made by `match`.

    ``partners`` has shape (thresholds, predictions), int64: the index of the reference that a
    prediction was matched to, or -1. ``outcome`` is that of ``iou_threshold``.
    """

    predicted: Objects
    reference: Objects
    categories: int
    thresholds: tuple[float, ...]
    partners: Indices
    iou_threshold: float
    outcome: Outcome

    def average_precision(self, category: int) -> Floats | None:
        """Return AP at each threshold, shape (thresholds,); their mean is COCO's AP.

        None for a category of which the reference has no object that counts.
        """
        references = np.flatnonzero(self.reference.categories == category)
        present = int(np.count_nonzero(~self.reference.ignored[references]))
        if present == 0:
            return None
        chosen = np.flatnonzero(self.predicted.categories == category)
        chosen = chosen[_by_score(self.predicted.scores[chosen])]
        partners = self.partners[:, chosen]  # (thresholds, predictions of the category)
        found = partners != NOBODY
        counted = ~_set_aside(partners, self.predicted.ignored[chosen], self.reference.ignored)
        return _areas_under(found & counted, ~found & counted, present)

    def counts(self, category: int | None = None) -> Counts:
        """Return the object counts at ``iou_threshold``, of one category or of all together."""
        predicted, reference = self.outcome.predicted, self.outcome.reference
        if category is not None:
            predicted = predicted[self.predicted.categories == category]
            reference = reference[self.reference.categories == category]
        return Counts(
            int(np.count_nonzero(predicted == TRUE_POSITIVE)),
            int(np.count_nonzero(predicted == FALSE_POSITIVE)),
            int(np.count_nonzero(reference == MISSED)),
        )


def match(
    predicted: Objects,
    reference: Objects,
    categories: int,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    iou_threshold: float = 0.5,
) -> Matches:
    """Match predictions to references of their own category, at each IoU threshold anew.

    By descending score (the earlier first where scores are equal), each prediction takes the free
    reference with the highest IoU that reaches the threshold: one that counts before one that is
    ignored, and the later one where IoUs are equal. Predictions with an ignored partner are
    ignored, and so are ignored ones without partner. Objects must overlap to match, also at an
    ``iou_threshold`` of 0.

    Memory: the overlapping pairs, and eight bytes a prediction and threshold.
    """
    lowest = min(*thresholds, iou_threshold)
    pairs = _pairs(predicted, reference, lowest)
    partners = np.stack([_matched(pairs, t, len(predicted), len(reference)) for t in thresholds])
    chosen = _matched(pairs, iou_threshold, len(predicted), len(reference))
    return Matches(
        predicted=predicted,
        reference=reference,
        categories=categories,
        thresholds=tuple(thresholds),
        partners=partners,
        iou_threshold=iou_threshold,
        outcome=_outcome(predicted, reference, chosen),
    )


def joined(parts: Sequence[Matches]) -> Matches:
    """Return the matches of several rasters, matched one by one, as those of one collection.

    Objects follow each other in the order of the parts; all must have been matched at the same
    thresholds. Scores are then ranked over all rasters, as COCO does over its pictures.
    """
    starts = np.cumsum([0, *(len(part.reference) for part in parts[:-1])]).tolist()
    partners, chosen = [], []
    for part, start in zip(parts, starts, strict=True):
        partners.append(_moved(part.partners, start))
        chosen.append(_moved(part.outcome.predicted_partner, start))
    predicted = Objects.joined([part.predicted for part in parts])
    reference = Objects.joined([part.reference for part in parts])
    return replace(
        parts[0],
        predicted=predicted,
        reference=reference,
        partners=np.concatenate(partners, axis=1),
        outcome=_outcome(predicted, reference, np.concatenate(chosen)),
    )


@dataclass(frozen=True)
class _Pairs:
    """Overlapping objects of one category, in the order in which they would be matched."""

    predicted: Indices
    reference: Indices
    iou: Floats


def _pairs(predicted: Objects, reference: Objects, lowest: float) -> _Pairs:
    """Return all pairs whose IoU is at least ``lowest`` and above 0."""
    found = list(_overlaps(predicted, reference, lowest))
    if not found:
        nothing = np.empty(0, dtype=np.int64)
        return _Pairs(nothing, nothing, np.empty(0))
    i, j, iou = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rank = np.empty(len(predicted), dtype=np.int64)
    rank[_by_score(predicted.scores)] = np.arange(len(predicted))
    order = np.lexsort((-j, -iou, reference.ignored[j], rank[i]))  # the last key weighs most
    return _Pairs(i[order], j[order], iou[order])


def _overlaps(
    predicted: Objects, reference: Objects, lowest: float
) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Yield predictions, references and their IoU, batch by batch."""
    ious = _Ious(predicted.geometries, reference.geometries, lowest)
    for category in np.intersect1d(predicted.categories, reference.categories):
        ours = np.flatnonzero(predicted.categories == category)
        theirs = np.flatnonzero(reference.categories == category)
        tree = shapely.STRtree(reference.geometries[theirs])
        for start in range(0, len(ours), BATCH):
            batch = ours[start : start + BATCH]
            i, j = tree.query(predicted.geometries[batch])
            yield ious.of(batch[i], theirs[j])


class _Ious:
    """IoU of pairs of polygons: intersection over union of areas."""

    def __init__(self, predicted: Geometries, reference: Geometries, lowest: float) -> None:
        self._predicted, self._reference, self._lowest = predicted, reference, lowest
        self._areas = shapely.area(predicted), shapely.area(reference)
        self._bounds = shapely.bounds(predicted), shapely.bounds(reference)

    def of(self, i: Indices, j: Indices) -> tuple[Indices, Indices, Floats]:
        """Return those of the pairs (i, j) that reach the lowest IoU, and their IoU.

        Most pairs are settled by their boxes and areas. That is more than speed: one road network
        overlaps the box of every small road, and each such intersection would walk all of it.
        """
        possible = self._iou(i, j, self._most_shared(i, j)) >= self._lowest * (1.0 - 1e-9)
        i, j = i[possible], j[possible]
        shared = shapely.area(shapely.intersection(self._predicted[i], self._reference[j]))
        iou = self._iou(i, j, shared)
        enough = (iou >= min(self._lowest, PERFECT)) & (iou > 0.0)
        return i[enough], j[enough], iou[enough]

    def _most_shared(self, i: Indices, j: Indices) -> Floats:
        """Return an upper bound of the shared area: that of the boxes, and of each object."""
        ours, theirs = self._bounds[0][i], self._bounds[1][j]
        sides = np.minimum(ours[:, 2:], theirs[:, 2:]) - np.maximum(ours[:, :2], theirs[:, :2])
        most: Floats = np.prod(np.maximum(sides, 0.0), axis=1)
        np.minimum(most, self._areas[0][i], out=most)
        np.minimum(most, self._areas[1][j], out=most)
        return most

    def _iou(self, i: Indices, j: Indices, shared: Floats) -> Floats:
        union = self._areas[0][i] + self._areas[1][j] - shared
        iou: Floats = np.zeros_like(shared)
        np.divide(shared, union, out=iou, where=union > 0.0)
        return iou


def _matched(pairs: _Pairs, threshold: float, predictions: int, references: int) -> Indices:
    """Return each prediction's reference, or -1.

    The pairs come in the order of preference, so a pair whose two sides are free is a match. Pairs
    without rivals on either side, which are nearly all, need no loop.
    """
    usable = pairs.iou >= min(threshold, PERFECT)
    i, j = pairs.predicted[usable], pairs.reference[usable]
    partner = np.full(predictions, NOBODY, dtype=np.int64)
    alone = (np.bincount(i, minlength=predictions)[i] == 1) & (
        np.bincount(j, minlength=references)[j] == 1
    )
    partner[i[alone]] = j[alone]
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for ours, theirs in zip(i[~alone].tolist(), j[~alone].tolist(), strict=True):
        if ours not in chosen and theirs not in taken:
            chosen[ours] = theirs
            taken.add(theirs)
    partner[list(chosen)] = list(chosen.values())
    return partner


def _moved(partner: Indices, start: int) -> Indices:
    return np.where(partner == NOBODY, NOBODY, partner + start)


def _outcome(predicted: Objects, reference: Objects, partner: Indices) -> Outcome:
    found = partner != NOBODY
    back = np.full(len(reference), NOBODY, dtype=np.int64)
    back[partner[found]] = np.flatnonzero(found)
    aside = _set_aside(partner, predicted.ignored, reference.ignored)
    return Outcome(
        predicted=np.where(aside, IGNORED, np.where(found, TRUE_POSITIVE, FALSE_POSITIVE)),
        predicted_partner=partner,
        reference=np.where(reference.ignored, IGNORED, np.where(back == NOBODY, MISSED, MATCHED)),
        reference_partner=back,
    )


def _set_aside(
    partner: Indices, ours: NDArray[np.bool_], theirs: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which predictions do not count: by their partner, or without one by themselves."""
    of_partner = np.append(theirs, False)[partner]  # -1 is the last one
    return np.where(partner == NOBODY, ours, of_partner)


def _by_score(scores: Floats) -> Indices:
    """Return the order by descending score; equal ones stay in theirs, as in pycocotools."""
    return np.argsort(-scores, kind="stable")


def _areas_under(hits: NDArray[np.bool_], misses: NDArray[np.bool_], present: int) -> Floats:
    """Return the areas under the precision-recall curves, shape (thresholds,).

    ``hits`` and ``misses`` have shape (thresholds, predictions) and are sorted by score. Precision
    is made to never rise with recall, and read at 101 recalls from 0 to 1.
    """
    right, wrong = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    recall = right / present
    precision = right / np.maximum(right + wrong, 1)  # ignored ones may come first
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.pad(precision, ((0, 0), (0, 1)))  # a recall never reached has precision 0
    points = np.linspace(0.0, 1.0, RECALL_POINTS)
    return np.array(
        [
            curve[np.searchsorted(reached, points)].mean()
            for curve, reached in zip(precision, recall, strict=True)
        ]
    )
