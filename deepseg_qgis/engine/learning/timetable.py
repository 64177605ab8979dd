"""When a training ends, and how far it is: by epochs or minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from deepseg_qgis.engine.learning.pace import Pace
from deepseg_qgis.engine.learning.schedule import DECAY_SHARE, Schedule

LATE = 0.8
"""An end is brought forward where there is time for less than this share of the steps to it."""


class Timetable:
    """Moves the end of a schedule to where there is time for.

    ``epoch_steps`` is the number of steps in an epoch, ``validation_steps`` how many of them have
    as many pixels as a validation. ``minutes`` is the time for all of it, None for no limit, of
    which ``seconds_used`` were used by a run that was interrupted.
    """

    def __init__(
        self,
        epoch_steps: int,
        validation_steps: float,
        minutes: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = Pace(validation_steps)
        self._epoch_steps, self._clock = epoch_steps, clock
        self._limit_s = math.inf if minutes is None else 60.0 * minutes
        self._started = clock()

    def start(self, seconds_used: float) -> None:
        """Begin now; a run that was interrupted used so much of the time."""
        self._started = self._clock() - seconds_used

    def in_time(self, schedule: Schedule, step: int) -> Schedule:
        """Return the schedule after a step, with the fall of the rate begun if time asks for it."""
        if not self.pace.is_known or math.isinf(self._limit_s):
            return schedule
        left = self.pace.steps_within(self._seconds_left, self._epoch_steps)
        falls = step >= schedule.decay_start
        late = left < LATE * (schedule.end - step) if falls else left <= _fall_after(step)
        return schedule.ending(step, left) if late else schedule

    def fraction(self, schedule: Schedule, step: int, validations: float) -> float:
        """Return how far a training is, 0 to 1, by the time that it takes."""
        done = self.pace.seconds(step, validations)
        return done / (done + self._work_left_s(schedule, step, validations))

    def seconds_left(self, schedule: Schedule, step: int, validations: float) -> float | None:
        """Return how long it still takes, None where that is not known yet."""
        return self._work_left_s(schedule, step, validations) if self.pace.is_known else None

    @property
    def _seconds_left(self) -> float:
        return self._limit_s - (self._clock() - self._started)

    def _work_left_s(self, schedule: Schedule, step: int, validations: float) -> float:
        total = math.ceil(schedule.end / self._epoch_steps)
        work = self.pace.seconds(schedule.end - step, max(0.0, total - validations))
        return max(0.0, min(work, self._seconds_left))


def _fall_after(step: int) -> int:
    """Return how many steps the rate falls in after so many others."""
    return round(step * DECAY_SHARE / (1.0 - DECAY_SHARE))
