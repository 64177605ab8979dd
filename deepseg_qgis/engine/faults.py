"""Whose fault an error is: that of the memory, of the operating system, or of DeepSeg itself.

Libraries say that the memory was not enough in errors and words of their own.
"""

from __future__ import annotations

import errno
import re

MEMORY = re.compile(
    r"out of memory|bad_?alloc|(can't|cannot|could not|unable to|failed to|not) allocate|"
    r"(insufficient|not enough) memory|ALLOC_FAILED|"
    r"could not create a (memory|primitive(?! descriptor))",
    re.IGNORECASE,
)
"""How torch, CUDA, OpenVINO, oneDNN and C++ say it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory was not enough."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and MEMORY.search(str(error)) is not None


def is_system_error(error: BaseException) -> bool:
    """Return whether the operating system refused something, other than memory."""
    return isinstance(error, OSError) and error.errno is not None and not is_out_of_memory(error)


def reason(error: Exception) -> str:
    """Return the last line of what an error says; libraries put where they were before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
