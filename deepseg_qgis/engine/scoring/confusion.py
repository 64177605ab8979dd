"""Which ground is right: confusion matrices, and the scores that follow from them. No I/O."""

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
    """True positives, false positives and false negatives: of pixels, objects, or areas.

    Of one category or of all together. A share of nothing is None.
    """

    true_positive: float
    false_positive: float
    false_negative: float

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


class Confusion:
    """What the classes of the reference were predicted as, with the scores that follow.

    ``matrix`` has shape (categories + 1, categories + 1): the row is the class in the reference,
    the column the predicted one, and background comes first. Its entries are numbers of pixels, or
    areas of ground.
    """

    def __init__(self, matrix: NDArray[np.int64] | NDArray[np.float64]) -> None:
        self.matrix = matrix
        self.categories = len(matrix) - 1

    def counts(self, category: int) -> Counts:
        """Return the ground of one category (0 is the first category, not background)."""
        i = category + 1
        right = self.matrix[i, i].item()
        false = (self.matrix[:i, i].sum() + self.matrix[i + 1 :, i].sum()).item()
        missed = (self.matrix[i, :i].sum() + self.matrix[i, i + 1 :].sum()).item()
        return Counts(right, false, missed)

    @property
    def pixel_accuracy(self) -> float | None:
        """The share of all ground, background included, whose class is right."""
        return _share(np.trace(self.matrix).item(), self.matrix.sum().item())

    @property
    def mean_iou(self) -> float | None:
        """The mean IoU of the categories that occur in the reference or the prediction.

        Background is left out; None where no category occurs.
        """
        return mean_of_known([self.counts(i).iou for i in range(self.categories)])

    @staticmethod
    def joined(parts: Sequence[Confusion]) -> Confusion:
        """Return the ground of several places, all of the same categories, in one matrix."""
        return Confusion(np.sum([part.matrix for part in parts], axis=0))


class ConfusionMatrix(Confusion):
    """A confusion matrix of pixels (int64), filled block by block.

    Raises:
        ParameterError: there are more than 255 categories.
    """

    def __init__(self, categories: int) -> None:
        check_categories(categories)
        super().__init__(np.zeros((categories + 1, categories + 1), dtype=np.int64))

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


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None, or None where all are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
