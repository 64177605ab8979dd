"""The folder of journals: which there are, who may use them, and when they go."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil

from deepseg_qgis.engine.backends.network_cache import cache_folder
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.resuming.journal import Journal
from deepseg_qgis.engine.resuming.retention import outdated
from deepseg_qgis.errors import ResourceError
from deepseg_qgis.locks import open_locked

KEPT_FREE_BYTES = 500 * 10**6
"""A journal takes no disk below that."""
PACKED_SHARE = 0.2
"""A journal takes half of that of what its arrays take, as was seen; there is no bound."""
SUFFIX = ".journal"


def default_folder() -> str:
    """Return DeepSeg's folder of journals in this user's cache."""
    return os.path.join(os.path.dirname(cache_folder()), "journals")


class JournalFolder:
    """The journals of one run; a context manager.

    They are deleted in the end if `finished` was called, else kept for the next run.
    """

    def __init__(self, control: Control, folder: str | None = None) -> None:
        self._control = control
        self._folder = folder or default_folder()
        self._open: list[Journal] = []
        self._finished = False

    def open(self, name: str, raster: str, array_bytes: float) -> Journal | None:
        """Return the journal of that name, None if there can be none (said in the log).

        ``array_bytes`` is how much all arrays of all cores take.

        Raises:
            ResourceError: another process is at this very prediction.
        """
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            prune(self._folder, keep=name + SUFFIX)
            free = shutil.disk_usage(self._folder).free
            if free < KEPT_FREE_BYTES + PACKED_SHARE * array_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            journal = Journal(os.path.join(self._folder, name + SUFFIX))
        except BlockingIOError as error:
            raise ResourceError(
                f"The same prediction of {raster} is running already, perhaps in another QGIS. "
                "Wait until it is done, or switch 'Resume' off to run both."
            ) from error
        except OSError as error:
            self._control.log(
                f"{raster}: without a journal in {self._folder} ({error.strerror}). Should this "
                "run be interrupted, it will have to start again."
            )
            return None
        self._open.append(journal)
        return journal

    @property
    def any(self) -> bool:
        """Whether something could be continued from them."""
        return bool(self._open)

    def finished(self) -> None:
        """Say that the run is done, so that nobody will want to continue it."""
        self._finished = True

    def __enter__(self) -> JournalFolder:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        for journal in self._open:
            if self._finished and error is None:
                journal.delete()
            else:
                journal.close()


def prune(folder: str, keep: str, now: float | None = None) -> None:
    """Delete journals that are not to be kept any longer; never one in use."""
    for path in outdated(folder, (SUFFIX,), now):
        if os.path.basename(path) != keep:
            _delete_unused(path)


def _delete_unused(path: str) -> None:
    with contextlib.suppress(OSError):
        file = open_locked(path)
        if file is None:
            return
        try:
            if os.name != "nt":  # where nothing that is open can be deleted
                os.remove(path)
        finally:
            os.close(file)
        if os.name == "nt":
            os.remove(path)
