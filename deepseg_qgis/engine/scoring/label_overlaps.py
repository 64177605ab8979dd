"""Which numbered objects of two label maps are the same: pairs of them, and their IoU. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.scoring.panoptic import PANOPTIC_IOU

Labels = NDArray[np.int32]
Classes = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelOverlaps:
    """Which objects of one label map share how many pixels with those of another, by category.

    ``pairs`` (n, 2) of numbers with ``shared`` (n,) pixels; ``sizes`` in pixels and ``categories``
    (0 for numbers that are not in use) are arrays by number, of the first map and of the second.
    """

    pairs: NDArray[np.int64]
    shared: NDArray[np.int64]
    sizes: tuple[NDArray[np.int64], NDArray[np.int64]]
    categories: tuple[Classes, Classes]

    @classmethod
    def of(cls, one: tuple[Labels, Classes], other: tuple[Labels, Classes]) -> LabelOverlaps:
        """Return the overlaps of two maps, each of labels (from 1, 0 for none) and classes.

        Only objects of one category pair up. Memory: some 30 bytes a pixel.
        """
        (labels, classes), (reference, truth) = one, other
        both = (labels > 0) & (reference > 0) & (classes == truth)
        width = int(reference.max(initial=0)) + 1
        keys, shared = np.unique(
            labels[both].astype(np.int64) * width + reference[both], return_counts=True
        )
        pairs = np.stack([keys // width, keys % width], axis=1)
        sizes = np.bincount(labels.ravel()), np.bincount(reference.ravel())
        categories = _categories(labels, classes), _categories(reference, truth)
        return cls(pairs, shared, sizes, categories)

    def without_small(self, least_px: NDArray[np.int64]) -> LabelOverlaps:
        """Return the same with objects of the first map left out that are smaller.

        ``least_px`` (256,) is by category.
        """
        kept = self.sizes[0] >= least_px[self.categories[0]]
        which = kept[self.pairs[:, 0]]
        categories = np.where(kept, self.categories[0], np.uint8(0)), self.categories[1]
        return LabelOverlaps(self.pairs[which], self.shared[which], self.sizes, categories)

    def united(self, unions: NDArray[np.int64]) -> LabelOverlaps:
        """Return the same with objects of the first map united.

        ``unions`` says for each number which one it has then; only objects of one category unite.
        """
        width = len(self.sizes[1])
        keys = unions[self.pairs[:, 0]] * width + self.pairs[:, 1]
        keys, places = np.unique(keys, return_inverse=True)
        shared = np.bincount(places.ravel(), self.shared, len(keys)).astype(np.int64)
        pairs = np.stack([keys // width, keys % width], axis=1)
        count = int(unions.max(initial=0)) + 1
        sizes = np.bincount(unions, self.sizes[0], count).astype(np.int64)
        categories = np.zeros(count, dtype=np.uint8)
        categories[unions] = self.categories[0]
        categories[0] = 0
        return LabelOverlaps(
            pairs, shared, (sizes, self.sizes[1]), (categories, self.categories[1])
        )

    @property
    def ious(self) -> NDArray[np.float64]:
        """The IoU of each pair."""
        sizes = self.sizes[0][self.pairs[:, 0]] + self.sizes[1][self.pairs[:, 1]]
        return self.shared / (sizes - self.shared)

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Which pairs match."""
        return self.ious > PANOPTIC_IOU

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many pairs match, and how many objects there are in each map."""
        first, second = (int((each > 0).sum()) for each in self.categories)
        return int(self.matched.sum()), first, second


def _categories(numbers: Labels, classes: Classes) -> Classes:
    """Return the category of each number; 0 for those that do not occur, and for number 0."""
    categories = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.uint8)
    categories[numbers.ravel()] = classes.ravel()
    categories[0] = 0
    return categories
