"""The folder of engine environments, and which of them counts. No QGIS in here."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import Any

from deepseg_qgis.processing.engine.environment import POINTER

from deepseg_qgis.errors import OutputError

PREFIX = "engine-"

ROOM_BYTES = 8e9
"""A CUDA environment takes 6 GB, and pip's downloads need room beside it."""


class EngineHome:
    """The folder ``path``, which is made when it is needed; each environment has one of its own."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def has_little_room(self) -> bool:
        """Whether an environment might not fit on the disk."""
        return shutil.disk_usage(self.path).free < ROOM_BYTES

    def present(self, recipe: str) -> str | None:
        """Return the Python of the complete environment, if it was made in this way."""
        try:
            with open(os.path.join(self.path, POINTER), encoding="utf-8") as file:
                pointer: dict[str, Any] = json.load(file)
            python = os.path.join(self.path, pointer["python"])
            return python if pointer["recipe"] == recipe and os.path.isfile(python) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def point_to(self, python: str, recipe: str) -> None:
        """Have the environment of this Python count from now on.

        Raises:
            OutputError: it cannot be noted.
        """
        pointer = os.path.join(self.path, POINTER)
        try:
            with open(pointer + ".part", "w", encoding="utf-8") as file:
                json.dump({"python": os.path.relpath(python, self.path), "recipe": recipe}, file)
            os.replace(pointer + ".part", pointer)
        except OSError as error:
            raise OutputError(
                f"The engine is complete, but {pointer} cannot be written ({error.strerror}). Make "
                f"it writable and run this again, or choose {python} under Settings > Options > "
                "Processing > Providers > DeepSeg."
            ) from error

    def remove_others(self, folder: str) -> None:
        """Delete all environments but the one in ``folder``, as far as they can be deleted."""
        for name in os.listdir(self.path):
            other = os.path.join(self.path, name)
            if name.startswith(PREFIX) and other != folder:
                shutil.rmtree(other, ignore_errors=True)

    def new_folder(self) -> str:
        """Return a new folder for an environment.

        Raises:
            OutputError: it cannot be made.
        """
        try:
            os.makedirs(self.path, exist_ok=True)
            return tempfile.mkdtemp(prefix=PREFIX, dir=self.path)
        except OSError as error:
            raise OutputError(
                f"The engine's folder {self.path} cannot be written ({error.strerror}). Make it "
                "writable, or set the variable DEEPSEG_ENGINE_HOME to another folder."
            ) from error
