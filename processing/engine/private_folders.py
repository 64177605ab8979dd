"""The folder of one run, for the job and for all its large temporary files. No QGIS in here.

It lies on a disk: on some systems (Fedora, Debian 13) the temporary folder is memory, which a
streamed layer or an unpacked raster would fill. Nobody else can read it. What a killed run left
goes with the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping

from deepseg_qgis.locks import claim, is_abandoned
from deepseg_qgis.user_folders import cache_home

PREFIX = "deepseg-"
MOUNTS = "/proc/self/mounts"
"""Linux's list of what is mounted where, and how."""
MEMORY = ("tmpfs", "ramfs")


class PrivateFolder:
    """A new folder that nobody else can read; ``path`` is where it is.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, parent: str) -> None:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        remove_abandoned(parent)
        self.path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        self._owner: int | None = None
        with contextlib.suppress(OSError):  # then it is never taken for a dead one's
            self._owner = claim(self.path)

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        if self._owner is not None:  # Windows deletes nothing that is open
            os.close(self._owner)
            self._owner = None
        shutil.rmtree(self.path, ignore_errors=True)


def remove_abandoned(parent: str) -> None:
    """Remove the folders of killed runs of this computer."""
    for entry in os.scandir(parent):
        if entry.name.startswith(PREFIX):
            with contextlib.suppress(OSError):
                if is_abandoned(entry.path):
                    shutil.rmtree(entry.path, ignore_errors=True)


def parent_folder(
    temporary: str, is_chosen: bool, variables: Mapping[str, str] = os.environ
) -> str:
    """Return where folders of runs go.

    That is the ``temporary`` folder if the user chose it, or if it lies on a disk; else a folder in
    the user's cache.
    """
    if is_chosen or variables.get("TMPDIR") or not is_in_memory(temporary):
        return temporary
    return os.path.join(cache_home(variables), "deepseg", "temporary")


def is_in_memory(folder: str, mounts: str = MOUNTS) -> bool:
    """Return whether what is written into a folder takes memory; False where that is unknown."""
    if sys.platform != "linux":
        return False
    place = os.path.join(os.path.realpath(folder), "")
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split() for line in file]
    except OSError:
        return False
    kinds = {
        os.path.join(_plain(row[1]), ""): row[2]
        for row in rows
        if len(row) > 2 and place.startswith(os.path.join(_plain(row[1]), ""))
    }
    return bool(kinds) and kinds[max(kinds, key=len)] in MEMORY


def _plain(path: str) -> str:
    """Return a path as it is: in the list, spaces and the like are numbers."""
    return path.encode("latin-1", "replace").decode("unicode_escape") if "\\" in path else path
