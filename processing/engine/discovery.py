"""Which engine the user has, as QGIS knows it."""

from __future__ import annotations

import os

from deepseg_qgis.processing.engine.client import EngineProgram
from deepseg_qgis.processing.engine.environment import chosen_python, engine_variables
from qgis import utils
from qgis.core import QgsSettings

import deepseg_qgis
from deepseg_qgis.errors import EngineMissing

ENGINE_SETTING = "DEEPSEG_ENGINE_PYTHON"
"""The provider's setting, as Processing's options call it."""

NO_ENGINE = (
    "DeepSeg has no engine yet. Run the algorithm 'Set up the engine' (deepseg:setupengine, in the "
    "group Models) once, then try again."
)


def find_engine() -> EngineProgram:
    """Return the engine that the user has; in the desktop it yields to QGIS's window.

    Raises:
        EngineMissing: there is none.
    """
    setting = QgsSettings().value(f"Processing/Configuration/{ENGINE_SETTING}") or ""
    python = chosen_python(os.environ, str(setting))
    if python is None:
        raise EngineMissing(NO_ENGINE)
    if not os.path.isfile(python):
        raise EngineMissing(
            f"The engine's Python {python} does not exist. Run 'Set up the engine' "
            "(deepseg:setupengine), or correct the path in the variable DEEPSEG_ENGINE_PYTHON or "
            "in Settings > Options > Processing > Providers > DeepSeg."
        )
    launch = os.path.join(os.path.dirname(os.path.abspath(deepseg_qgis.__file__)), "launch.py")
    in_desktop = utils.iface is not None
    return EngineProgram(python, launch, engine_variables(os.environ), yielding=in_desktop)
