"""Where all runs can be listened to, whoever started them: the toolbox, a model, a batch, a script.

An algorithm may run in any thread. Listeners are called in the thread of their hub, which is QGIS's
main thread, where widgets live; the run does not wait for them.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from deepseg_qgis.processing.engine.message_log import log_message
from qgis.PyQt.QtCore import QObject, pyqtSignal

from deepseg_qgis.events import Event
from deepseg_qgis.jobs import Job


@dataclass(frozen=True)
class Run:
    """One run of an algorithm: its id (``deepseg:train``) and title, and what the engine is to do.

    ``run_id`` is of this run alone: a batch is many runs.
    """

    algorithm_id: str
    title: str
    job: Job
    run_id: str = field(default_factory=lambda: uuid4().hex)


class RunListener:
    """Who wants to hear of runs; subclasses override what they want to hear."""

    def run_started(self, run: Run) -> None:
        """Hear that a job is given to an engine."""

    def event_received(self, run: Run, event: Event) -> None:
        """Hear an event of the engine: each one, in order, from `Hello` to `Result` or `Error`."""

    def run_finished(self, run: Run, error: Exception | None) -> None:
        """Hear that no engine is there any more; ``error`` is why the run failed, if it did."""


class EventHub(QObject):
    """Passes what happens in runs on to all listeners.

    A listener that fails is told of in the message log, and keeps neither the run nor the other
    listeners from going on.
    """

    _happened = pyqtSignal(str, object)

    def __init__(self) -> None:
        super().__init__()
        self._listeners: list[RunListener] = []
        # Qt queues it where the run has another thread
        self._happened.connect(self._pass_on)

    def subscribe(self, listener: RunListener) -> None:
        """Call a listener from now on, also about runs that are under way."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: RunListener) -> None:
        """Call a listener no longer."""
        self._listeners.remove(listener)

    @contextlib.contextmanager
    def following(
        self, run: Run, at_once: Callable[[Event], None]
    ) -> Iterator[Callable[[Event], None]]:
        """Tell that a run starts, and at the end that it finished; yield what takes its events.

        ``at_once`` hears them first, in the run's own thread; should it fail, so does the run.
        """

        def on_event(event: Event) -> None:
            at_once(event)
            self._tell("event_received", run, event)

        self._tell("run_started", run)
        error: Exception | None = None
        try:
            yield on_event
        except Exception as raised:
            error = raised
            raise
        finally:
            self._tell("run_finished", run, error)

    def _tell(self, what: str, *arguments: Any) -> None:
        if self._listeners:  # in a script nobody may ever empty the queue
            self._happened.emit(what, arguments)

    def _pass_on(self, what: str, arguments: tuple[Any, ...]) -> None:
        for listener in tuple(self._listeners):
            try:
                getattr(listener, what)(*arguments)
            except Exception:  # noqa: BLE001 - whatever goes wrong there is no fault of the run
                log_message(traceback.format_exc(), warning=True)
