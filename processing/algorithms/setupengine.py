"""The algorithm ``deepseg:setupengine``."""

from __future__ import annotations

import os
from typing import Any

from deepseg_qgis.processing.algorithms.algorithm import DeepSegAlgorithm, qgis_error
from deepseg_qgis.processing.algorithms.parameters import Parameters, advanced, choice, flag
from deepseg_qgis.processing.algorithms.run_folders import runs_folder
from deepseg_qgis.processing.engine.environment import engine_home, engine_variables
from deepseg_qgis.processing.engine.private_folders import PrivateFolder
from deepseg_qgis.processing.engine.setup import EngineSetup, InstalledEngine, SetupRequest
from deepseg_qgis.processing.engine.setup_programs import SetupObserver
from deepseg_qgis.processing.engine.window_events import WindowEvents
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterFile,
)

import deepseg_qgis
from deepseg_qgis.choices import ACCELERATORS
from deepseg_qgis.errors import DeepSegError, os_message


class SetUpEngine(DeepSegAlgorithm):
    """Make the environment that holds the engine's libraries."""

    ID = "setupengine"
    TITLE = "Set up the engine"
    GROUP = "Models"
    SUMMARY = "Install what training and prediction need, once, beside QGIS"
    TAGS = "install,installation,PyTorch,dependencies,environment,GPU,CUDA,update"
    HELP = """
    Training and prediction need large libraries (PyTorch and others). This installs them into a
    folder of their own, for your user alone. QGIS itself is not changed, and nothing is
    installed for the whole computer.

    What it needs: Python 3.10 or newer with its venv module, a network connection, and disk
    space: about 6 GB on Linux with CUDA, about 2 GB else. It takes a few minutes. pip's own
    settings (proxy, package index, certificates) are respected.

    Accelerator: 'auto' is right for nearly everybody: it also runs without a GPU. 'cpu' is the
    smallest; 'cuda' asks for NVIDIA's on Windows, where auto brings the CPU build.

    The engine that was there before stays in use until the new one has proven to work. Stop is
    safe at any time.

    Tip: set the environment variable 'DEEPSEG_ENGINE_HOME' to put the engine on another disk.
    """

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            choice("ACCELERATOR", "Accelerator", ACCELERATORS, "auto"),
            advanced(
                QgsProcessingParameterFile(
                    "PYTHON",
                    "Python to use, 3.10 or newer (empty: search for one)",
                    optional=True,
                    fileFilter="Programs (*)",  # QGIS's default asks for a dot in the name
                )
            ),
            flag("RECREATE", "Make it anew", False),
        ]

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters and outputs to QGIS."""
        super().initAlgorithm(configuration)
        self.addOutput(QgsProcessingOutputString("ENGINE_PYTHON", "Python of the engine"))
        self.addOutput(QgsProcessingOutputString("REPORT", "What was installed"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Make the environment; return its Python and what is in it."""
        request = SetupRequest(
            self.parameterAsEnumString(parameters, "ACCELERATOR", context),
            self.parameterAsFile(parameters, "PYTHON", context) or None,
            self.parameterAsBoolean(parameters, "RECREATE", context),
        )
        package = os.path.dirname(deepseg_qgis.__file__)
        requirements = os.path.join(package, "requirements.txt")
        try:
            place = PrivateFolder(runs_folder())
        except OSError as error:
            raise qgis_error(os_message(error)) from error
        # pip unpacks gigabytes there
        variables = {**engine_variables(os.environ), "TMPDIR": place.path}
        setup = EngineSetup(engine_home(os.environ), requirements, variables, _observer(feedback))
        try:
            engine = setup.run(request)
            setup.prepare(engine, os.path.join(package, "launch.py"))
        except DeepSegError as error:
            raise qgis_error(str(error)) from error
        finally:
            place.remove()
        if request.accelerator == "cuda" and engine.versions.get("device") in ("cpu", "mps"):
            feedback.pushWarning(
                "The engine works, but found no NVIDIA GPU. Check the graphics driver."
            )
        report = described(engine)
        feedback.pushInfo(report)
        return {"ENGINE_PYTHON": engine.python, "REPORT": report}


def _observer(feedback: QgsProcessingFeedback) -> SetupObserver:
    last, window = [""], WindowEvents()

    def progress(fraction: float, text: str) -> None:
        feedback.setProgress(100.0 * fraction)
        if text != last[0]:
            last[0] = text
            feedback.setProgressText(text)

    def stop_wanted() -> bool:
        return feedback.isCanceled() or window.application_ends

    return SetupObserver(feedback.pushInfo, progress, stop_wanted, window.process_events)


def described(engine: InstalledEngine) -> str:
    """Return what was installed, in one paragraph."""
    versions = ", ".join(f"{name} {value}" for name, value in engine.versions.items())
    with_versions = f": {versions}" if versions else ""
    return f"The engine is ready{with_versions}. Its Python is {engine.python}."
