"""Outputs that appear whole or not at all, and take nothing of the user's away.

Every destination is written inside a hidden folder beside it and moved into place when it is
finished: at the very end, or before (`Outputs.place`). Used by every verb that writes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.output_checks import check_outputs
from deepseg_qgis.engine.files.part_folders import PartFolder, name_destinations
from deepseg_qgis.errors import DeepSegError, OutputError, ResourceError
from deepseg_qgis.jobs import Job
from deepseg_qgis.overwriting import check_replaceable
from deepseg_qgis.sidecars import sidecars


class Outputs:
    """The destinations of one run; a context manager.

    Leaving the block without an error moves everything into place; with an error, or when the
    parent process is gone, nothing stays but what was placed before. With a ``job``, its outputs
    are checked against its inputs and each other first (`output_checks`).

    Raises:
        OutputError: a destination cannot be made or replaced, found before any work is done.
    """

    def __init__(self, control: Control, job: Job | None = None) -> None:
        if job is not None:
            check_outputs(job)
        self._control = control
        self._placed: dict[str, None] = {}
        self._failures: list[str] = []
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

    @contextlib.contextmanager
    def saving(self, *destinations: str | None) -> Iterator[None]:
        """Place outputs (None: not asked for) that the block writes to their end.

        If that fails, the run goes on without them, and ends in the error when all else is saved.
        """
        asked = [each for each in destinations if each]
        try:
            yield
            for each in asked:
                self.place(each)
        except (DeepSegError, OSError) as error:
            name_destinations(error, self._destinations)
            said = str(error if isinstance(error, DeepSegError) else _unwritten(asked[0], error))
            unsaid = [each for each in asked if each not in said]
            self._failures += [said, *(f"Nor was {each} written." for each in unsaid)]
            for each in asked:
                if Path(each) in self._folders:
                    self._folders.pop(Path(each)).remove()

    def place(self, destination: str, *, finished: bool = True) -> None:
        """Move what was written for one destination into place now: no later error takes it away.

        It may be written and placed again. If it is ``finished``, an error that comes later says
        that it is there.

        Raises:
            OutputError: it could not be moved.
        """
        final = Path(destination)
        with self._moving:
            folder = self._folders[final]
            _flush_to_disk(folder)
            failure = _move_into_place(folder, final)
            if failure:
                del self._folders[final]
                raise OutputError(failure)
        if finished:
            self._placed[destination] = None

    def check_room(self, destination: str, size_bytes: int) -> None:
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

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is None:
                self._commit()
                if self._failures:
                    raise self._with_saved(OutputError(" ".join(self._failures)))
            else:
                name_destinations(error, self._destinations)
                self._with_saved(error)
        finally:
            self.discard()

    @property
    def _destinations(self) -> dict[Path, Path]:
        """The hidden folders, and where what is in them is to appear."""
        return {folder.path: final.parent for final, folder in self._folders.items()}

    def _with_saved(self, error: BaseException) -> BaseException:
        """Return the error of a run, which says what is there all the same."""
        if self._placed:
            kept = f"Finished and saved: {', '.join(self._placed)}."
            if isinstance(error, DeepSegError):
                error.args = (f"{error} {kept}",)
            else:
                self._control.warn(kept)
        return error

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
                _flush_to_disk(folder)
            failures = []
            for final in list(self._folders):
                folder = self._folders.pop(final)
                if failure := _move_into_place(folder, final):
                    failures.append(failure)
                else:
                    folder.remove()
        if failures:
            raise OutputError(" ".join(failures))


def _move_into_place(folder: PartFolder, final: Path) -> str | None:
    """Move a folder's content to the destination; return what went wrong.

    What belongs to a file that is replaced goes with it: it would be wrong of the new one.
    """
    parts = sorted(folder.content, key=lambda path: path.name == final.name)
    if not parts:  # what was placed before stays as it is
        return None
    try:
        check_replaceable(str(final))  # hours may have passed since it was checked
        folder.set_aside(sidecars(str(final)), {part.name for part in parts})
        for part in parts:
            os.replace(part, final.parent / part.name)
    except OutputError as error:
        folder.keep()
        return f"{error} The finished result was kept at {folder.path / final.name}."
    except OSError as error:
        folder.keep()
        return (
            f"{final} could not be replaced ({error.strerror}); another program may hold it "
            f"open. The finished result was kept at {folder.path / final.name}: close the "
            "other program and move it by hand."
        )
    folder.drop_aside()
    return None


def _flush_to_disk(folder: PartFolder) -> None:
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
            raise _unwritten(path.name, error) from error


def _unwritten(path: str, error: OSError) -> OutputError:
    return OutputError(
        f"{path} could not be written ({error.strerror}). Check that its disk has room and is "
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
    check_replaceable(str(final))


def _folder_beside(final: Path) -> PartFolder:
    try:
        return PartFolder(final)
    except OSError as error:
        raise OutputError(
            f"{final} cannot be written ({error.strerror}: {error.filename}). Choose a folder that "
            "you may write to."
        ) from error
