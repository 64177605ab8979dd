"""The hidden folder beside a destination, in which it is written.

It holds a file with the name of this computer, locked for as long as its process lives. So what a
killed process left is known for certain, and goes when the same destination is written again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from deepseg_qgis.errors import OutputError
from deepseg_qgis.locks import OWNER, claim, is_abandoned

OLD = ".old"
SUFFIX = ".part"
LONGEST_PREFIX = 40
"""Of the destination's name so much stands in the folder's: file names have their limits."""


class PartFolder:
    """A new folder beside ``final``, for nobody else to read; ``path`` is where it is.

    What a killed process left beside the same destination is removed first.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, final: Path) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(final)
        self.path = Path(tempfile.mkdtemp(prefix=_prefix(final), suffix=SUFFIX, dir=final.parent))
        self._owner: int | None = None
        self._aside: dict[str, Path] = {}
        with contextlib.suppress(OSError):
            self.path.chmod(0o700)
        with contextlib.suppress(OSError):  # then it is never taken for a dead one's
            self._owner = claim(str(self.path))

    @property
    def content(self) -> Iterator[Path]:
        """What was written into it."""
        return (path for path in self.path.iterdir() if path.name not in (OWNER, OLD))

    def set_aside(self, files: Iterable[str], but: Collection[str]) -> None:
        """Move files into it that would go with what they belong to, but for some names.

        Raises:
            OSError: one of them could not be moved.
        """
        for file in files:
            name = os.path.basename(file)
            if name not in but:
                (self.path / OLD).mkdir(exist_ok=True)
                os.replace(file, self.path / OLD / name)
                self._aside[file] = self.path / OLD / name

    def drop_aside(self) -> None:
        """Delete what was set aside."""
        self._aside.clear()
        shutil.rmtree(self.path / OLD, ignore_errors=True)

    def keep(self) -> None:
        """Leave the folder for the user, whatever happens to this process.

        What was set aside goes back to where it was.
        """
        for file, aside in self._aside.items():
            with contextlib.suppress(OSError):
                os.replace(aside, file)
        with contextlib.suppress(OSError):
            (self.path / OLD).rmdir()
        self._release()
        with contextlib.suppress(OSError):
            os.remove(self.path / OWNER)

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        self._release()  # Windows deletes nothing that is open
        shutil.rmtree(self.path, ignore_errors=True)

    def _release(self) -> None:
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None


def name_destinations(error: BaseException, places: Mapping[Path, Path]) -> None:
    """Have an `OutputError` name the destinations that the user chose instead of hidden folders.

    ``places`` are hidden folders, and where what is in them was to appear.
    """
    if isinstance(error, OutputError):
        message = str(error)
        for hidden, asked in places.items():
            message = message.replace(str(hidden), str(asked))
        error.args = (message,)


def _prefix(final: Path) -> str:
    return f".{final.name[:LONGEST_PREFIX]}."


def _remove_abandoned(final: Path) -> None:
    """Remove the folders that killed processes of this computer left beside a destination."""
    for folder in final.parent.iterdir():
        if folder.name.startswith(_prefix(final)) and folder.name.endswith(SUFFIX):
            with contextlib.suppress(OSError):
                if is_abandoned(str(folder)):
                    shutil.rmtree(folder, ignore_errors=True)
