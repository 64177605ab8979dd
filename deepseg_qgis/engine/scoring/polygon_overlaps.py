"""Which objects overlap, and how much: what every way to match them starts from. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.scoring.objects import Flags, Floats, Indices, Objects

PERFECT = 1.0 - 1e-10
"""A threshold of 1 forgives rounding, as in pycocotools."""

BATCH = 10_000
"""So many predictions look for overlaps at a time, which bounds the memory."""


@dataclass(frozen=True)
class OverlapPairs:
    """Overlapping objects of one category: indices of predictions and references, and their IoU.

    The arrays are of one length; an object may be in several pairs.
    """

    predicted: Indices
    reference: Indices
    iou: Floats

    def selected(self, which: Indices | Flags) -> OverlapPairs:
        """Return some of the pairs, or all in another order."""
        return OverlapPairs(self.predicted[which], self.reference[which], self.iou[which])

    def reaching(self, threshold: float) -> OverlapPairs:
        """Return the pairs whose IoU is at least ``threshold``, in the same order."""
        return self.selected(self.iou >= min(threshold, PERFECT))


def overlapping(predicted: Objects, reference: Objects, lowest: float) -> OverlapPairs:
    """Return all pairs of one category whose IoU is at least ``lowest`` and above 0.

    Time and memory grow with the pairs whose boxes overlap, not with all pairs.
    """
    batches = list(_overlaps(predicted, reference, lowest))
    if not batches:
        nothing = np.empty(0, dtype=np.int64)
        return OverlapPairs(nothing, nothing, np.empty(0))
    i, j, iou = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return OverlapPairs(i, j, iou)


def shared_areas(one: Geometries, other: Geometries) -> tuple[Indices, Indices, Floats]:
    """Return all pairs of polygons that share ground: their indices on both sides, and how much.

    Time and memory grow with the pairs whose boxes overlap.
    """
    tree = shapely.STRtree(other)
    pairs = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
    for start in range(0, len(one), BATCH):
        i, j = tree.query(one[start : start + BATCH])
        i = i + start
        shared = shapely.area(shapely.intersection(one[i], other[j]))
        some = shared > 0.0
        pairs.append((i[some], j[some], shared[some]))
    i, j, shared = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return i, j, shared


def _overlaps(
    predicted: Objects, reference: Objects, lowest: float
) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Yield predictions, references and their IoU, batch by batch."""
    ious = _Ious(predicted.geometries, reference.geometries, lowest)
    for category in np.intersect1d(predicted.categories, reference.categories):
        predictions = np.flatnonzero(predicted.categories == category)
        references = np.flatnonzero(reference.categories == category)
        tree = shapely.STRtree(reference.geometries[references])
        for start in range(0, len(predictions), BATCH):
            batch = predictions[start : start + BATCH]
            i, j = tree.query(predicted.geometries[batch])
            yield ious.of(batch[i], references[j])


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
        one, other = self._bounds[0][i], self._bounds[1][j]
        sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
        most: Floats = np.prod(np.maximum(sides, 0.0), axis=1)
        np.minimum(most, self._areas[0][i], out=most)
        np.minimum(most, self._areas[1][j], out=most)
        return most

    def _iou(self, i: Indices, j: Indices, shared: Floats) -> Floats:
        union = self._areas[0][i] + self._areas[1][j] - shared
        iou: Floats = np.zeros_like(shared)
        np.divide(shared, union, out=iou, where=union > 0.0)
        return iou
