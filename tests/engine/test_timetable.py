"""A training ends in time, and says how long it takes."""

import pytest

from deepseg_qgis.engine.learning.outlook import outlook
from deepseg_qgis.engine.learning.pace import Pace
from deepseg_qgis.engine.learning.schedule import Schedule
from deepseg_qgis.engine.learning.timetable import Timetable

EPOCH_STEPS = 32


class Played:
    """A training of steps and validations that take a given time, on a clock of its own."""

    def __init__(self, epochs, minutes, step_s=1.0, validation_s=6.0, first_s=9.0):
        self.now, self.step, self.validations = 0.0, 0, 0
        self.times = step_s, validation_s, first_s
        self.schedule = Schedule.planned(epochs * EPOCH_STEPS)
        self.timetable = Timetable(EPOCH_STEPS, 16, minutes, lambda: self.now)
        self.timetable.start(0.0)

    def place(self):
        return self.schedule, self.step, self.validations

    def go_on(self, steps):
        """Do so many steps, or those to the end."""
        for _ in range(steps):
            if self.step >= self.schedule.end:
                return
            seconds = self.times[0] if self.step else self.times[2]
            self.now += seconds
            self.step += 1
            self.timetable.pace.add_step(seconds)
            self.schedule = self.timetable.in_time(self.schedule, self.step)
            if self.step % EPOCH_STEPS == 0 or self.step >= self.schedule.end:
                self.now += self.times[1]
                self.validations += 1
                self.timetable.pace.add_validation(self.times[1])


@pytest.mark.parametrize("minutes", [0.4, 1.0, 3.0, 7.5])
def test_it_ends_in_time_after_a_full_fall_of_the_rate(minutes):
    played = Played(20, minutes)
    played.go_on(10_000)
    assert 0.85 * 60 * minutes < played.now <= 60 * minutes + 2
    schedule = played.schedule
    assert schedule.factor(schedule.end) == 0.0
    assert 0.1 < (schedule.end - schedule.decay_start) / schedule.end < 0.3


def test_with_time_enough_the_epochs_count():
    played = Played(3, 60)
    planned = played.schedule
    played.go_on(10_000)
    assert played.schedule == planned
    assert played.validations == 3


@pytest.mark.parametrize(("epochs", "minutes"), [(20, None), (20, 5.0), (2, None)])
def test_in_the_first_epoch_the_time_left_is_right(epochs, minutes):
    said = []
    played = Played(epochs, minutes)
    for _ in range(EPOCH_STEPS // 4):
        played.go_on(3)
        said.append((played.now, played.timetable.seconds_left(*played.place())))
    played.go_on(10_000)
    for now, left in said:
        assert left == pytest.approx(played.now - now, rel=0.3)


def test_how_far_it_is_only_grows_and_ends_with_one():
    played, fractions = Played(4, None), []
    while played.step < played.schedule.end:
        played.go_on(5)
        fractions.append(played.timetable.fraction(*played.place()))
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1
    assert fractions[-1] == 1.0


def test_a_resumed_run_has_the_rest_of_the_time():
    played = Played(20, 3.0)
    played.timetable.start(120.0)
    played.go_on(10_000)
    assert played.now <= 62


def test_the_pace_is_not_that_of_the_first_steps():
    pace = Pace(10)
    for seconds in (30.0, 1.0, 1.0):
        assert not pace.is_known
        pace.add_step(seconds)
    assert pace.is_known
    assert pace.step_s == 1.0
    assert pace.validation_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.2, 0.3, 0.4], None),
        ([0.2, 0.3, 0.4, 0.5], "still rises (0.25 to 0.45 in the last 2 epochs)"),
        ([None, 0.5, 0.5, 0.51, 0.5, 0.5], "hardly rises any more (0.50"),
        ([0.3, 0.6, 0.5, 0.66, 0.52, 0.61, 0.55], "hardly rises"),
        ([0.3, 0.4, 0.46, 0.5, 0.53, 0.55, 0.57, 0.58, 0.6], "still rises"),
    ],
)
def test_the_outlook_is_told_from_the_scores(scores, expected):
    text = outlook(scores)
    assert text is None if expected is None else expected in text
