"""Where the states of trainings are kept, so that one that was interrupted goes on.

They lie in the user's cache, each under the name of its training, as the journals of predictions
do. Whoever trains holds a lock; a state is written aside and moved, so it is whole or the one
before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from types import TracebackType

from deepseg_qgis.engine.backends.network_cache import cache_folder
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning import training_state
from deepseg_qgis.engine.learning.training_state import TrainingState
from deepseg_qgis.engine.resuming.retention import outdated
from deepseg_qgis.errors import ResourceError
from deepseg_qgis.locks import open_locked

SUFFIX, PART, LOCK = ".training", ".training.part", ".lock"
"""Of a state's file; of the folder in which it is written, since safetensors writes to a file of a
name of its own first, which a kill would leave; and of its lock."""


def default_folder() -> str:
    """Return DeepSeg's folder of trainings in this user's cache."""
    return os.path.join(os.path.dirname(cache_folder()), "trainings")


class SavedTraining:
    """The last state of one training on the disk; a context manager that holds its lock.

    Args:
        name: tells the training from others, None for one that is not to be continued.
        control: hears why nothing can be saved, which ends no training.
        folder: where states are kept.

    Raises:
        ResourceError: another process is at this very training.
    """

    def __init__(self, name: str | None, control: Control, folder: str | None = None) -> None:
        self._control = control
        self._folder = folder or default_folder()
        self._path = os.path.join(self._folder, f"{name}{SUFFIX}")
        self._part = self._path.removesuffix(SUFFIX) + PART
        self._lock = None if name is None else self._locked()

    def read(self) -> TrainingState | None:
        """Return the last state, None if there is none that can be used."""
        if self._lock is None or not os.path.exists(self._path):
            return None
        try:
            return training_state.read(self._path)
        except (OSError, ValueError) as error:
            self._control.log(f"An earlier run cannot be continued ({error}).")
            return None

    def write(self, state: TrainingState) -> None:
        """Put a state in the place of the last one; where that fails, say so and go on."""
        if self._lock is None:
            return
        place = os.path.join(self._part, "state")
        try:
            os.makedirs(self._part, mode=0o700, exist_ok=True)
            training_state.write(place, state)
            _flush_to_disk(place)
            os.replace(place, self._path)
        except OSError as error:
            self._give_up(error)
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def delete(self) -> None:
        """Remove the state: nobody will want to go on from it."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.remove(self._path)

    def __enter__(self) -> SavedTraining:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._release()

    def _locked(self) -> int | None:
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            prune(self._folder, keep=self._path)
            lock = open_locked(self._path + LOCK)
        except OSError as error:
            self._give_up(error)
            return None
        if lock is None:
            raise ResourceError(
                "The same training is running already, perhaps in another QGIS. Wait until it is "
                "done, or switch 'Resume' off to run both."
            )
        shutil.rmtree(self._part, ignore_errors=True)  # of a run that was killed
        return lock

    def _give_up(self, error: OSError) -> None:
        self._control.log(
            f"This training cannot be saved in {self._folder} ({error.strerror or error}). Should "
            "it be interrupted, it will have to start again."
        )
        if getattr(self, "_lock", None) is not None:
            self._release()

    def _release(self) -> None:
        assert self._lock is not None  # asked by the callers
        _let_go(self._lock, self._path + LOCK)
        self._lock = None


def prune(folder: str, keep: str, now: float | None = None) -> None:
    """Delete states that are not to be kept any longer; never one in use."""
    for path in outdated(folder, (SUFFIX, PART), now):
        if path != keep:
            _delete_unused(path)


def _delete_unused(path: str) -> None:
    lock_path = path.removesuffix(PART).removesuffix(SUFFIX) + SUFFIX + LOCK
    with contextlib.suppress(OSError):
        lock = open_locked(lock_path)
        if lock is None:
            return
        try:
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
        finally:
            _let_go(lock, lock_path)


def _let_go(lock: int, path: str) -> None:
    """Close a lock's file and remove it; on Windows nothing that is open can be deleted."""
    with contextlib.suppress(OSError):
        if os.name != "nt":
            os.remove(path)
    os.close(lock)
    with contextlib.suppress(OSError):
        if os.name == "nt":
            os.remove(path)


def _flush_to_disk(path: str) -> None:
    with open(path, "r+b") as file:
        os.fsync(file.fileno())
