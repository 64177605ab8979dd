"""What the engine says, as the user reads it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from deepseg_qgis.processing.engine import relay
from deepseg_qgis.processing.engine.relay import Relay, duration

from deepseg_qgis.events import Epoch, Progress


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(relay, "time", clock)
    return clock


def texts_of_a_run(seconds: int, clock: Clock, feedback: Any) -> list[float]:
    """Return when texts came in a run that tells of its progress four times a second."""
    told, times = Relay(feedback), []
    for step in range(4 * seconds):
        clock.now += 0.25
        told.on_event(Progress(step / (4 * seconds), f"tile {step} of {4 * seconds}"))
        times += [clock.now] * (len(feedback.all("progress")) - len(times))
    return times


def test_a_text_comes_every_two_seconds(clock: Clock, feedback: Any) -> None:
    times = texts_of_a_run(600, clock, feedback)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert set(gaps) == {2.0}


def test_a_long_run_does_not_flood_the_log(clock: Clock, feedback: Any) -> None:
    times = texts_of_a_run(36_000, clock, feedback)
    assert len(times) < 3_000
    assert max(after - before for before, after in itertools.pairwise(times)) <= 20.25


def test_a_new_stage_is_told_soon_in_a_long_run_too(clock: Clock, feedback: Any) -> None:
    told = Relay(feedback)
    clock.now += 36_000
    told.on_event(Progress(0.5, "tile 5 of 10"))
    clock.now += 2
    told.on_event(Progress(0.6, "tile 6 of 10"))
    told.on_event(Progress(0.9, "Writing"))
    assert feedback.all("progress") == ["tile 5 of 10", "Writing"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "5 s"),
        (44, "45 s"),
        (50, "1 min"),
        (59 * 60 + 20, "59 min"),
        (59 * 60 + 40, "1 h"),
        (3 * 3600 + 18 * 60, "3 h 20 min"),
        (9 * 3600 + 58 * 60, "10 h"),
        (14 * 3600 + 44 * 60, "15 h"),
        (59 * 3600 + 44 * 60, "2 days"),
    ],
)
def test_a_forecast_has_few_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def epoch(number: int, score: float, *, kept: bool) -> Epoch:
    return Epoch(number, 9, 0.5, 0.4, score, {"a": score}, {"a": score}, 1e-3, 12.0, kept)


def test_what_is_kept_after_a_lower_score_says_why(feedback: Any) -> None:
    told = Relay(feedback)
    for each in (
        epoch(1, 0.7, kept=True),
        epoch(2, 0.5, kept=False),
        epoch(3, 0.69, kept=True),
        epoch(4, 0.71, kept=True),
    ):
        told.on_event(each)
    endings = [line.partition("12 s")[2] for line in feedback.all("info")]
    assert endings == [
        " - kept so far",
        "",
        " - kept: close to the best score (0.700), and trained for longer",
        " - kept so far",
    ]
