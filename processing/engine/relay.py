"""What the engine says, told to the user through QGIS's feedback."""

from __future__ import annotations

import re
import time

from deepseg_qgis.processing.engine.client import EngineDetails
from deepseg_qgis.processing.engine.message_log import log_message
from qgis.core import QgsProcessingFeedback

from deepseg_qgis.errors import DeepSegError, EngineDied
from deepseg_qgis.events import Epoch, Event, Log, Progress

TEXT_EVERY_S = 2.0
RARELY_S = 20.0
RARER = 300.0
"""QGIS writes every progress text into its log. So the texts of one stage of the work, which differ
in their numbers alone, become rarer after so many of them: at most every 20 s in a long run."""

NUMBERS = re.compile(r"[\d.,]+")

LINES_A_SECOND = 100
"""More than that freezes the log widget of QGIS."""


class Relay:
    """Hands events on to a `QgsProcessingFeedback`, no faster than a person can take them."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._stage = ""
        self._started = time.monotonic()
        self._said = float("-inf")
        self._best_score = 0.0
        self._second = 0
        self._lines = 0
        self._left_out = 0
        self._stopping = False

    def stop_wanted(self) -> bool:
        """Return whether the user pressed Cancel; say so the first time."""
        wanted = self._feedback.isCanceled()
        if wanted and not self._stopping:
            self._stopping = True
            self._feedback.pushInfo("Stopping. What can be kept is finished and written now.")
        return wanted

    def on_event(self, event: Event) -> None:
        """Tell the user about an event."""
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Epoch):
            self._feedback.pushInfo(epoch_line(event, self._best_score))
            self._best_score = max(self._best_score, event.validation_score or 0.0)
        elif isinstance(event, Log) and self._has_room():
            warning = event.level == "warning"
            (self._feedback.pushWarning if warning else self._feedback.pushInfo)(event.text)

    def finish(self) -> None:
        """Say what was left unsaid."""
        if self._left_out:
            self._feedback.pushInfo(f"… and {self._left_out} more lines.")
            self._left_out = 0

    def _progress(self, event: Progress) -> None:
        self._feedback.setProgress(100.0 * event.fraction)
        now, stage = time.monotonic(), NUMBERS.sub("0", event.text)
        rarely = min(RARELY_S, max(TEXT_EVERY_S, (now - self._started) / RARER))
        wait = rarely if stage == self._stage else TEXT_EVERY_S
        if event.text and now - self._said >= wait:
            self._stage, self._said = stage, now
            self._feedback.setProgressText(event.text + time_left(event.seconds_left))

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self.finish()
            self._second, self._lines = second, 0
        self._lines += 1
        self._left_out += self._lines > LINES_A_SECOND
        return self._lines <= LINES_A_SECOND


def time_left(seconds: float | None) -> str:
    """Return the time left as people say it, in brackets; '' while it is unknown."""
    return "" if seconds is None else f" (about {duration(seconds)} left)"


def duration(seconds: float) -> str:
    """Return a time in as few digits as a forecast deserves."""
    minutes = round(seconds / 60)
    if seconds < 50:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if minutes < 60:
        return f"{max(1, minutes)} min"
    hours, tens = divmod(round(seconds / 600), 6)
    if hours < 10:
        return f"{hours} h {10 * tens} min" if tens else f"{hours} h"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"


def epoch_line(epoch: Epoch, best_before: float = 0.0) -> str:
    """Return one line about a finished epoch; ``best_before`` is the best score before it."""
    parts = [f"loss {epoch.train_loss:.3f}"] if epoch.train_loss is not None else []
    if epoch.validation_loss is not None:
        parts.append(f"validation loss {epoch.validation_loss:.3f}")
    if epoch.validation_score is not None:
        known = {name: score for name, score in epoch.category_score.items() if score is not None}
        each = ", ".join(f"{name} {score:.2f}" for name, score in known.items())
        parts.append(
            f"validation score {epoch.validation_score:.3f}"
            + (f" ({each})" if len(known) > 1 else "")
        )
    parts.append(f"{epoch.seconds:.0f} s")
    return f"Epoch {epoch.epoch} of {epoch.epochs}: {', '.join(parts)}{_kept(epoch, best_before)}"


def _kept(epoch: Epoch, best_before: float) -> str:
    if not epoch.kept:
        return ""
    if epoch.validation_score is None or epoch.validation_score >= best_before:
        return " - kept so far"
    return f" - kept: close to the best score ({best_before:.3f}), and trained for longer"


def log_details(error: DeepSegError, feedback: QgsProcessingFeedback) -> None:
    """Keep what the engine said beside an error: in the log, and in the dialog if it is a riddle.

    Errors of the user's world are explained by their message; a traceback would only frighten.
    """
    details = str(error.__cause__) if isinstance(error.__cause__, EngineDetails) else ""
    if not details.strip():
        return
    log_message(details)
    if type(error) in (DeepSegError, EngineDied):
        feedback.pushDebugInfo(details)
