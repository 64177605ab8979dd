"""QGIS's window, kept alive while its own thread waits for DeepSeg.

Batch runs, models (in QGIS 3.22) and `processing.run` do their work in QGIS's main thread, the one
that draws the window and takes clicks.
"""

from __future__ import annotations

import time

from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QThread, QTimer

EVERY_S = 0.02


class WindowEvents:
    """Lets the window's events through; in any other thread it does nothing.

    Without ``input_allowed`` clicks and keys wait, for moments in which the user must not change
    what is being read.
    """

    def __init__(self, *, input_allowed: bool = True) -> None:
        application = QCoreApplication.instance()
        self._needed = application is not None and QThread.currentThread() == application.thread()
        flag = QEventLoop.ProcessEventsFlag
        self._which = flag.AllEvents if input_allowed else flag.ExcludeUserInputEvents
        self._next = 0.0
        self.application_ends = False
        """Whether QGIS was told to end: it can do so only when the work has ended."""

    def process_events(self) -> None:
        """Handle what has happened in the window; cheap to call often."""
        now = time.monotonic()
        if not self._needed or now < self._next:
            return
        loop = QEventLoop()
        QTimer.singleShot(0, loop.quit)
        # an event loop that is started after the application's end returns -1 at once
        ended = loop.exec(self._which) < 0  # type: ignore[arg-type]  # declared for flags alone
        self.application_ends = ended or self.application_ends
        self._next = time.monotonic() + EVERY_S
