"""Panoptic quality: how well things and regions are found and outlined, in one number. No I/O.

A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollár, Panoptic Segmentation, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepseg_qgis.engine.instances.overlaps import MAJORITY
from deepseg_qgis.engine.scoring.confusion import Confusion, Counts


@dataclass(frozen=True)
class Quality:
    """The panoptic quality of one category, from its segments and their summed IoU.

    ``counts`` are of segments matched at an IoU above `MAJORITY`; ``iou_sum`` is the sum of IoU
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


def of_regions(confusions: Sequence[Confusion], category: int) -> Quality:
    """Return the quality of a category that is not counted ("stuff").

    Its segment is all of its ground in a raster; ``confusions`` hold the pixels of one raster each.
    """
    right = false = missed = 0
    iou_sum = 0.0
    for confusion in confusions:
        pixels = confusion.counts(category)
        if pixels.iou is not None and pixels.iou > MAJORITY:
            right += 1
            iou_sum += pixels.iou
        else:
            false += pixels.true_positive + pixels.false_positive > 0
            missed += pixels.true_positive + pixels.false_negative > 0
    return Quality(Counts(right, false, missed), iou_sum)
