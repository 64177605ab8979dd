"""What a verb is given to talk to the outside: progress, log, epochs, and the wish to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from deepseg_qgis.errors import Stopped
from deepseg_qgis.events import Epoch, Event, Log, Progress

PROGRESS_EVERY_S = 0.25
LOG_LINES_A_SECOND = 50
"""More than that freezes the log widget of QGIS (seen: 5,000 lines cost 1.3 s)."""


class Control:
    """The line between a verb and whoever asked for it.

    ``emit`` takes each event; it may be called from several threads. Without it nothing is said,
    which is what tests and benchmarks want.
    """

    def __init__(self, emit: Callable[[Event], None] | None = None) -> None:
        self._emit = emit or _ignore
        self._stop = threading.Event()
        self._clock = _TimeLeft()
        self._last_progress = -PROGRESS_EVERY_S
        self._last_text = ""
        self._log_budget = _Budget(LOG_LINES_A_SECOND)
        self._clean_ups: list[Callable[[], None]] = []

    @property
    def stopped(self) -> bool:
        """Whether the user asked to finish with what there is."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the verb to finish with what there is."""
        self._stop.set()

    def check(self) -> None:
        """Raise Stopped if the user asked to stop; for verbs that have nothing to keep."""
        if self.stopped:
            raise Stopped("Stopped. Nothing was written.")

    def progress(self, fraction: float, text: str = "", seconds_left: float | None = None) -> None:
        """Say how far the work is (0 to 1) and what is being done; cheap to call often.

        ``seconds_left`` is for those who know it better than the pace so far does.
        """
        now = time.monotonic()
        quiet = now - self._last_progress < PROGRESS_EVERY_S
        if quiet and text in ("", self._last_text) and fraction < 1.0:
            return
        self._last_progress = now
        self._last_text = text or self._last_text
        left = self._clock.seconds_left(now, fraction)
        if seconds_left is not None:
            left = seconds_left
        self._emit(Progress(min(max(fraction, 0.0), 1.0), self._last_text, left))

    def log(self, text: str) -> None:
        """Write a line into the algorithm's log."""
        if self._log_budget.take():
            self._emit(Log(text))

    def warn(self, text: str) -> None:
        """Write a line into the algorithm's log that the user should not overlook."""
        self._emit(Log(text, "warning"))

    def epoch(self, epoch: Epoch) -> None:
        """Tell about a finished epoch of training."""
        self._emit(epoch)

    def when_abandoned(self, clean_up: Callable[[], None]) -> None:
        """Have ``clean_up`` called should the parent process vanish; it may be called twice."""
        self._clean_ups.append(clean_up)

    def abandon(self) -> None:
        """Clean up: the process ends now, whatever the verb is doing."""
        for clean_up in self._clean_ups:
            clean_up()

    def part(self, start: float, end: float) -> Control:
        """Return a control whose progress from 0 to 1 is this one's from ``start`` to ``end``."""
        return _Part(self, start, end)

    def telling(self, listener: Callable[[Epoch], None]) -> Control:
        """Return the same control, of whose epochs ``listener`` hears, too."""
        return _Telling(self, listener)

    def step(self, number: int, count: int) -> Control:
        """Return the control of one of ``count`` equal parts of the work; the first is 0."""
        return self.part(number / count, (number + 1) / count)


class _Part(Control):
    """A stretch of another control's progress; all else is passed on."""

    def __init__(self, whole: Control, start: float, end: float) -> None:
        self._whole, self._start, self._end = whole, start, end

    @property
    def stopped(self) -> bool:
        return self._whole.stopped

    def stop(self) -> None:
        self._whole.stop()

    def progress(self, fraction: float, text: str = "", seconds_left: float | None = None) -> None:
        share = min(max(fraction, 0.0), 1.0)
        self._whole.progress(self._start + (self._end - self._start) * share, text, seconds_left)

    def log(self, text: str) -> None:
        self._whole.log(text)

    def warn(self, text: str) -> None:
        self._whole.warn(text)

    def epoch(self, epoch: Epoch) -> None:
        self._whole.epoch(epoch)

    def when_abandoned(self, clean_up: Callable[[], None]) -> None:
        self._whole.when_abandoned(clean_up)

    def abandon(self) -> None:
        self._whole.abandon()


class _Telling(_Part):
    """A control whose epochs somebody else hears of, too."""

    def __init__(self, whole: Control, listener: Callable[[Epoch], None]) -> None:
        super().__init__(whole, 0.0, 1.0)
        self._listener = listener

    def epoch(self, epoch: Epoch) -> None:
        super().epoch(epoch)
        self._listener(epoch)


class _TimeLeft:
    """An estimate of the time left, from the pace of the last part of the work."""

    SETTLED_S = 2.0
    MEMORY_S = 30.0
    FORESIGHT = 100.0
    """No forecast reaches further than so many times what was seen: the first steps are slow."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, float]] = []
        self._started: float | None = None

    def seconds_left(self, now: float, fraction: float) -> float | None:
        """Return the seconds left, or None while it is too early to tell."""
        self._started = now if self._started is None else self._started
        self._marks.append((now, fraction))
        while len(self._marks) > 2 and now - self._marks[1][0] > self.MEMORY_S:
            self._marks.pop(0)
        start, done = self._marks[0]
        if now - start < self.SETTLED_S or fraction <= done:
            return None
        left = (1.0 - fraction) * (now - start) / (fraction - done)
        return left if left <= self.FORESIGHT * (now - self._started) else None


class _Budget:
    """So many log lines a second, and no more."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = -1
        self._taken = 0

    def take(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._taken <= self._per_second


def _ignore(_event: Event) -> None:
    """Take an event that nobody listens for."""
