"""A child process that can be ended together with everything that it started.

No QGIS in here. POSIX: the child leads a session of its own, and its process group is killed.
Windows, which has no such thing: a Job Object that kills its processes when its handle is closed,
so also when QGIS itself ends, however that happens.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

LONGEST_LINE = 1 << 20
"""Bytes; a longer line is handed on in pieces, so that a stream without line ends is no danger."""

POLL_S = 0.01

NICENESS = 10
"""Of a program that yields: beside one of 0 it gets a tenth of the processor."""

LAST_WAIT_S = 10.0
"""For a killed process to vanish; one that hangs in the kernel is left to it."""


def do_nothing() -> None:
    """Do nothing while something is waited for."""


class ProcessTree:
    """A started program and its descendants; a context manager that leaves none of them behind.

    Standard input, output and error are pipes of bytes. ``meanwhile`` is called again and again
    while the killed program vanishes. With ``yielding`` the processor serves other programs first.

    Raises:
        OSError: the program cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        meanwhile: Callable[[], None] = do_nothing,
        *,
        yielding: bool = False,
    ) -> None:
        self._meanwhile = meanwhile
        priority = "BELOW_NORMAL_PRIORITY_CLASS" if yielding else "NORMAL_PRIORITY_CLASS"
        self._job = _WindowsJob() if os.name == "nt" else None
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
            | getattr(subprocess, priority, 0),
        )
        if yielding and os.name != "nt":
            _make_nice(self.process.pid)
        if self._job:
            self._job.add(self.process)

    def kill(self) -> None:
        """End the program and its descendants at once."""
        if self._job:
            self._job.kill()
        elif os.name != "nt":
            # the group outlives its leader while descendants run, so it is killed in any case
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.process.kill()

    def __enter__(self) -> ProcessTree:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        wait_until(lambda: self.process.poll() is not None, LAST_WAIT_S, self._meanwhile)
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        if self._job:
            self._job.close()


def read_lines(pipe: IO[bytes], take: Callable[[str], None], at_end: Callable[[], None]) -> None:
    """Hand each line of ``pipe`` to ``take`` from a thread of its own, then call ``at_end``."""

    def read() -> None:
        with pipe:  # closed here, since closing a pipe that another thread reads would wait for it
            for line in iter(lambda: pipe.readline(LONGEST_LINE), b""):
                take(line.decode("utf-8", "replace").rstrip("\r\n"))
        at_end()

    threading.Thread(target=read, name="deepseg-reader", daemon=True).start()


def _make_nice(session: int) -> None:
    """Have a program that leads its session, and all that it will start, yield to others."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, session, NICENESS)
    # Linux may share the processor among sessions, and weighs them by a niceness of their own
    with contextlib.suppress(OSError), open(f"/proc/{session}/autogroup", "w") as autogroup:
        autogroup.write(str(NICENESS))


def wait_until(
    done: Callable[[], bool], at_most_s: float, meanwhile: Callable[[], None] = do_nothing
) -> None:
    """Wait for something, but no longer than that, with ``meanwhile`` called again and again."""
    deadline = time.monotonic() + at_most_s
    while not done() and time.monotonic() < deadline:
        meanwhile()
        time.sleep(POLL_S)


class _WindowsJob:
    """A Windows Job Object whose processes die when its last handle is closed."""

    KILL_ON_JOB_CLOSE = 0x2000
    EXTENDED_LIMIT_INFORMATION = 9

    def __init__(self) -> None:
        import ctypes

        self._kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
        self._kernel.CreateJobObjectW.restype = ctypes.c_void_p
        self._handle: Any = ctypes.c_void_p(self._kernel.CreateJobObjectW(None, None))
        limits = _extended_limits()
        limits.LimitFlags = self.KILL_ON_JOB_CLOSE
        self._kernel.SetInformationJobObject(
            self._handle,
            self.EXTENDED_LIMIT_INFORMATION,
            ctypes.byref(limits),
            ctypes.sizeof(limits),
        )

    def add(self, process: subprocess.Popen[bytes]) -> None:
        import ctypes

        handle = ctypes.c_void_p(int(process._handle))  # type: ignore[attr-defined]
        self._kernel.AssignProcessToJobObject(self._handle, handle)

    def kill(self) -> None:
        self._kernel.TerminateJobObject(self._handle, 1)

    def close(self) -> None:
        self._kernel.CloseHandle(self._handle)


def _extended_limits() -> Any:
    """Return an empty JOBOBJECT_EXTENDED_LIMIT_INFORMATION as winnt.h lays it out."""
    import ctypes

    size, word, counter = ctypes.c_size_t, ctypes.c_uint32, ctypes.c_int64

    class Limits(ctypes.Structure):
        _fields_ = (
            ("PerProcessUserTimeLimit", counter),
            ("PerJobUserTimeLimit", counter),
            ("LimitFlags", word),
            ("MinimumWorkingSetSize", size),
            ("MaximumWorkingSetSize", size),
            ("ActiveProcessLimit", word),
            ("Affinity", size),
            ("PriorityClass", word),
            ("SchedulingClass", word),
            ("IoInfo", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", size),
            ("JobMemoryLimit", size),
            ("PeakProcessMemoryUsed", size),
            ("PeakJobMemoryUsed", size),
        )

    return Limits()
