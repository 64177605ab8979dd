"""How fast a training is, and so how much time is left. No I/O."""

from __future__ import annotations

import statistics
from collections import deque

STEPS_REMEMBERED = 15
FEWEST_STEPS = 3
"""After so many steps the pace is known: the first ones are slow."""
VALIDATION_SHARE = 0.3
"""What a pixel takes in validation, of what it takes in training, until that is measured."""


class Pace:
    """The seconds of a step and of a validation, as they were measured.

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
    def is_known(self) -> bool:
        """Whether times can be told from it."""
        return len(self._steps) >= FEWEST_STEPS

    @property
    def step_s(self) -> float:
        """The median seconds of a step; 1 before any."""
        return statistics.median(self._steps) if self._steps else 1.0

    @property
    def validation_s(self) -> float:
        """The seconds of a validation."""
        measured = self._validation_s
        return self._validation_steps * self.step_s if measured is None else measured

    def seconds(self, steps: float, validations: float) -> float:
        """Return how long steps and validations take."""
        return steps * self.step_s + validations * self.validation_s

    def steps_within(self, seconds: float, epoch_steps: int) -> int:
        """Return how many steps there is time for, with a validation an epoch and in the end."""
        each = self.step_s + self.validation_s / epoch_steps
        return max(0, int((seconds - self.validation_s) / each))
