"""Average precision by COCO's rules: the area under the precision-recall curve. No I/O."""

from __future__ import annotations

import numpy as np

from deepseg_qgis.engine.scoring.objects import Flags, Floats, Indices

COCO_THRESHOLDS = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
"""The IoU thresholds that AP is the mean of, to the bit those of pycocotools."""

RECALL_POINTS = 101


def by_score(scores: Floats) -> Indices:
    """Return the order by descending score; equal ones stay in theirs, as in pycocotools."""
    return np.argsort(-scores, kind="stable")


def average_precisions(hits: Flags, misses: Flags, present: int) -> Floats:
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
