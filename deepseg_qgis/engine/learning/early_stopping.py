"""Which epoch is kept, and when training stops early. No I/O."""

from __future__ import annotations

import numpy as np

AS_GOOD = 0.95
"""An epoch is kept if its score is so large a share of the best one before it."""


class EpochSelection:
    """Keeps the last epoch that is nearly as good as the best (`AS_GOOD`).

    The learning rate falls to the end and the weights settle, while the highest of many scores on a
    small validation area is mostly luck. ``patience`` is after how many epochs without improvement
    training stops; None or 0 for never.
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self._scores: list[float] = []

    def add(self, score: float | None) -> bool:
        """Take the validation score of an epoch; return whether it is to be kept."""
        highest = max(self._scores, default=0.0)
        self._scores.append(score or 0.0)
        return self._scores[-1] >= AS_GOOD * highest

    @property
    def is_out_of_patience(self) -> bool:
        """Whether the score has not risen for ``patience`` epochs."""
        if not self._patience or not self._scores:
            return False
        since_best = len(self._scores) - 1 - int(np.argmax(self._scores))
        return since_best >= self._patience
