"""The learning rate over a training whose end may come sooner than planned. No I/O.

It rises, stays, and falls to nothing. Only the fall knows of an end, so that a training can be
brought to one at any time. Source: Hägele and others, Scaling Laws and Compute-Optimal Training
Beyond Fixed Training Durations, NeurIPS 2024 (warm-up, stable, decay; 1 - square root).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MOST_WARM_UP = 20
"""Steps in which the learning rate rises."""
WARM_UP_SHARE = 0.1
"""And no more than this share of all steps."""
DECAY_SHARE = 0.2
"""The share of all steps in which the learning rate falls."""


@dataclass(frozen=True)
class Schedule:
    """Shares of the maximum learning rate, by the number of steps done.

    It rises in the first ``warm_up`` steps and falls from step ``decay_start`` on; there is none
    after step ``end``.
    """

    warm_up: int
    decay_start: int
    end: int

    @classmethod
    def planned(cls, steps: int) -> Schedule:
        """Return the schedule of a training of so many steps."""
        warm_up = min(MOST_WARM_UP, max(1, round(WARM_UP_SHARE * steps)))
        return cls(warm_up, steps - decay_steps(steps), steps)

    def factor(self, step: int) -> float:
        """Return the share of the maximum learning rate for a step; the first is 0."""
        rise = min(1.0, (step + 1) / self.warm_up)
        fallen = (step + 1 - self.decay_start) / (self.end + 1 - self.decay_start)
        return rise * (1.0 - math.sqrt(min(max(fallen, 0.0), 1.0)))

    def ending(self, step: int, steps: int) -> Schedule:
        """Return the schedule that falls from ``step`` on, in so many steps, unless it ends before.

        A fall that has begun goes on as fast as it did, or faster.
        """
        if step + steps >= self.end:
            return self
        return replace(self, decay_start=min(self.decay_start, step), end=step + steps)


def decay_steps(steps: int) -> int:
    """Return how many of so many steps the learning rate falls in."""
    return max(1, round(DECAY_SHARE * steps))
