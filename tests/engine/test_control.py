"""What a verb tells the outside."""

from __future__ import annotations

import pytest

from deepseg_qgis.engine import control
from deepseg_qgis.engine.control import Control
from deepseg_qgis.events import Event, Progress


def test_no_forecast_reaches_far_beyond_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(control.time, "monotonic", lambda: now[0])
    said: list[Event] = []
    work = Control(said.append)

    def after(seconds: float, fraction: float) -> float | None:
        now[0] += seconds
        work.progress(fraction)
        last = said[-1]
        assert isinstance(last, Progress)
        return last.seconds_left

    after(0.0, 0.0)
    assert after(3.0, 0.000_01) is None, "83 hours, after three seconds"
    left = after(3.0, 0.05)
    assert left == pytest.approx(114, rel=0.01)
    for _ in range(200):
        left = after(10.0, min(0.05 + now[0] / 1e6, 1.0))
    assert left is None or left < 100 * now[0]


def test_steps_share_the_progress_of_the_whole() -> None:
    said: list[Event] = []
    work = Control(said.append)
    for number in range(2):
        for fraction in (0.0, 0.5, 1.0):
            work.step(number, 2).progress(fraction, f"{number}, {fraction}")
    fractions = [event.fraction for event in said if isinstance(event, Progress)]
    assert fractions == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]
