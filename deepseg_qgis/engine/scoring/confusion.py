"""Which pixels are right: confusion matrices, and the scores that follow from them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.errors import ParameterError

MOST_CATEGORIES = 255
"""Classes are bytes, and one of them is background."""


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives: of pixels, or of objects.

    Of one category or of all together. A share of nothing is None.
    """

    true_positive: int
    false_positive: int
    false_negative: int

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both together."""
        return Counts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def precision(self) -> float | None:
        """The share of what was predicted that is right; None where nothing was predicted."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """The share of the reference that was found; None where the reference has nothing."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; of pixels it is called Dice.

        None where neither side has anything.
        """
        twice = 2 * self.true_positive
        return _share(twice, twice + self.false_positive + self.false_negative)

    @property
    def iou(self) -> float | None:
        """Intersection over union (Jaccard index); None where neither side has anything."""
        return _share(
            self.true_positive, self.true_positive + self.false_positive + self.false_negative
        )


def check_categories(categories: int) -> None:
    """Check that so many categories can be compared.

    Raises:
        ParameterError: they cannot.
    """
    if not 0 <= categories <= MOST_CATEGORIES:
        raise ParameterError(
            f"Pixels can be compared in up to {MOST_CATEGORIES} categories, but annotations "
            f"and model have {categories} together. Choose a category field with fewer values."
        )


class ConfusionMatrix:
    """A confusion matrix of pixels, filled block by block.

    ``matrix`` has shape (categories + 1, categories + 1), int64: the row is the class in the
    reference, the column the predicted one, and background comes first.

    Raises:
        ParameterError: there are more than 255 categories.
    """

    def __init__(self, categories: int) -> None:
        check_categories(categories)
        self.categories = categories
        self.matrix: NDArray[np.int64] = np.zeros((categories + 1, categories + 1), dtype=np.int64)

    def add(
        self,
        reference: NDArray[np.uint8],
        predicted: NDArray[np.uint8],
        counted: NDArray[np.bool_],
    ) -> None:
        """Add the pixels of a block, all three of one shape, where ``counted`` is true.

        Class 0 is background, class i the category i - 1. Memory: nine bytes a pixel.

        Raises:
            ParameterError: a class is higher than the number of categories.
        """
        classes = self.categories + 1
        rows, columns = reference[counted], predicted[counted]
        highest = max(rows.max(initial=0), columns.max(initial=0))
        if highest >= classes:
            raise ParameterError(
                f"Expected pixels of the classes 0 (background) to {self.categories}, found class "
                f"{highest}. Compare with the annotations that belong to this prediction."
            )
        pairs = rows.astype(np.int64)
        pairs *= classes
        pairs += columns
        self.matrix += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def counts(self, category: int) -> Counts:
        """Return the pixel counts of one category (0 is the first category, not background)."""
        i = category + 1
        right = int(self.matrix[i, i])
        return Counts(
            right, int(self.matrix[:, i].sum()) - right, int(self.matrix[i].sum()) - right
        )

    @property
    def pixel_accuracy(self) -> float | None:
        """The share of all pixels, background included, whose class is right."""
        return _share(int(np.trace(self.matrix)), int(self.matrix.sum()))

    @property
    def mean_iou(self) -> float | None:
        """The mean IoU of the categories that occur in the reference or the prediction.

        Background is left out; None where no category occurs.
        """
        return mean_of_known([self.counts(i).iou for i in range(self.categories)])

    @staticmethod
    def joined(parts: Sequence[ConfusionMatrix]) -> ConfusionMatrix:
        """Return the pixels of several rasters, all of the same categories, in one matrix."""
        whole = ConfusionMatrix(parts[0].categories)
        for part in parts:
            whole.matrix += part.matrix
        return whole


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None, or None where all are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
