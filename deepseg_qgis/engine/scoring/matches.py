"""Who was matched to whom, and the scores that follow from it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.scoring.average_precision import average_precisions, by_score
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.objects import (
    ALL_SIZES,
    Flags,
    Floats,
    Indices,
    Objects,
    SizeRange,
)
from deepseg_qgis.engine.scoring.panoptic import PanopticQuality

UNMATCHED = -1
"""The index of the other object where there is none."""

TRUE_POSITIVE = "true_positive"
FALSE_POSITIVE = "false_positive"
MATCHED = "matched"
MISSED = "missed"
IGNORED = "ignored"


@dataclass(frozen=True)
class SizeMatches:
    """The matches where only objects of one range of sizes count, at each IoU threshold.

    ``reference_index`` has shape (thresholds, predictions), int64: the reference that a prediction
    was matched to, or -1. Predictions of other sizes are ignored only where they have no match.
    """

    reference_index: Indices
    predicted_ignored: Flags
    reference_ignored: Flags

    @staticmethod
    def joined(parts: Sequence[SizeMatches], starts: Sequence[int]) -> SizeMatches:
        """Return the matches of several rasters, whose references begin at ``starts``."""
        return SizeMatches(
            _shifted([part.reference_index for part in parts], starts),
            np.concatenate([part.predicted_ignored for part in parts]),
            np.concatenate([part.reference_ignored for part in parts]),
        )


@dataclass(frozen=True)
class MatchStatus:
    """What each object is at one IoU threshold, for counts and for a map of errors.

    ``predicted`` holds ``true_positive``, ``false_positive`` or ``ignored`` for each prediction,
    ``reference`` holds ``matched``, ``missed`` or ``ignored`` for each reference (arrays of text).
    ``reference_index`` (predictions,) and ``predicted_index`` (references,) are the object's match
    on the other side, or -1; ignored objects may have one too.
    """

    predicted: NDArray[np.str_]
    reference_index: Indices
    reference: NDArray[np.str_]
    predicted_index: Indices

    @classmethod
    def of(cls, predicted: Objects, reference: Objects, reference_index: Indices) -> MatchStatus:
        """Return what the objects are, given each prediction's reference, or -1."""
        matched = reference_index != UNMATCHED
        predicted_index = np.full(len(reference), UNMATCHED, dtype=np.int64)
        predicted_index[reference_index[matched]] = np.flatnonzero(matched)
        missed = predicted_index == UNMATCHED
        ignored = _ignored(reference_index, predicted.ignored, reference.ignored)
        return cls(
            np.where(ignored, IGNORED, np.where(matched, TRUE_POSITIVE, FALSE_POSITIVE)),
            reference_index,
            np.where(reference.ignored, IGNORED, np.where(missed, MISSED, MATCHED)),
            predicted_index,
        )


@dataclass(frozen=True)
class Matches:
    """Predictions and references with who belongs to whom; made by `matching.match`.

    ``by_size`` holds the matches for each range of sizes, at the IoU ``thresholds``; ``status`` is
    that of ``iou_threshold`` and all sizes. ``panoptic`` is the status with pairs of an IoU above
    0.5, whatever their scores; ``panoptic_iou`` (predictions,) is the IoU of each with its match.
    """

    predicted: Objects
    reference: Objects
    categories: int
    thresholds: tuple[float, ...]
    by_size: Mapping[SizeRange, SizeMatches]
    iou_threshold: float
    status: MatchStatus
    panoptic: MatchStatus
    panoptic_iou: Floats

    def average_precision(self, category: int, size: SizeRange = ALL_SIZES) -> Floats | None:
        """Return AP at each threshold, shape (thresholds,); their mean is COCO's AP.

        None for a category of which the reference has no object of this size that counts.
        """
        matches = self.by_size[size]
        of_category = self.reference.categories == category
        present = int(np.count_nonzero(of_category & ~matches.reference_ignored))
        if present == 0:
            return None
        chosen = np.flatnonzero(self.predicted.categories == category)
        chosen = chosen[by_score(self.predicted.scores[chosen])]
        index = matches.reference_index[:, chosen]  # (thresholds, predictions of the category)
        matched = index != UNMATCHED
        ignored = matches.predicted_ignored[chosen]
        counted = ~_ignored(index, ignored, matches.reference_ignored)
        return average_precisions(matched & counted, ~matched & counted, present)

    def counts(self, category: int | None = None) -> Counts:
        """Return the object counts at ``iou_threshold``, of one category or of all together."""
        return self._counts(self.status, category)

    def panoptic_quality(self, category: int) -> PanopticQuality:
        """Return the panoptic quality of a category whose segments are its objects ("things").

        A reference that is ignored is not missed, and its match is no false positive.
        """
        right = self.panoptic.predicted == TRUE_POSITIVE
        right &= self.predicted.categories == category
        counts = self._counts(self.panoptic, category)
        return PanopticQuality(counts, float(self.panoptic_iou[right].sum()))

    def _counts(self, status: MatchStatus, category: int | None) -> Counts:
        predicted, reference = status.predicted, status.reference
        if category is not None:
            predicted = predicted[self.predicted.categories == category]
            reference = reference[self.reference.categories == category]
        return Counts(
            int(np.count_nonzero(predicted == TRUE_POSITIVE)),
            int(np.count_nonzero(predicted == FALSE_POSITIVE)),
            int(np.count_nonzero(reference == MISSED)),
        )

    @staticmethod
    def joined(parts: Sequence[Matches]) -> Matches:
        """Return the matches of several rasters, matched one by one, as those of one collection.

        Objects follow each other in the order of the parts; all must have been matched at the same
        thresholds. Scores are then ranked over all rasters, as COCO does over its pictures.
        """
        starts = np.cumsum([0, *(len(part.reference) for part in parts[:-1])]).tolist()
        predicted = Objects.joined([part.predicted for part in parts])
        reference = Objects.joined([part.reference for part in parts])
        index = _shifted([part.status.reference_index for part in parts], starts)
        panoptic_index = _shifted([part.panoptic.reference_index for part in parts], starts)
        return replace(
            parts[0],
            predicted=predicted,
            reference=reference,
            by_size={
                size: SizeMatches.joined([part.by_size[size] for part in parts], starts)
                for size in parts[0].by_size
            },
            status=MatchStatus.of(predicted, reference, index),
            panoptic=MatchStatus.of(predicted, reference, panoptic_index),
            panoptic_iou=np.concatenate([part.panoptic_iou for part in parts]),
        )


def _shifted(indices: Sequence[Indices], starts: Sequence[int]) -> Indices:
    """Return references of several rasters, (…, predictions), as indices into all of them."""
    shifted = [
        np.where(index == UNMATCHED, UNMATCHED, index + start)
        for index, start in zip(indices, starts, strict=True)
    ]
    return np.concatenate(shifted, axis=-1)


def _ignored(reference_index: Indices, predicted: Flags, reference: Flags) -> Flags:
    """Return which predictions do not count: by their match, or without one by themselves."""
    by_match = np.append(reference, False)[reference_index]  # -1 is the last one
    return np.where(reference_index == UNMATCHED, predicted, by_match)
