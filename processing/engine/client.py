"""The QGIS side of the pipe: start an engine, give it a job, relay its events, end it.

No QGIS in here. The engine gets the job as a private file, a ``stop`` line on its standard input
when the user wants it to finish, and the end of that stream when this process is gone.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deepseg_qgis.processing.engine.exit_causes import cause_of_exit
from deepseg_qgis.processing.engine.process_tree import (
    ProcessTree,
    do_nothing,
    read_lines,
    wait_until,
)

from deepseg_qgis import events, jobs
from deepseg_qgis.errors import ContractError, EngineDied, EngineMissing, Stopped, by_name

POLL_S = 0.02
"""How often the wish to stop, and the window, are looked at while the engine says nothing."""

END_GRACE_S = 5.0
"""How long an engine that has said its last word may take to end."""

LINES_KEPT = 200
LONGEST_KEPT = 1000
"""The end of standard error, in lines and in characters a line, for the details of an error."""


class EngineDetails(Exception):  # noqa: N818 - the cause of an error, never raised itself
    """What the engine said beside an error's message: a traceback, the end of standard error."""


@dataclass(frozen=True)
class EngineProgram:
    """Which Python runs the engine, the script that is its door, and its environment.

    A ``yielding`` one lets other programs go first, such as the desktop that waits for it. With
    options of ``torchrun`` several processes do the job together, here or on several computers.
    """

    python: str
    launch: str
    environment: Mapping[str, str]
    yielding: bool = False
    torchrun: Sequence[str] = ()

    def command(self, job_file: str) -> list[str]:
        """Return the command line: isolated, UTF-8 everywhere, nothing kept in buffers."""
        python = [self.python, "-I", "-X", "utf8", "-u"]
        engine = [*python, self.launch, job_file]
        if not self.torchrun:
            return engine
        return [*python, "-m", "torch.distributed.run", *self.torchrun, "--no-python", *engine]


@dataclass(frozen=True)
class JobObserver:
    """Who is told of every event, and says when to stop; all are called in `run_job`'s thread.

    ``stop_grace_s`` is how long the engine may be silent while it finishes with what it has: each
    event is a sign of life. ``meanwhile`` is called many times a second as long as an engine is
    there, for a thread that has other duties.
    """

    on_event: Callable[[events.Event], None]
    stop_wanted: Callable[[], bool]
    stop_grace_s: float = 60.0
    meanwhile: Callable[[], None] = do_nothing


def run_job(
    job: jobs.Job, program: EngineProgram, observer: JobObserver, folder: str
) -> events.Result:
    """Have an engine do the job and return its result; no process is left when this returns.

    ``folder`` is private to the job (an engine whose parent is gone deletes it).

    Raises:
        DeepSegError: what the engine raised, with an `EngineDetails` as its cause.
        EngineMissing: its Python cannot be started.
        EngineDied: it ended without a result or an error.
        ContractError: it is of another version.
        Stopped: the user asked to stop, and it did not end in time.
    """
    job_file = os.path.join(folder, "job.json")
    with open(os.open(job_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(jobs.encode(job).encode("utf-8"))
    with _started(program, job_file, observer.meanwhile) as tree:
        return _Conversation(program, tree, observer).result()


def _started(program: EngineProgram, job_file: str, meanwhile: Callable[[], None]) -> ProcessTree:
    # not in the job's folder, which an orphaned engine must be able to delete
    folder = os.path.dirname(os.path.dirname(job_file))
    try:
        return ProcessTree(
            program.command(job_file),
            program.environment,
            folder,
            meanwhile,
            yielding=program.yielding,
        )
    except OSError as error:
        raise EngineMissing(
            f"The engine's Python {program.python} could not be started ({error.strerror}). Run "
            "'Set up the engine' (deepseg:setupengine), or choose another Python in the settings "
            "of DeepSeg under Settings > Options > Processing > Providers."
        ) from error


class _Conversation:
    """What is said between the two processes, from the greeting to the last word."""

    def __init__(self, program: EngineProgram, tree: ProcessTree, observer: JobObserver) -> None:
        self._program = program
        self._process = tree.process
        self._observer = observer
        self._greeted = False
        self._deadline: float | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._stderr_tail: deque[str] = deque(maxlen=LINES_KEPT)
        self._stderr_read = threading.Event()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        read_lines(self._process.stdout, self._lines.put, lambda: self._lines.put(None))
        read_lines(self._process.stderr, self._remember, self._stderr_read.set)

    def result(self) -> events.Result:
        """Relay events until the last one; return it, or raise it as an error."""
        while True:
            self._observer.meanwhile()
            self._stop_if_wanted()
            line = self._next_line()
            if line is None:
                raise self._died()
            event = self._decoded(line)
            if event is not None:
                self._observer.on_event(event)
            if isinstance(event, events.Result):
                self._let_engine_end()
                return event
            if isinstance(event, events.Error):
                raise by_name(event.kind, event.message) from EngineDetails(event.details)

    def _next_line(self) -> str | None:
        """Return the next line, '' if none came for a while, None when there will be no more."""
        try:
            return self._lines.get(timeout=POLL_S)
        except queue.Empty:
            # should a process that left the tree hold the pipe open, it never ends
            return "" if self._process.poll() is None else self._last_line()

    def _last_line(self) -> str | None:
        self._until(lambda: not self._lines.empty(), END_GRACE_S)
        with contextlib.suppress(queue.Empty):
            return self._lines.get_nowait()
        return None

    def _decoded(self, line: str) -> events.Event | None:
        """Return the event of a line, or None where there is none."""
        if not line:
            return None
        try:
            event = events.decode(line)
        except ContractError:
            self._remember(line)  # no event, so some library's chatter
            return None
        if self._deadline is not None:
            self._deadline = time.monotonic() + self._observer.stop_grace_s
        if not self._greeted:
            _check_contract(event.contract if isinstance(event, events.Hello) else None)
            self._greeted = True
        return event

    def _stop_if_wanted(self) -> None:
        if self._deadline is None:
            if self._observer.stop_wanted():
                self._deadline = time.monotonic() + self._observer.stop_grace_s
                self._say_stop()
        elif time.monotonic() > self._deadline:
            raise Stopped(
                "Stopped. The engine gave no sign of life for "
                f"{self._observer.stop_grace_s:.0f} s and was ended. Only what it had saved before "
                "is kept."
            )

    def _say_stop(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has just ended by itself
            self._process.stdin.write(f"{jobs.STOP}\n".encode())
            self._process.stdin.flush()

    def _let_engine_end(self) -> None:
        """Let an engine that is done end by itself: the end of its input tells it to."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._wait()

    def _wait(self) -> int | None:
        self._until(lambda: self._process.poll() is not None, END_GRACE_S)
        return self._process.poll()

    def _until(self, done: Callable[[], bool], at_most_s: float) -> None:
        wait_until(done, at_most_s, self._observer.meanwhile)

    def _remember(self, line: str) -> None:
        self._stderr_tail.append(line[:LONGEST_KEPT])

    def _died(self) -> EngineDied:
        code = self._wait()
        self._until(self._stderr_read.is_set, 1.0)
        words = [line.strip() for line in self._stderr_tail if line.strip()]
        last = f" Its last words: {words[-1][:300]}" if words else ""
        program = self._program
        cause = cause_of_exit(code, self._greeted, program.python, program.torchrun)
        error = EngineDied(cause + last)
        error.__cause__ = EngineDetails("\n".join(self._stderr_tail))
        return error


def _check_contract(version: int | None) -> None:
    if version != events.CONTRACT_VERSION:
        raise ContractError(
            f"The plugin expects an engine that speaks version {events.CONTRACT_VERSION} of the "
            f"contract, found version {version or 'unknown'}. Install DeepSeg again and restart "
            "QGIS."
        )
