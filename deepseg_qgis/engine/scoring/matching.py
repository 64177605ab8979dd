"""Which objects are right: predictions matched to references by COCO's rules. No I/O.

The rules are those of pycocotools' ``COCOeval`` (T.-Y. Lin et al., Microsoft COCO, ECCV 2014), to
the last tie, with two differences: there is no cap on the number of predictions, and the cost grows
with the pairs that overlap, not with all pairs. So a whole scene can be matched as one picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.instances.overlaps import MAJORITY
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.objects import ALL, SIZES, Flags, Floats, Indices, Objects, Size
from deepseg_qgis.engine.scoring.overlaps import Pairs, overlapping
from deepseg_qgis.engine.scoring.panoptic import Quality

COCO_THRESHOLDS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
"""The IoU thresholds that AP is the mean of, to the bit those of pycocotools."""

RECALL_POINTS = 101

NOBODY = -1
"""The partner of an object that has none."""

TRUE_POSITIVE = "true_positive"
FALSE_POSITIVE = "false_positive"
MATCHED = "matched"
MISSED = "missed"
IGNORED = "ignored"


@dataclass(frozen=True)
class Partners:
    """Who belongs to whom where only objects of one size count, at each IoU threshold.

    ``index`` has shape (thresholds, predictions), int64: the reference that a prediction was
    matched to, or -1. Predictions of other sizes are ignored only where they have no partner.
    """

    index: Indices
    predicted_ignored: Flags
    reference_ignored: Flags

    @staticmethod
    def joined(parts: Sequence[Partners], starts: Sequence[int]) -> Partners:
        """Return the partners of several rasters, whose references begin at ``starts``."""
        return Partners(
            _together([part.index for part in parts], starts),
            np.concatenate([part.predicted_ignored for part in parts]),
            np.concatenate([part.reference_ignored for part in parts]),
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

    ``partners`` holds who is matched for each size, at the IoU ``thresholds``; ``outcome`` is that
    of ``iou_threshold`` and all sizes. ``panoptic`` is the outcome of pairs with an IoU above 0.5,
    whatever their scores; ``panoptic_iou`` (predictions,) is the IoU of each with its partner.
    """

    predicted: Objects
    reference: Objects
    categories: int
    thresholds: tuple[float, ...]
    partners: Mapping[Size, Partners]
    iou_threshold: float
    outcome: Outcome
    panoptic: Outcome
    panoptic_iou: Floats

    def average_precision(self, category: int, size: Size = ALL) -> Floats | None:
        """Return AP at each threshold, shape (thresholds,); their mean is COCO's AP.

        None for a category of which the reference has no object of this size that counts.
        """
        partners = self.partners[size]
        references = self.reference.categories == category
        present = int(np.count_nonzero(references & ~partners.reference_ignored))
        if present == 0:
            return None
        chosen = np.flatnonzero(self.predicted.categories == category)
        chosen = chosen[_by_score(self.predicted.scores[chosen])]
        index = partners.index[:, chosen]  # (thresholds, predictions of the category)
        found = index != NOBODY
        ignored = partners.predicted_ignored[chosen]
        counted = ~_set_aside(index, ignored, partners.reference_ignored)
        return _areas_under(found & counted, ~found & counted, present)

    def counts(self, category: int | None = None) -> Counts:
        """Return the object counts at ``iou_threshold``, of one category or of all together."""
        return self._counts(self.outcome, category)

    def quality(self, category: int) -> Quality:
        """Return the panoptic quality of a category whose segments are its objects ("things").

        A reference that is ignored is not missed, and its partner is no false positive.
        """
        right = self.panoptic.predicted == TRUE_POSITIVE
        right &= self.predicted.categories == category
        return Quality(self._counts(self.panoptic, category), float(self.panoptic_iou[right].sum()))

    def _counts(self, outcome: Outcome, category: int | None) -> Counts:
        predicted, reference = outcome.predicted, outcome.reference
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
    """Match predictions to references of their own category, at each size and IoU threshold anew.

    By descending score (the earlier first where scores are equal), each prediction takes the free
    reference with the highest IoU that reaches the threshold: one that counts before one that is
    ignored, and the later one where IoUs are equal. Predictions with an ignored partner are
    ignored, and so are ignored ones without partner. Objects must overlap to match, also at an
    ``iou_threshold`` of 0.

    Memory: the overlapping pairs, and eight bytes a prediction, threshold and size.
    """
    pairs = overlapping(predicted, reference, min(*thresholds, iou_threshold, MAJORITY))
    ranked = _ranked(pairs, predicted, reference.ignored)
    chosen = _matched(ranked.reaching(iou_threshold), len(predicted), len(reference))
    partner, iou = _panoptic(pairs, predicted, reference)
    return Matches(
        predicted=predicted,
        reference=reference,
        categories=categories,
        thresholds=tuple(thresholds),
        partners={size: _partners(pairs, predicted, reference, thresholds, size) for size in SIZES},
        iou_threshold=iou_threshold,
        outcome=_outcome(predicted, reference, chosen),
        panoptic=_outcome(predicted, reference, partner),
        panoptic_iou=iou,
    )


def joined(parts: Sequence[Matches]) -> Matches:
    """Return the matches of several rasters, matched one by one, as those of one collection.

    Objects follow each other in the order of the parts; all must have been matched at the same
    thresholds. Scores are then ranked over all rasters, as COCO does over its pictures.
    """
    starts = np.cumsum([0, *(len(part.reference) for part in parts[:-1])]).tolist()
    predicted = Objects.joined([part.predicted for part in parts])
    reference = Objects.joined([part.reference for part in parts])
    chosen = _together([part.outcome.predicted_partner for part in parts], starts)
    segments = _together([part.panoptic.predicted_partner for part in parts], starts)
    return replace(
        parts[0],
        predicted=predicted,
        reference=reference,
        partners={
            size: Partners.joined([part.partners[size] for part in parts], starts)
            for size in parts[0].partners
        },
        outcome=_outcome(predicted, reference, chosen),
        panoptic=_outcome(predicted, reference, segments),
        panoptic_iou=np.concatenate([part.panoptic_iou for part in parts]),
    )


def _partners(
    pairs: Pairs,
    predicted: Objects,
    reference: Objects,
    thresholds: Sequence[float],
    size: Size,
) -> Partners:
    ignored = size.ignored(reference)
    ranked = _ranked(pairs, predicted, ignored)
    index = [_matched(ranked.reaching(t), len(predicted), len(reference)) for t in thresholds]
    return Partners(np.stack(index), size.ignored(predicted), ignored)


def _ranked(pairs: Pairs, predicted: Objects, ignored: Flags) -> Pairs:
    """Return the pairs in the order in which COCO matches them; ``ignored`` is of references."""
    rank = np.empty(len(predicted), dtype=np.int64)
    rank[_by_score(predicted.scores)] = np.arange(len(predicted))
    i, j = pairs.predicted, pairs.reference
    return pairs.chosen(np.lexsort((-j, -pairs.iou, ignored[j], rank[i])))  # the last weighs most


def _panoptic(pairs: Pairs, predicted: Objects, reference: Objects) -> tuple[Indices, Floats]:
    """Return each prediction's partner with an IoU above 0.5, or -1, and the IoU with it, or 0.

    Segments that do not overlap each other have one such partner at most. Annotations may, so the
    closest pairs go first, and those whose reference counts before all others.
    """
    pairs = pairs.chosen(pairs.iou > MAJORITY)
    i, j = pairs.predicted, pairs.reference
    pairs = pairs.chosen(np.lexsort((j, i, -pairs.iou, reference.ignored[j])))
    partner = _matched(pairs, len(predicted), len(reference))
    kept = partner[pairs.predicted] == pairs.reference
    iou = np.zeros(len(predicted))
    iou[pairs.predicted[kept]] = np.minimum(pairs.iou[kept], 1.0)  # rounding may pass 1
    return partner, iou


def _matched(pairs: Pairs, predictions: int, references: int) -> Indices:
    """Return each prediction's reference, or -1.

    The pairs come in the order of preference, so a pair whose two sides are free is a match. Pairs
    without rivals on either side, which are nearly all, need no loop.
    """
    i, j = pairs.predicted, pairs.reference
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


def _together(partners: Sequence[Indices], starts: Sequence[int]) -> Indices:
    """Return partners of several rasters, (…, predictions), as of one with all references."""
    moved = [
        np.where(partner == NOBODY, NOBODY, partner + start)
        for partner, start in zip(partners, starts, strict=True)
    ]
    return np.concatenate(moved, axis=-1)


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


def _set_aside(partner: Indices, ours: Flags, theirs: Flags) -> Flags:
    """Return which predictions do not count: by their partner, or without one by themselves."""
    of_partner = np.append(theirs, False)[partner]  # -1 is the last one
    return np.where(partner == NOBODY, ours, of_partner)


def _by_score(scores: Floats) -> Indices:
    """Return the order by descending score; equal ones stay in theirs, as in pycocotools."""
    return np.argsort(-scores, kind="stable")


def _areas_under(hits: Flags, misses: Flags, present: int) -> Floats:
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
