"""Run one job: read it, call its verb, and tell how it ended.

Called by `deepseg_qgis.launch` alone. Two more threads of control exist: one that listens on
standard input (a ``stop`` line asks the verb to finish with what it has; the end of the stream
means that the parent is gone), and whatever threads a verb starts.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from deepseg_qgis import __version__, events, jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.faults import is_out_of_memory, is_system_error
from deepseg_qgis.engine.torchrun import process_place
from deepseg_qgis.errors import NO_ROOM, TOO_MANY, DeepSegError, os_message
from deepseg_qgis.jobs import STOP

VERBS = "deepseg_qgis.engine.verbs"
"""The package with a module for each verb, which has ``run(job, control) -> dict``; a verb's module
is imported only when asked for."""

ORPHANED = 3
"""The exit code of an engine whose parent is gone."""


def run(job_file: str, stream: TextIO) -> int:
    """Do the job in ``job_file``, with events to ``stream``; return the exit code.

    A process that follows another one says nothing, and hears of the user from that one alone.
    """
    place = process_place()
    if place.follows:
        return follow()
    _use_folder(os.path.dirname(os.path.abspath(job_file)))
    emit = _emitter(stream)
    control = Control(emit)
    is_done = threading.Event()
    _listen(control, job_file, is_done)
    if place.size > 1:  # torchrun ends all where one fails; this one tells of it first
        signal.signal(signal.SIGTERM, lambda *_: control.stop())
    emit(events.Hello(events.CONTRACT_VERSION, __version__, platform.python_version()))
    try:
        with open(job_file, encoding="utf-8") as file:
            job = jobs.decode(file.read())
        verb = importlib.import_module(f"{VERBS}.{job.verb}")
        values: dict[str, Any] = verb.run(job, control)
        is_done.set()
        emit(events.Result(values, partial=control.stopped))
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where every error is caught
        emit(_error_event(error))
        return 1


def follow() -> int:
    """Train with other processes, the first of which has the job; return the exit code."""
    if not process_place().follows:
        sys.stderr.write(
            "This computer cannot lead the training: QGIS does, on another one. Start it with "
            "torchrun and '--node-rank 1' (or 2, 3, …); see 'Several GPUs or computers' in "
            "docs/training.md.\n"
        )
        return 2
    verb = importlib.import_module(f"{VERBS}.train")
    try:
        verb.follow(Control())
        return 0
    except Exception as error:  # noqa: BLE001 - the first process tells the user
        event = _error_event(error)
        details = "" if isinstance(error, DeepSegError) else event.details
        sys.stderr.write(f"{event.message}\n{details}")
        return 1


def _use_folder(folder: str) -> None:
    """Have temporary files written beside the job: that folder lies on a disk, and goes with it."""
    tempfile.tempdir = folder
    for name in ("TMPDIR", "CPL_TMPDIR", "SQLITE_TMPDIR"):  # of children, GDAL and SQLite
        os.environ[name] = folder


def _emitter(stream: TextIO) -> Callable[[events.Event], None]:
    lock = threading.Lock()

    def emit(event: events.Event) -> None:
        with lock:
            stream.write(events.encode(event) + "\n")
            stream.flush()

    return emit


def _listen(control: Control, job_file: str, is_done: threading.Event) -> None:
    """Watch standard input from a thread of its own; its end is usual where the job is done."""

    def watch() -> None:
        for line in sys.stdin:
            if line.strip() == STOP:
                control.stop()
        control.abandon()
        shutil.rmtree(os.path.dirname(job_file), ignore_errors=True)
        os._exit(0 if is_done.is_set() else ORPHANED)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _error_event(error: Exception) -> events.Error:
    """Return the event that tells a mapper what happened, with the traceback as a detail."""
    details = traceback.format_exc()
    if isinstance(error, DeepSegError):
        return events.Error(type(error).__name__, str(error), details)
    if isinstance(error, ImportError):
        return events.Error(
            "EngineMissing",
            f"The engine's environment is incomplete ({error}). Run 'Set up the engine' "
            "(deepseg:setupengine) with 'Make it anew' switched on.",
            details,
        )
    if is_out_of_memory(error):
        return events.Error(
            "ResourceError",
            "The memory was not enough. Use a smaller batch or tile size, or a smaller AOI, or "
            "close other programs, and run it again.",
            details,
        )
    if isinstance(error, OSError) and is_system_error(error):
        scarce = error.errno in NO_ROOM + TOO_MANY
        kind = "ResourceError" if scarce else "DeepSegError"
        return events.Error(kind, os_message(error), details)
    return events.Error(
        "DeepSegError",
        f"DeepSeg met something it did not expect: {type(error).__name__}: {error}. Please report "
        "it with the details from the log.",
        details,
    )
