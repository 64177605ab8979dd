"""The learning rate rises, stays, and falls to nothing wherever the end is put."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.learning.divergence import has_diverged
from deepseg_qgis.engine.learning.schedule import Schedule


def factors(schedule):
    return [schedule.factor(step) for step in range(schedule.end)]


@given(st.integers(1, 500))
def test_it_rises_stays_and_falls_to_nearly_nothing(steps):
    schedule = Schedule.planned(steps)
    found = factors(schedule)
    assert len(found) == steps
    assert all(0.0 < each <= 1.0 for each in found)
    assert schedule.factor(steps) == 0.0
    peak = found.index(max(found))
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak:] == sorted(found[peak:], reverse=True)
    if steps >= 20:
        assert found.count(1.0) >= 0.65 * steps


@given(st.integers(20, 500), st.integers(1, 499), st.integers(1, 30))
def test_an_earlier_end_changes_nothing_before_it_and_falls_as_far(steps, step, more):
    planned = Schedule.planned(steps)
    ended = planned.ending(step, more)
    assert ended.end == min(steps, step + more)
    before = range(min(step, planned.decay_start, ended.end))
    assert [ended.factor(each) for each in before] == [planned.factor(each) for each in before]
    assert ended.factor(ended.end) == 0.0


@pytest.mark.parametrize(
    ("loss", "earlier", "expected"),
    [
        (float("nan"), [], True),
        (float("inf"), [0.5], True),
        (9.0, [], False),
        (1.4, [2.0, 0.5, 0.5, 0.5], False),
        (1.6, [2.0, 0.5, 0.5, 0.5], True),
    ],
)
def test_a_loss_far_above_those_of_the_last_epochs_has_diverged(loss, earlier, expected):
    assert has_diverged(loss, earlier) is expected
