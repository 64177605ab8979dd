"""Panoptic quality: how well things and regions are found and outlined, in one number. No I/O.

A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollár, Panoptic Segmentation, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepseg_qgis.engine.scoring.confusion import Confusion, Counts

PANOPTIC_IOU = 0.5
"""Segments match above this IoU, never at it: then each has one match at most."""


@dataclass(frozen=True)
class PanopticQuality:
    """The panoptic quality of one category, from its segments and their summed IoU.

    ``counts`` are of segments matched at an IoU above `PANOPTIC_IOU`; ``iou_sum`` is the sum of IoU
    over the true positives.
    """

    counts: Counts
    iou_sum: float

    @property
    def pq(self) -> float | None:
        """Panoptic quality, SQ times RQ; None where neither side has a segment."""
        if self.rq is None:
            return None
        return 0.0 if self.sq is None else self.sq * self.rq

    @property
    def sq(self) -> float | None:
        """Segmentation quality, the mean IoU of matched segments; None where none is matched."""
        matched = self.counts.true_positive
        return self.iou_sum / matched if matched else None

    @property
    def rq(self) -> float | None:
        """Recognition quality, TP / (TP + FP/2 + FN/2): the F1 of segments."""
        return self.counts.f1


def stuff_quality(confusions: Sequence[Confusion], category: int) -> PanopticQuality:
    """Return the quality of a category that is not counted ("stuff").

    Its segment is all of its ground in a raster; ``confusions`` hold the pixels of one raster each.
    """
    right = false = missed = 0
    iou_sum = 0.0
    for confusion in confusions:
        pixels = confusion.counts(category)
        if pixels.iou is not None and pixels.iou > PANOPTIC_IOU:
            right += 1
            iou_sum += pixels.iou
        else:
            false += pixels.true_positive + pixels.false_positive > 0
            missed += pixels.true_positive + pixels.false_negative > 0
    return PanopticQuality(Counts(right, false, missed), iou_sum)
