"""A folder that appears whole or not at all, and never takes anything of the user's away."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.part_folders import name_destinations
from deepseg_qgis.errors import OutputError, listed


class FolderOutput:
    """A folder that is written beside its destination and renamed at the end; a context manager.

    ``strangers`` returns what in a folder is not known to be of an earlier run: a folder that has
    any is not replaced.

    Raises:
        OutputError: the destination cannot be made or replaced, found before any work is done.
    """

    def __init__(
        self, destination: str, strangers: Callable[[Path], list[str]], control: Control
    ) -> None:
        self._final, self._strangers = Path(os.path.realpath(destination)), strangers
        _check_replaceable(self._final, strangers)
        self.path = _folder_beside(self._final)
        control.when_abandoned(self.discard)

    def __enter__(self) -> FolderOutput:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self._commit()
        else:
            name_destinations(error, {self.path: self._final})
            self.discard()

    def discard(self) -> None:
        """Remove what was written and not moved into place."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _commit(self) -> None:
        before = None
        try:
            _check_replaceable(self._final, self._strangers)  # hours may have passed
        except OutputError as error:
            kept = f"The finished result was kept at {self.path}."
            raise OutputError(f"{error} {kept}") from error
        try:
            if self._final.exists():  # a folder is not replaced while it holds something
                before = _folder_beside(self._final)
                os.replace(self._final, before / "before")
            os.replace(self.path, self._final)
        except OSError as error:
            if before is not None:
                with contextlib.suppress(OSError):
                    os.replace(before / "before", self._final)
                    before.rmdir()
            raise OutputError(
                f"The folder {self._final} could not be replaced ({error.strerror}); another "
                f"program may hold a file in it open. The finished result was kept at {self.path}."
            ) from error
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)


def _check_replaceable(final: Path, strangers: Callable[[Path], list[str]]) -> None:
    if not final.exists():
        return
    if not final.is_dir():
        raise OutputError(f"{final} is a file. Choose a folder, or a name that is free.")
    try:
        found = strangers(final)
    except OSError as error:
        raise OutputError(
            f"The folder {final} cannot be read ({error.strerror}). Choose another one."
        ) from error
    if found:
        raise OutputError(
            f"The folder {final} holds what DeepSeg did not write, or what was changed since: "
            f"{listed(found)}. Choose an empty folder or a name that is free."
        )


def _folder_beside(final: Path) -> Path:
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(
            tempfile.mkdtemp(prefix=f".{final.name[:40]}.", suffix=".part", dir=final.parent)
        )
    except OSError as error:
        raise OutputError(
            f"The folder {final} cannot be made ({error.strerror}: {error.filename}). Choose a "
            "place that you may write to."
        ) from error
    with contextlib.suppress(OSError):
        folder.chmod(0o755)  # it becomes the user's own folder
    return folder
