"""Where runs keep their temporary files, as QGIS's settings have it."""

from __future__ import annotations

from deepseg_qgis.processing.engine.private_folders import parent_folder
from qgis.core import QgsProcessingUtils, QgsSettings

from deepseg_qgis.errors import os_message


def runs_folder() -> str:
    """Return where runs have their folders; a folder that was chosen in QGIS is taken."""
    chosen = QgsSettings().value("Processing/Configuration/TEMP_PATH2", "", type=str)
    return parent_folder(QgsProcessingUtils.tempFolder(), bool(chosen))


def file_problem(error: OSError) -> str:
    """Return what to tell the user: the temporary folder's files have names that nobody knows."""
    folder = runs_folder()
    if not str(error.filename or "").startswith(folder):
        return os_message(error)
    return (
        f"The temporary folder {folder} cannot be used ({error.strerror or error}). Make room on "
        "its disk, or choose another one under Settings > Options > Processing > General."
    )
