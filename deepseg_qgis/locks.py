"""Locks on open files. The system releases them when their process ends, however it ends."""

from __future__ import annotations

import os
import sys


def lock(file: int) -> bool:
    """Lock an open file (a descriptor) for as long as it is open; False if another one holds it.

    On Windows its first byte can then be read through this descriptor alone.

    Raises:
        OSError: the file system knows no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 0, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def open_locked(path: str) -> int | None:
    """Open (or create) a file that nobody else may read, and lock it; None if another one holds it.

    Raises:
        OSError: it cannot be opened, or the file system knows no locks.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            if not lock(file):
                os.close(file)
                return None
            if _is_at(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its holder deleted it in this very moment


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
