"""From probabilities to classes. No I/O.

Probabilities are whole numbers in 1/255. The decision is the most probable category whose
probability reaches its threshold, else background.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import kernel


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


@kernel
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
