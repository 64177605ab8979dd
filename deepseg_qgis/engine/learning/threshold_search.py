"""Which threshold suits each category: found on pixels whose class is known. No I/O."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVELS = 256
HALF = (LEVELS - 1) / 2.0
SEARCHED = (0.1, 0.9)
"""Thresholds outside of this would hang on very few pixels of the validation areas."""
FEWEST_PLACES = 6
"""Were a strange threshold better by mere chance, five places would all agree once in 16 times."""
CERTAINTY = 0.975
"""A strange threshold is taken if it is better with this certainty (Student's distribution)."""
GROUPS = 32
"""Places are counted in so many groups, whose differences tell what is chance."""
LEAST_SHARE = 0.5
"""Of the best IoU; below it the plain threshold is of no use, however little is known."""

Counts = NDArray[np.int64]


class ThresholdSearch:
    """Finds each category's threshold: the plainest of those that are as good as the best.

    *Plain* is the threshold that tells best where the category is more probable than background:
    a half where there is one category, less among many, since they share the probability. The
    highest IoU is often had at a strange threshold by chance, since around it the IoU hardly
    changes. So the threshold is the one nearest to the plain one whose IoU is lower by no more than
    `standard_errors` of that difference, and at least `LEAST_SHARE` of the best. What lies side by
    side is alike, so errors come from the differences between *places*; fewer than
    `FEWEST_PLACES` tell nothing of them. Keeps, for each group of places and each category, how
    many pixels it wins (is the most probable category of) at each level, rightly and wrongly:
    130 kB a category, whatever the pixels.

    Sources: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984 (the
    simplest within one standard error); Efron, The Jackknife, the Bootstrap and Other Resampling
    Plans, 1982 (the standard error, of groups left out in turn); Student, The Probable Error of a
    Mean, Biometrika 6, 1908.
    """

    def __init__(self, categories: int) -> None:
        self._right: Counts = np.zeros((GROUPS, categories, LEVELS), dtype=np.int64)
        self._wrong: Counts = np.zeros((GROUPS, categories, LEVELS), dtype=np.int64)
        self._reference: Counts = np.zeros((GROUPS, categories), dtype=np.int64)
        self._below: Counts = np.zeros((categories, LEVELS), dtype=np.int64)
        self._above: Counts = np.zeros((categories, LEVELS), dtype=np.int64)
        """Pixels that a category wins where background is as probable at least, and where not."""
        self._groups: dict[Hashable, int] = {}

    def add(
        self,
        probabilities: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        known: NDArray[np.bool_],
        place: Hashable,
    ) -> None:
        """Count a piece of ground, such as a tile.

        Args:
            probabilities: (categories, n…), in 1/255.
            reference: (n…), classes from 1, 0 for background.
            known: (n…), which pixels count.
            place: where the piece lies; equal for those that lie near each other.
        """
        if not known.any():
            return
        group = self._groups.setdefault(place, len(self._groups) % GROUPS)
        categories = self._reference.shape[1]
        found = probabilities[:, known]
        winner, level = found.argmax(axis=0), found.max(axis=0)
        reference = reference[known]
        right = reference == winner + 1
        above = level + found.sum(axis=0, dtype=np.int64) > LEVELS - 1
        cells = winner * LEVELS + level
        for counts, which in (
            (self._right[group], right),
            (self._wrong[group], ~right),
            (self._above, above),
            (self._below, ~above),
        ):
            new = np.bincount(cells[which], minlength=categories * LEVELS)
            counts += new.reshape(categories, LEVELS)
        self._reference[group] += np.bincount(reference, minlength=categories + 1)[1:]

    def best(self) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
        """Return each category's threshold (0 to 1) and the IoU it gives there.

        IoU is None for a category that neither occurs nor is predicted. One that does not occur has
        the plain threshold.
        """
        groups = min(len(self._groups), GROUPS)
        right, wrong = (
            each[:groups, :, ::-1].cumsum(axis=2)[:, :, ::-1] for each in (self._right, self._wrong)
        )
        thresholds: list[float] = []
        scores: list[float | None] = []
        for category in range(self._reference.shape[1]):
            reference = self._reference[:groups, category]
            plain = _plain_level(self._below[category], self._above[category])
            if not reference.any():
                thresholds.append(plain / (LEVELS - 1))
                found = wrong[:, category, math.ceil(plain)].any()
                scores.append(0.0 if found else None)
                continue
            level, iou = _nearest_to_plain(right[:, category], wrong[:, category], reference, plain)
            thresholds.append(level / (LEVELS - 1))
            scores.append(iou)
        return tuple(thresholds), tuple(scores)


def _plain_level(below: Counts, above: Counts) -> float:
    """Return where to cut between two levels, so that most that beats background lies above.

    Args:
        below: (levels,), pixels won by the category where background is as probable at least.
        above: (levels,), those where it is less probable.
    """
    low, high = (round(each * (LEVELS - 1)) for each in SEARCHED)
    cuts = np.arange(low, high + 1)
    missed = np.append(0, above.cumsum())[cuts]
    false = below.sum() - np.append(0, below.cumsum())[cuts]
    best = cuts[missed + false == (missed + false).min()] - 0.5
    return float(best[np.abs(best - HALF).argmin()])


def _nearest_to_plain(
    right: Counts, wrong: Counts, reference: Counts, plain: float
) -> tuple[int, float]:
    """Return the level nearest to ``plain`` that is as good as the best, and its IoU.

    Args:
        right: (groups, levels), pixels that are rightly of the category at each threshold.
        wrong: (groups, levels), those that are not.
        reference: (groups,), pixels of the category.
        plain: a level, or between two.
    """
    low, high = (round(each * (LEVELS - 1)) for each in SEARCHED)
    searched = slice(low, high + 1)
    iou = _iou(right.sum(axis=0), wrong.sum(axis=0), reference.sum())[searched]
    best = int(iou.argmax())
    without = _iou(
        right.sum(axis=0) - right, wrong.sum(axis=0) - wrong, (reference.sum() - reference)[:, None]
    )[:, searched]
    lost = without[:, best : best + 1] - without  # (groups, levels)
    error = np.sqrt((len(reference) - 1) * lost.var(axis=0))
    most = error * standard_errors(len(reference)) if len(reference) >= FEWEST_PLACES else np.inf
    good = np.flatnonzero((iou[best] - iou <= most) & (iou >= LEAST_SHARE * iou[best]))
    away = np.abs(good + low - plain)
    chosen = int(good[away.argmin()])
    return chosen + low, float(iou[chosen])


def standard_errors(groups: int) -> float:
    """Return how many standard errors can be chance; the fewer groups, the less is known of them.

    With two digits, as printed tables have them.
    """
    return round(float(stdtrit(groups - 1, CERTAINTY)), 2)


def _iou(right: Counts, wrong: Counts, reference: Counts) -> NDArray[np.float64]:
    union = reference + wrong
    result = np.zeros(union.shape)
    np.divide(right, union, out=result, where=union > 0)
    return result
