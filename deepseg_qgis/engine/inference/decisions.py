"""From probabilities to classes, and the thresholds between them. No I/O.

Probabilities are whole numbers in 1/255. The decision is the most probable category whose
probability reaches its threshold, else background.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

LEVELS = 256
PLAIN_THRESHOLD = 0.5
SEARCHED = (0.1, 0.9)
"""Thresholds outside of this would hang on very few pixels of the validation areas."""


def as_levels(thresholds: tuple[float, ...]) -> NDArray[np.uint8]:
    """Return thresholds from 0 to 1 as the lowest level (in 1/255) that reaches each."""
    return np.array([math.ceil(round(each * 255.0, 6)) for each in thresholds], dtype=np.uint8)


def decide(
    probabilities: NDArray[np.uint8], levels: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return each pixel's class and the probability of that class (0 for background).

    Args:
        probabilities: (categories, rows, columns), in 1/255.
        levels: (categories,), from `as_levels`.

    Returns:
        Two arrays (rows, columns): classes (0 background, 1 to k), probabilities in 1/255.
    """
    return decide_known(probabilities, levels, np.ones(probabilities.shape[1:], dtype=bool))


def decide_known(
    probabilities: NDArray[np.uint8], levels: NDArray[np.uint8], known: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the same as `decide`; background where ``known`` (rows, columns) is False."""
    classes = np.zeros(known.shape, dtype=np.uint8)
    chosen = np.zeros(known.shape, dtype=np.uint8)
    _decide(probabilities, levels, known, classes, chosen)
    return classes, chosen


@numba.njit(nogil=True, cache=True)  # type: ignore[misc, untyped-decorator, unused-ignore]
def _decide(
    probabilities: NDArray[np.uint8],
    levels: NDArray[np.uint8],
    known: NDArray[np.bool_],
    classes: NDArray[np.uint8],
    chosen: NDArray[np.uint8],
) -> None:
    """Fill in classes and their probabilities; both come as 0.

    Category by category along a row, so that the inner loop is of whole vectors. A category takes
    a pixel that no other has, or with a higher probability than the one that has it: at equal
    probability the first one keeps it.
    """
    rows, columns = known.shape
    for row in range(rows):
        for category in range(len(levels)):
            level = levels[category]
            number = np.uint8(category + 1)
            for column in range(columns):
                found = probabilities[category, row, column]
                held = chosen[row, column]
                free = classes[row, column] == 0
                takes = known[row, column] & (found >= level) & (free | (found > held))
                classes[row, column] = number if takes else classes[row, column]
                chosen[row, column] = found if takes else held


class ThresholdSearch:
    """Finds each category's best threshold on pixels whose class is known.

    Keeps, for each category, how many pixels it wins (is the most probable category of) at each
    level, rightly and wrongly; memory does not grow with the pixels.
    """

    def __init__(self, categories: int) -> None:
        self._right = np.zeros((categories, LEVELS), dtype=np.int64)
        self._wrong = np.zeros((categories, LEVELS), dtype=np.int64)
        self._reference = np.zeros(categories, dtype=np.int64)

    def add(
        self,
        probabilities: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        known: NDArray[np.bool_],
    ) -> None:
        """Count pixels: probabilities (categories, n…), reference classes (n…), known (n…)."""
        categories = len(self._reference)
        winner = probabilities.argmax(axis=0)[known]
        level = probabilities.max(axis=0)[known]
        truth = reference[known]
        right = truth == winner + 1
        cells = winner * LEVELS + level
        size = categories * LEVELS
        shape = (categories, LEVELS)
        self._right += np.bincount(cells[right], minlength=size).reshape(shape)
        self._wrong += np.bincount(cells[~right], minlength=size).reshape(shape)
        self._reference += np.bincount(truth, minlength=categories + 1)[1:]

    def best(self) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
        """Return each category's threshold (0 to 1) and the IoU it gives there.

        IoU is None for a category that neither occurs nor is predicted; its threshold is 0.5.
        """
        right = self._right[:, ::-1].cumsum(axis=1)[:, ::-1]
        wrong = self._wrong[:, ::-1].cumsum(axis=1)[:, ::-1]
        union = self._reference[:, None] + wrong
        iou = np.divide(right, union, out=np.zeros(union.shape), where=union > 0)
        low, high = (round(each * 255) for each in SEARCHED)
        thresholds: list[float] = []
        scores: list[float | None] = []
        for category in range(len(iou)):
            if self._reference[category] == 0:
                thresholds.append(PLAIN_THRESHOLD)
                predicted = wrong[category, math.ceil(PLAIN_THRESHOLD * 255)] > 0
                scores.append(0.0 if predicted else None)
                continue
            level = low + int(iou[category, low : high + 1].argmax())
            thresholds.append(level / 255.0)
            scores.append(float(iou[category, level]))
        return tuple(thresholds), tuple(scores)
