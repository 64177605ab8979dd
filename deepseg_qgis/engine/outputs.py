"""Outputs that appear whole or not at all.

Every destination is written inside a hidden folder beside it and moved into place at the very end,
all of a run's outputs together. Used by every verb that writes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from deepseg_qgis.engine.control import Control
from deepseg_qgis.errors import OutputError, ResourceError


class Outputs:
    """The destinations of one run; a context manager.

    Leaving the block without an error moves everything into place; with an error, or when the
    parent process is gone, nothing stays.

    Raises:
        OutputError: a destination cannot be made or replaced, found before any work is done.
    """

    def __init__(self, control: Control) -> None:
        self._folders: dict[Path, Path] = {}
        control.when_abandoned(self.discard)

    def path(self, destination: str) -> str:
        """Return where to write what is to appear at ``destination``; its folder exists."""
        final = Path(destination)
        if final not in self._folders:
            _check_replaceable(final)
            self._folders[final] = _folder_beside(final)
        return str(self._folders[final] / final.name)

    def optional(self, destination: str | None) -> str | None:
        """Return `path` of a destination that may not have been asked for."""
        return self.path(destination) if destination else None

    def need(self, destination: str, size_bytes: int) -> None:
        """Check that the disk of ``destination`` has room for so many bytes.

        Raises:
            ResourceError: it has not.
        """
        folder = self._folders[Path(destination)]
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
        if error is None:
            self._commit()
        self.discard()

    def discard(self) -> None:
        """Remove what was written and not moved into place."""
        for folder in self._folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()

    def _commit(self) -> None:
        for final, folder in list(self._folders.items()):
            for part in sorted(folder.iterdir(), key=lambda path: path.name == final.name):
                self._move(part, final)
            del self._folders[final]
            shutil.rmtree(folder, ignore_errors=True)

    def _move(self, part: Path, final: Path) -> None:
        try:
            os.replace(part, final.parent / part.name)
        except OSError as error:
            del self._folders[final]  # so that the finished result is not thrown away
            raise OutputError(
                f"{final} could not be replaced ({error.strerror}); another program may hold it "
                f"open. The finished result was kept at {part}."
            ) from error


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


def _folder_beside(final: Path) -> Path:
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(
            tempfile.mkdtemp(prefix=f".{final.name[:40]}.", suffix=".part", dir=final.parent)
        )
    except OSError as error:
        raise OutputError(
            f"{final} cannot be written ({error.strerror}: {error.filename}). Choose a folder that "
            "you may write to."
        ) from error
    with contextlib.suppress(OSError):
        folder.chmod(0o700)
    return folder
