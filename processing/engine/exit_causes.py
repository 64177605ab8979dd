"""Why an engine ended without a result, told by its exit code. No QGIS in here."""

from __future__ import annotations

import signal
from collections.abc import Sequence

OUT_OF_MEMORY = (-9, 137, 0xC0000017, 0xC000012D)
"""Exit codes of a process that the system killed: POSIX, a shell in between, Windows."""

WINDOWS_CRASH = 0xC0000000


def cause_of_exit(code: int | None, greeted: bool, python: str, torchrun: Sequence[str]) -> str:
    """Return what happened to an engine that ended without a word, and what to do.

    ``torchrun`` has the options with which that has started it, if it has.
    """
    if code in OUT_OF_MEMORY:
        return (
            "The DeepSeg engine was ended by the system: most likely the computer ran out of "
            "memory. Use a smaller batch size, tile size or area of interest, or close other "
            "programs, and run it again."
        )
    if code is not None and (code < 0 or code >= WINDOWS_CRASH):
        return (
            f"The DeepSeg engine crashed ({_signal_name(code)}), which points to a fault in one of "
            "its libraries. Run 'Set up the engine' (deepseg:setupengine) with 'Make it anew' "
            "switched on; if it happens again, report it with the details from the log."
        )
    if torchrun and not greeted:
        return (
            f"torchrun did not start the DeepSeg engine (exit code {code}). Correct the options in "
            f"DEEPSEG_TORCHRUN ({' '.join(torchrun)}), or remove it to train in one process."
        )
    if not greeted:
        return (
            f"The DeepSeg engine did not start (exit code {code}) with {python}. Run 'Set up the "
            "engine' (deepseg:setupengine), or choose another Python for it."
        )
    return (
        f"The DeepSeg engine ended without a result (exit code {code}). Run it again; if it "
        "happens again, report it with the details from the log."
    )


def _signal_name(code: int) -> str:
    if code >= WINDOWS_CRASH:
        return f"code {code:#x}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
