"""The files that a raster is read from, and whether somebody changed them meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from deepseg_qgis.errors import RasterError

MOST_WATCHED = 64
"""So many files of a raster are looked at after each window (a VRT may have thousands)."""


@dataclass(frozen=True)
class FileStates:
    """Files, each with its absolute path, size in bytes and time of change in ns.

    ``states`` is empty where one of them is no file of this computer's.
    """

    states: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, paths: Sequence[str]) -> FileStates:
        """Return the files at these paths as they are now."""
        try:
            return cls(tuple(_state(path) for path in sorted(set(paths))))
        except OSError:
            return cls(())

    def check(self) -> None:
        """Check that they are what they were.

        Raises:
            RasterError: one is gone or was changed.
        """
        for state in self.states[:MOST_WATCHED]:
            try:
                what = "" if _state(state[0]) == state else "was changed while it was read"
            except FileNotFoundError:
                what = "is not there any more"
            except OSError:
                continue  # a drive that is busy; reading says if it is gone
            if what:
                raise RasterError(
                    f"{state[0]} {what}. Expected it to stay as it is until the work is done: "
                    "check the drive or the network, and run it again."
                )


def _state(path: str) -> tuple[str, int, int]:
    found = os.stat(path)
    return os.path.abspath(path), found.st_size, found.st_mtime_ns
