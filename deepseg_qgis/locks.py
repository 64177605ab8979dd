"""Locks on open files. The system releases them when their process ends, however it ends.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import os
import platform
import sys

OWNER = ".owner"
"""The file in a folder of one process that names its computer, locked for as long as it lives."""


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


def claim(folder: str) -> int:
    """Mark a new folder as this process's; return the open file whose lock says that it lives.

    Raises:
        OSError: the file cannot be made, or the file system knows no locks.
    """
    path = os.path.join(folder, OWNER)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not lock(file):
            raise BlockingIOError(path)
        os.write(file, platform.node().encode())
    except OSError:
        os.close(file)
        os.remove(path)
        raise
    return file


def is_abandoned(folder: str) -> bool:
    """Return whether the process that claimed a folder was of this computer and lives no more.

    Raises:
        OSError: nobody claimed it, or its process lives (on Windows).
    """
    file = os.open(os.path.join(folder, OWNER), os.O_RDWR)
    try:
        # on Windows nobody but its owner can read a locked file: an OSError
        return os.read(file, 1000) == platform.node().encode() != b"" and lock(file)
    finally:
        os.close(file)


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
