"""Which objects are right: predictions matched to references by COCO's rules. No I/O.

The rules are those of pycocotools' ``COCOeval`` (T.-Y. Lin et al., Microsoft COCO, ECCV 2014), to
the last tie, with two differences: there is no cap on the number of predictions, and the cost grows
with the pairs that overlap, not with all pairs. So a whole scene can be matched as one picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepseg_qgis.engine.scoring.average_precision import COCO_THRESHOLDS, by_score
from deepseg_qgis.engine.scoring.matches import UNMATCHED, Matches, MatchStatus, SizeMatches
from deepseg_qgis.engine.scoring.objects import (
    SIZE_RANGES,
    Flags,
    Floats,
    Indices,
    Objects,
    SizeRange,
)
from deepseg_qgis.engine.scoring.panoptic import PANOPTIC_IOU
from deepseg_qgis.engine.scoring.polygon_overlaps import OverlapPairs, overlapping


def match(
    predicted: Objects,
    reference: Objects,
    categories: int,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    iou_threshold: float = 0.5,
    sizes: Sequence[SizeRange] = SIZE_RANGES,
) -> Matches:
    """Match predictions to references of their own category, at each size and IoU threshold anew.

    By descending score (the earlier first where scores are equal), each prediction takes the free
    reference with the highest IoU that reaches the threshold: one that counts before one that is
    ignored, and the later one where IoUs are equal. Predictions with an ignored match are ignored,
    and so are ignored ones without match. Objects must overlap to match, also at an
    ``iou_threshold`` of 0.

    Memory: the overlapping pairs, and eight bytes a prediction, threshold and size.
    """
    pairs = overlapping(predicted, reference, min(*thresholds, iou_threshold, PANOPTIC_IOU))
    ranked = _ranked(pairs, predicted, reference.ignored).reaching(iou_threshold)
    reference_index = paired(ranked, len(predicted), len(reference))
    panoptic_index, panoptic_iou = _panoptic(pairs, predicted, reference)
    return Matches(
        predicted=predicted,
        reference=reference,
        categories=categories,
        thresholds=tuple(thresholds),
        by_size={
            size: _size_matches(pairs, predicted, reference, thresholds, size) for size in sizes
        },
        iou_threshold=iou_threshold,
        status=MatchStatus.of(predicted, reference, reference_index),
        panoptic=MatchStatus.of(predicted, reference, panoptic_index),
        panoptic_iou=panoptic_iou,
    )


def _size_matches(
    pairs: OverlapPairs,
    predicted: Objects,
    reference: Objects,
    thresholds: Sequence[float],
    size: SizeRange,
) -> SizeMatches:
    ignored = size.ignored(reference)
    ranked = _ranked(pairs, predicted, ignored)
    index = [paired(ranked.reaching(t), len(predicted), len(reference)) for t in thresholds]
    return SizeMatches(np.stack(index), size.ignored(predicted), ignored)


def _ranked(pairs: OverlapPairs, predicted: Objects, ignored: Flags) -> OverlapPairs:
    """Return the pairs in the order in which COCO matches them; ``ignored`` is of references."""
    rank = np.empty(len(predicted), dtype=np.int64)
    rank[by_score(predicted.scores)] = np.arange(len(predicted))
    i, j = pairs.predicted, pairs.reference
    return pairs.selected(np.lexsort((-j, -pairs.iou, ignored[j], rank[i])))  # the last weighs most


def _panoptic(
    pairs: OverlapPairs, predicted: Objects, reference: Objects
) -> tuple[Indices, Floats]:
    """Return each prediction's match with an IoU above 0.5, or -1, and the IoU with it, or 0.

    Segments that do not overlap each other have one such match at most. Annotations may, so the
    closest pairs go first, and those whose reference counts before all others.
    """
    pairs = pairs.selected(pairs.iou > PANOPTIC_IOU)
    i, j = pairs.predicted, pairs.reference
    pairs = pairs.selected(np.lexsort((j, i, -pairs.iou, reference.ignored[j])))
    reference_index = paired(pairs, len(predicted), len(reference))
    kept = reference_index[pairs.predicted] == pairs.reference
    iou = np.zeros(len(predicted))
    iou[pairs.predicted[kept]] = np.minimum(pairs.iou[kept], 1.0)  # rounding may pass 1
    return reference_index, iou


def paired(pairs: OverlapPairs, predictions: int, references: int) -> Indices:
    """Return each prediction's reference, or -1.

    The pairs come in the order of preference, so a pair whose two sides are free is a match. Pairs
    without rivals on either side, which are nearly all, need no loop.
    """
    i, j = pairs.predicted, pairs.reference
    reference_index = np.full(predictions, UNMATCHED, dtype=np.int64)
    alone = (np.bincount(i, minlength=predictions)[i] == 1) & (
        np.bincount(j, minlength=references)[j] == 1
    )
    reference_index[i[alone]] = j[alone]
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for prediction, candidate in zip(i[~alone].tolist(), j[~alone].tolist(), strict=True):
        if prediction not in matched and candidate not in taken:
            matched[prediction] = candidate
            taken.add(candidate)
    reference_index[list(matched)] = list(matched.values())
    return reference_index
