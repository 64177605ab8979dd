"""What can go wrong, as one tree.

::

    DeepSegError
    ├── ParameterError      a parameter of the algorithm's dialog cannot be used
    ├── RasterError         a raster cannot be read, or does not fit
    ├── VectorError         an annotation, AOI or other vector layer cannot be used
    ├── ModelError          a model file cannot be read, or does not fit the data
    ├── OutputError         a destination cannot be written
    ├── DownloadError       a file that the user asked for cannot be downloaded
    ├── ResourceError       memory, disk or device are not enough
    ├── Stopped             the user asked to stop, and there is nothing to keep
    └── EngineError         the engine process itself
        ├── EngineMissing       no Python environment with the engine's libraries
        ├── EngineDied          it ended without saying why
        └── ContractError       the two processes do not speak the same version

Every message says what was expected, what was found and what to do now, in the words of the
algorithm's dialog; it is shown as it is, without a traceback.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

MOST_LISTED = 20
"""So many names a message lists."""

NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, getattr(errno, "ETXTBSY", 26))
MISSING = (errno.ENOENT, errno.ENOTDIR)
TOO_MANY = (errno.EMFILE, errno.ENFILE)
UNREACHABLE = (
    *(errno.EIO, errno.ENXIO, errno.ENODEV, errno.ETIMEDOUT, errno.ENETUNREACH),
    *(getattr(errno, name, errno.EIO) for name in ("ESTALE", "EHOSTDOWN", "EREMOTEIO")),
)
"""What the operating system calls a full disk, and so on, on one system or another."""


class DeepSegError(Exception):
    """The root of every error that DeepSeg raises on purpose."""


class ParameterError(DeepSegError):
    """A parameter of the algorithm's dialog cannot be used."""


class RasterError(DeepSegError):
    """A raster cannot be read, or does not fit."""


class VectorError(DeepSegError):
    """An annotation, AOI or other vector layer cannot be used."""


class ModelError(DeepSegError):
    """A model file cannot be read, or does not fit the data."""


class OutputError(DeepSegError):
    """A destination cannot be written."""


class DownloadError(DeepSegError):
    """A file that the user asked for cannot be downloaded."""


class ResourceError(DeepSegError):
    """Memory, disk or device are not enough."""


class Stopped(DeepSegError):  # noqa: N818 - a request that was followed, not a fault
    """The user asked to stop, and there is nothing to keep."""


class EngineError(DeepSegError):
    """The engine process itself."""


class EngineMissing(EngineError):  # noqa: N818
    """There is no Python environment with the engine's libraries."""


class EngineDied(EngineError):  # noqa: N818
    """The engine process ended without saying why."""


class ContractError(EngineError):
    """The two processes do not speak the same version of the contract."""


def listed(names: Sequence[str]) -> str:
    """Return names as a message lists them: in quotes, and of very many only the first."""
    shown = ", ".join(f"'{name}'" for name in names[:MOST_LISTED])
    return shown if len(names) <= MOST_LISTED else f"{shown} and {len(names) - MOST_LISTED} more"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the right form, as '1 polygon' or '2,000 polygons'.

    ``plural`` is for nouns that do not form it with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def os_message(error: OSError) -> str:
    """Return which file the operating system could not use, why, and what to do now."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    file, reason = " or ".join(names) or "A file", error.strerror or str(error)
    if error.errno in NO_ROOM:
        disk = f"for {file}" if names else "on the disk"
        return f"There is no room {disk} ({reason}). Free some space and run it again."
    if error.errno in DENIED:
        return (
            f"{file} cannot be read or written ({reason}). Check its permissions, and whether "
            "another program has it open."
        )
    if error.errno in MISSING:
        return f"{file} is not there ({reason}). Check the path, and that its drive is connected."
    if error.errno in TOO_MANY:
        return (
            f"Too many files are open ({reason}). Choose fewer layers, or close other programs, "
            "and run it again."
        )
    if error.errno == errno.ENAMETOOLONG:
        return f"{file} has too long a name ({reason}). Choose a shorter one."
    if error.errno in UNREACHABLE:
        return f"{file} cannot be reached ({reason}). Check its drive or network connection."
    return f"{file} cannot be used ({reason}). Check the file and its drive, and run it again."


def by_name(kind: str, message: str) -> DeepSegError:
    """Return the error called ``kind`` (as it travels in an event), else a plain DeepSegError."""
    pending: list[type[DeepSegError]] = [DeepSegError]
    while pending:
        error = pending.pop()
        if error.__name__ == kind:
            return error(message)
        pending.extend(error.__subclasses__())
    return DeepSegError(message)
