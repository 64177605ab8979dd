"""Outputs that appear whole or not at all.

Every destination is written inside a hidden folder beside it and moved into place at the very end,
all of a run's outputs together, but for what `Outputs.place` moves earlier. Used by every verb that
writes.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from types import TracebackType

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.part_folders import PartFolder, tell_as_asked
from deepseg_qgis.errors import OutputError, ResourceError


class Outputs:
    """The destinations of one run; a context manager.

    Leaving the block without an error moves everything into place; with an error, or when the
    parent process is gone, nothing stays but what was placed before.

    Raises:
        OutputError: a destination cannot be made or replaced, found before any work is done.
    """

    def __init__(self, control: Control) -> None:
        self._folders: dict[Path, PartFolder] = {}
        self._moving = threading.RLock()
        control.when_abandoned(self.discard)

    def path(self, destination: str) -> str:
        """Return where to write what is to appear at ``destination``; its folder exists."""
        final = Path(destination)
        if final not in self._folders:
            _check_replaceable(final)
            self._folders[final] = _folder_beside(final)
        return str(self._folders[final].path / final.name)

    def optional(self, destination: str | None) -> str | None:
        """Return `path` of a destination that may not have been asked for."""
        return self.path(destination) if destination else None

    def place(self, destination: str) -> None:
        """Move what was written for one destination into place now: no later error takes it away.

        It may be written and placed again.

        Raises:
            OutputError: it could not be moved.
        """
        final = Path(destination)
        with self._moving:
            folder = self._folders[final]
            _all_onto_disk(folder)
            failure = _moved(folder, final)
            if failure:
                del self._folders[final]
                raise OutputError(failure)

    def need(self, destination: str, size_bytes: int) -> None:
        """Check that the disk of ``destination`` has room for so many bytes.

        Raises:
            ResourceError: it has not.
        """
        folder = self._folders[Path(destination)].path
        free = shutil.disk_usage(folder).free
        if free < size_bytes:
            raise ResourceError(
                f"Writing {destination} needs about {size_bytes / 1e6:,.0f} MB, but its disk has "
                f"{free / 1e6:,.0f} MB left. Make room or choose a place on another disk."
            )

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._commit()
            else:
                parents = {each.path: final.parent for final, each in self._folders.items()}
                tell_as_asked(error, parents)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written and not moved into place; what is being moved goes on."""
        with self._moving:
            for folder in self._folders.values():
                folder.remove()
            self._folders.clear()

    def _commit(self) -> None:
        """Move everything into place; what cannot be moved stays where it is.

        Raises:
            OutputError: something could not be moved.
        """
        with self._moving:
            for folder in self._folders.values():
                _all_onto_disk(folder)
            failures = []
            for final in list(self._folders):
                folder = self._folders.pop(final)
                if failure := _moved(folder, final):
                    failures.append(failure)
                else:
                    folder.remove()
        if failures:
            raise OutputError(" ".join(failures))


def _moved(folder: PartFolder, final: Path) -> str | None:
    """Move a folder's content to the destination; return what went wrong."""
    for part in sorted(folder.content, key=lambda path: path.name == final.name):
        try:
            os.replace(part, final.parent / part.name)
        except OSError as error:
            folder.keep()
            return (
                f"{final} could not be replaced ({error.strerror}); another program may hold it "
                f"open. The finished result was kept at {folder.path / final.name}: close the "
                "other program and move it by hand."
            )
    return None


def _all_onto_disk(folder: PartFolder) -> None:
    """Have the system write files out, so that not even a power failure leaves half of one.

    Raises:
        OutputError: the disk is full or gone.
    """
    for path in folder.content:
        try:
            if path.is_file():
                with open(path, "r+b") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path.name} could not be written ({error.strerror}). Check that its disk has room and is "
        "still there, and run it again."
    )


def _check_replaceable(final: Path) -> None:
    if final.is_dir():
        raise OutputError(f"{final} is a folder. Choose a file name for this output.")
    if final.exists():
        try:
            with open(final, "r+b"):
                pass
        except OSError as error:
            raise OutputError(
                f"{final} exists and cannot be replaced ({error.strerror}). Close it in other "
                "programs, or choose another name."
            ) from error


def _folder_beside(final: Path) -> PartFolder:
    try:
        return PartFolder(final)
    except OSError as error:
        raise OutputError(
            f"{final} cannot be written ({error.strerror}: {error.filename}). Choose a folder that "
            "you may write to."
        ) from error
