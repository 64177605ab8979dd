"""Where outputs go: absolute paths of files, whatever the user, a script or a model asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingDestinationParameter,
    QgsProcessingParameterFileDestination,
    QgsProcessingUtils,
    QgsProperty,
)

from deepseg_qgis.disk_files import FileIdentity, file_identity
from deepseg_qgis.errors import OutputError

LAYERS = ("vectorDestination", "rasterDestination")
FOLDER = "folderDestination"
NO_FILE = re.compile(r"dbname=|^(memory:|\w{2,}://|/vsi\w+/)", re.IGNORECASE)
"""Addresses of databases, of memory, of the network, and of what else GDAL takes for files."""


class Destinations:
    """The outputs of one run; ``edited`` are the files of layers in edit mode, and their names.

    ``paths`` holds those that were asked for so far: absolute, and always files (QGIS's in-memory
    layers and database tables cannot be written by another process).
    """

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        edited: Mapping[FileIdentity, str],
    ) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context
        self._edited = edited
        self.paths: dict[str, str] = {}

    def path(self, name: str, extension: str | None = None) -> str:
        """Return where an output goes that must be there.

        A temporary file, and a name without an ending, get ``extension`` instead of the output's
        usual one.

        Raises:
            OutputError: it is no file.
        """
        path = self.optional_path(name, extension)
        if path is None:
            raise OutputError(
                f"{self._definition(name).description()}: expected a file name, found none. Choose "
                "where to save it."
            )
        return path

    def optional_path(self, name: str, extension: str | None = None) -> str | None:
        """Return where an output goes, or None where it was not asked for; see `path`.

        Raises:
            OutputError: it is no file.
        """
        asked = self._asked(name)
        if not asked:
            self.expect_no_layer(asked)
            return None
        folder = self._definition(name).type() == FOLDER
        if NO_FILE.search(asked) or (asked.endswith(("/", os.sep)) and not folder):
            raise OutputError(
                f"{self._definition(name).description()}: expected a file, got '{asked}'. DeepSeg "
                "writes files such as GeoPackages; choose a file name."
            )
        path = self._with_ending(name, os.path.abspath(asked), extension)
        if extension and is_temporary(path):
            path = f"{os.path.splitext(path)[0]}.{extension}"
        self._check_unused(path)
        self._follow(asked, path)
        self.paths[name] = path
        return path

    def _check_unused(self, path: str) -> None:
        """Check that no layer in the file is being edited: saving it later would change the new."""
        layer = self._edited.get(file_identity(path))
        if layer is not None:
            raise OutputError(
                f"{path} is in use: its layer '{layer}' is being edited in QGIS. Save or discard "
                "its edits and switch editing off, or choose another file name."
            )

    def _asked(self, name: str) -> str:
        if self._definition(name).type() in LAYERS:
            return self._algorithm.parameterAsOutputLayer(self._parameters, name, self._context)
        return self._algorithm.parameterAsFileOutput(self._parameters, name, self._context)

    def _with_ending(self, name: str, path: str, extension: str | None) -> str:
        """Return the path with the ending of the output, if it has none of its own.

        What follows the last dot of 'model v1.2' is no ending; of a layer the engine will say so.
        """
        definition = self._definition(name)
        ending = extension or definition.defaultFileExtension()
        own = os.path.splitext(path)[1].lower()
        if isinstance(definition, QgsProcessingParameterFileDestination):
            own = own if f"*{own}" in definition.fileFilter().lower() else ""
        return path if own or not ending else f"{path}.{ending}"

    def _definition(self, name: str) -> QgsProcessingDestinationParameter:
        definition = self._algorithm.parameterDefinition(name)
        assert isinstance(definition, QgsProcessingDestinationParameter)
        return definition

    def _follow(self, asked: str, path: str) -> None:
        """Have QGIS load the layer from where it will really be."""
        waiting = self._context.layersToLoadOnCompletion()
        if asked != path and asked in waiting:
            waiting[path] = waiting.pop(asked)
            self._context.setLayersToLoadOnCompletion(waiting)

    def expect_no_layer(self, path: str) -> None:
        """Have QGIS not load a layer that is not made, which it would call an error.

        Batch runs have it wait for every output of the table, also for those that are left empty.
        """
        waiting = self._context.layersToLoadOnCompletion()
        if waiting.pop(path, None) is not None:
            self._context.setLayersToLoadOnCompletion(waiting)


def file_of(value: Any, context: QgsProcessingContext) -> str:
    """Return the file that a value of the dialog names, '' where it names none."""
    sink = getattr(value, "sink", value)
    if isinstance(sink, QgsProperty):
        return str(sink.valueAsString(context.expressionContext(), "")[0])
    return str(sink or "")


def is_temporary(path: str) -> bool:
    """Whether QGIS chose the path, in the folder that it clears when it ends."""
    folder = os.path.join(os.path.abspath(QgsProcessingUtils.tempFolder()), "")
    return path.startswith(folder)
