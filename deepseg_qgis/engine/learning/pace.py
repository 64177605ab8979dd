"""How fast a training is, and so how much time is left. No I/O."""

from __future__ import annotations

import statistics
from collections import deque

STEPS_REMEMBERED = 15
VALIDATION_SHARE = 0.3
"""What a pixel takes in validation, of what it takes in training, until it is measured."""


class Pace:
    """Seconds a step and a validation take, by those that were measured.

    ``validation_steps`` is how many steps have as many pixels as a validation.
    """

    def __init__(self, validation_steps: float) -> None:
        self._steps: deque[float] = deque(maxlen=STEPS_REMEMBERED)
        self._validation_steps = VALIDATION_SHARE * validation_steps
        self._validation_s: float | None = None

    def add_step(self, seconds: float) -> None:
        """Take how long a step took, with the wait for its data."""
        self._steps.append(seconds)

    def add_validation(self, seconds: float) -> None:
        """Take how long a validation took."""
        self._validation_s = seconds

    @property
    def step_s(self) -> float:
        """The seconds of a step: the median, since the first ones are slow. 0 before any."""
        return statistics.median(self._steps) if self._steps else 0.0

    @property
    def validation_s(self) -> float:
        """The seconds of a validation."""
        if self._validation_s is None:
            return self._validation_steps * self.step_s
        return self._validation_s

    def validation_share(self, steps: int) -> float:
        """Return which share of an epoch of so many steps its validation takes."""
        if self._validation_s is None or not self._steps:
            return self._validation_steps / (steps + self._validation_steps)
        return self._validation_s / (steps * self.step_s + self._validation_s)

    def steps_within(self, seconds: float, steps: int) -> int:
        """Return how many steps fit, with a validation after each ``steps`` and in the end."""
        a_step = self.step_s + self.validation_s / steps
        return max(0, int((seconds - self.validation_s) / a_step)) if a_step else steps
