"""How long what an interrupted run left is kept, and how much of it."""

from __future__ import annotations

import contextlib
import os
import time

MOST_AGE_S = 14 * 24 * 3600
MOST_BYTES = 5 * 10**9


def outdated(folder: str, endings: tuple[str, ...], now: float | None = None) -> list[str]:
    """Return the files with these endings that are old, and the oldest above `MOST_BYTES`."""
    now, total = now or time.time(), 0
    found = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            about = entry.stat()
            if entry.name.endswith(endings):
                found.append((about.st_mtime, about.st_size, entry.path))
    paths = []
    for changed, size, path in sorted(found, reverse=True):
        total += size
        if now - changed > MOST_AGE_S or total > MOST_BYTES:
            paths.append(path)
    return paths
