"""Where outputs go: absolute paths of files, whatever the user, a script or a model asked for."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import QgsProcessingAlgorithm, QgsProcessingContext, QgsProcessingUtils

from deepseg_qgis.errors import OutputError

LAYERS = ("vectorDestination", "rasterDestination")


class Destinations:
    """The outputs of one run.

    ``paths`` holds those that were asked for so far: absolute, and always files (QGIS's in-memory
    layers and database tables cannot be written by another process).
    """

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
    ) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context
        self.paths: dict[str, str] = {}

    def path(self, name: str, temporary_extension: str | None = None) -> str:
        """Return where an output goes that must be there.

        A temporary file gets ``temporary_extension`` instead of the provider's default.

        Raises:
            OutputError: it is no file.
        """
        path = self.optional_path(name, temporary_extension)
        if path is None:
            raise OutputError(
                f"{self._definition(name).description()}: expected a file name, found none. Choose "
                "where to save it."
            )
        return path

    def optional_path(self, name: str, temporary_extension: str | None = None) -> str | None:
        """Return where an output goes, or None where it was not asked for.

        Raises:
            OutputError: it is no file.
        """
        asked = self._asked(name)
        if not asked:
            return None
        if "dbname=" in asked or asked.startswith("memory:"):
            raise OutputError(
                f"{self._definition(name).description()}: expected a file, got '{asked}'. DeepSeg "
                "writes files such as GeoPackages; choose a file name."
            )
        path = os.path.abspath(asked)
        if temporary_extension and is_temporary(path):
            path = f"{os.path.splitext(path)[0]}.{temporary_extension}"
        self._follow(asked, path)
        self.paths[name] = path
        return path

    def _asked(self, name: str) -> str:
        layer = self._definition(name).type() in LAYERS
        read = "parameterAsOutputLayer" if layer else "parameterAsFileOutput"
        return getattr(self._algorithm, read)(self._parameters, name, self._context)

    def _definition(self, name: str) -> Any:
        return self._algorithm.parameterDefinition(name)

    def _follow(self, asked: str, path: str) -> None:
        """Have QGIS load the layer from where it will really be."""
        waiting = self._context.layersToLoadOnCompletion()
        if asked != path and asked in waiting:
            waiting[path] = waiting.pop(asked)
            self._context.setLayersToLoadOnCompletion(waiting)


def is_temporary(path: str) -> bool:
    """Whether QGIS chose the path, in the folder that it clears when it ends."""
    folder = os.path.join(os.path.abspath(QgsProcessingUtils.tempFolder()), "")
    return path.startswith(folder)
