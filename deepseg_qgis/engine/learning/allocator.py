"""The setting of the C library's memory allocator that suits training."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1
"""Names of glibc's settings, from malloc.h."""


def keep_freed_memory() -> None:
    """Keep what a batch frees for the next one, until the process ends.

    glibc would give large blocks back to the system and have them filled with zeros anew, batch
    after batch: on a CPU a seventh of the time. Elsewhere than on Linux this does nothing, and
    neither where the process's memory is limited: in what is kept there would be no room for
    smaller batches, once the larger ones no longer fit.
    """
    if _is_limited():
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _is_limited() -> bool:
    if sys.platform == "win32":
        return False
    import resource

    limits = (resource.getrlimit(each)[0] for each in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return any(each != resource.RLIM_INFINITY for each in limits)
