"""Make the engine's environment: find a Python, make a venv, fill it by pip, try it.

No QGIS in here. A venv cannot be moved, so each one is made in a folder of its own in the engine's
home, where it stays; which of them counts is written into a small file, last of all. So a set-up
that fails or is stopped leaves the engine that was there before as it was.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseg_qgis.processing.engine.environment import POINTER
from deepseg_qgis.processing.engine.pip_commands import PipProgress, failure, pip_commands
from deepseg_qgis.processing.engine.process_tree import ProcessTree, do_nothing, read_lines
from deepseg_qgis.processing.engine.python_search import Interpreter, answer_among, find_interpreter

from deepseg_qgis.errors import DeepSegError, EngineError, OutputError, Stopped

PREFIX = "engine-"
POLL_S = 0.02
SIGN_OF_LIFE_S = 15.0
LINES_KEPT = 40

ROOM_BYTES = 8e9
"""A CUDA environment takes 6 GB, and pip's downloads need room beside it."""

TRIAL = """
import json, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.modules["openvino_telemetry"] = None
import torch, torchvision, segmentation_models_pytorch, lightning_fabric
import numpy, scipy, numba, openvino, nncf, affine, rasterio, shapely, pyproj, pyogrio, pyarrow
import pycocotools.mask, safetensors, matplotlib
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
class SetupObserver:
    """Who is told how it goes, and says when to stop.

    ``meanwhile`` is called many times a second while a program runs.
    """

    log: Callable[[str], None]
    progress: Callable[[float, str], None]
    stop_wanted: Callable[[], bool]
    meanwhile: Callable[[], None] = do_nothing


@dataclass(frozen=True)
class Engine:
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
        self._home, self._requirements, self._trial = home, requirements, trial
        # what a user's pip is told to do outside of environments must not be done in this one
        self._variables = {**variables, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
        self._observer = observer

    def run(self, request: SetupRequest) -> Engine:
        """Return an environment that works: the one that is there, or a new one.

        Raises:
            EngineMissing: there is no suitable Python.
            EngineError: pip failed, or what it installed does not work.
            ResourceError: the disk is full.
            OutputError: the engine's home cannot be written.
            Stopped: the user asked to stop.
        """
        recipe = self._recipe(request)
        present = self._present(recipe)
        if present is not None and not request.recreate:
            self._observer.log(f"There is an engine already: {present}")
            try:
                return self._tried(present)
            except EngineError as error:
                self._observer.log(f"It does not work ({error}) and is made anew.")
        interpreter = find_interpreter(request.python, self._variables)
        self._observer.log(f"Using Python {interpreter.label}: {interpreter.path}")
        return self._made(interpreter, request, recipe)

    def _made(self, interpreter: Interpreter, request: SetupRequest, recipe: str) -> Engine:
        folder = self._new_folder()
        try:
            python = venv_python(folder)
            self._observer.progress(0.02, "Making a Python environment")
            self._do([interpreter.path, "-I", "-m", "venv", folder], "make an environment")
            progress = PipProgress()
            for command in pip_commands(python, request.accelerator, self._requirements):
                self._do(command, "install the engine's libraries", progress.of)
            engine = self._tried(python)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._point_to(python, recipe)
        self._remove_others(folder)
        return engine

    def _new_folder(self) -> str:
        try:
            os.makedirs(self._home, exist_ok=True)
            folder = tempfile.mkdtemp(prefix=PREFIX, dir=self._home)
        except OSError as error:
            raise OutputError(
                f"The engine's folder {self._home} cannot be written ({error.strerror}). Make it "
                "writable, or set the variable DEEPSEG_ENGINE_HOME to another folder."
            ) from error
        if shutil.disk_usage(folder).free < ROOM_BYTES:
            self._observer.log(
                f"Note: the disk of {self._home} has little room. The engine needs about 6 GB on "
                "Linux, less without CUDA; DEEPSEG_ENGINE_HOME moves it to another disk."
            )
        return folder

    def prepare(self, engine: Engine, launch: str) -> None:
        """Have the engine compile what it compiles on each computer; not having it costs only time.

        Raises:
            Stopped: the user asked to.
        """
        self._observer.progress(0.96, "Compiling for this computer")
        command = [engine.python, "-I", "-X", "utf8", launch, "--prepare"]
        try:
            self._do(command, "compile for this computer")
        except Stopped:
            raise
        except DeepSegError as error:
            self._observer.log(f"The first prediction will take longer: {error}")

    def _tried(self, python: str) -> Engine:
        """Import everything once, in a process of its own."""
        self._observer.progress(0.92, "Trying the libraries")
        printed = self._do([python, "-I", "-c", self._trial], "load the engine's libraries")
        # that it ended well says that it works; the versions are for the report alone
        versions = answer_among(printed, dict) or {}
        return Engine(python, {str(name): str(value) for name, value in versions.items()})

    def _do(
        self,
        command: Sequence[str],
        purpose: str,
        fraction: Callable[[str], float] | None = None,
    ) -> list[str]:
        """Run a program with its output in the log; return the lines of its standard output.

        ``fraction`` tells from a line how far the work is.
        """
        printed: list[str] = []
        lines: deque[str] = deque(maxlen=LINES_KEPT)
        done = 0.0
        with self._started(command, purpose) as tree:
            for line, waited in _lines_of(tree, printed.append):
                self._observer.meanwhile()
                if self._observer.stop_wanted():
                    raise Stopped("Stopped. The engine that was there before is unchanged.")
                if line is None:
                    last = lines[-1][:60] if lines else purpose
                    self._observer.progress(done, f"Still working ({waited:.0f} s): {last}")
                elif line:
                    lines.append(line)
                    if fraction:
                        self._observer.log(line)
                        done = fraction(line)
                        self._observer.progress(done, "Installing libraries")
            code = tree.process.wait()
        if code != 0:
            raise failure(purpose, code, list(lines))
        return printed

    def _started(self, command: Sequence[str], purpose: str) -> ProcessTree:
        try:
            return ProcessTree(command, self._variables, self._home, self._observer.meanwhile)
        except OSError as error:
            raise EngineError(
                f"It was not possible to {purpose}: {command[0]} could not be started "
                f"({error.strerror}). Choose another Python under 'Python'."
            ) from error

    def _recipe(self, request: SetupRequest) -> str:
        """Return what an environment is made of, to tell whether it is still right."""
        with open(self._requirements, encoding="utf-8") as file:
            wanted = [line.partition("#")[0].strip() for line in file]
        return "\n".join([request.accelerator, request.python or "", *filter(None, wanted)])

    def _present(self, recipe: str) -> str | None:
        """Return the Python of the complete environment, if it was made in this way."""
        try:
            with open(os.path.join(self._home, POINTER), encoding="utf-8") as file:
                pointer: dict[str, Any] = json.load(file)
            python = os.path.join(self._home, pointer["python"])
            return python if pointer["recipe"] == recipe and os.path.isfile(python) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _point_to(self, python: str, recipe: str) -> None:
        pointer = os.path.join(self._home, POINTER)
        try:
            with open(pointer + ".part", "w", encoding="utf-8") as file:
                json.dump({"python": os.path.relpath(python, self._home), "recipe": recipe}, file)
            os.replace(pointer + ".part", pointer)
        except OSError as error:
            raise OutputError(
                f"The engine is complete, but {pointer} cannot be written ({error.strerror}). Make "
                f"it writable and run this again, or choose {python} under Settings > Options > "
                "Processing > Providers > DeepSeg."
            ) from error

    def _remove_others(self, folder: str) -> None:
        for name in os.listdir(self._home):
            other = os.path.join(self._home, name)
            if name.startswith(PREFIX) and other != folder:
                shutil.rmtree(other, ignore_errors=True)


def venv_python(folder: str) -> str:
    """Return the Python of the environment in ``folder``."""
    parts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(folder, *parts)


def _lines_of(
    tree: ProcessTree, on_printed: Callable[[str], None]
) -> Iterator[tuple[str | None, float]]:
    """Yield (line, 0), ('', 0) often while there is none, (None, seconds) as a sign of life.

    Lines of standard output go to ``on_printed`` as well.
    """
    lines: queue.Queue[str | None] = queue.Queue()
    assert tree.process.stdin is not None
    assert tree.process.stdout is not None
    assert tree.process.stderr is not None
    tree.process.stdin.close()

    def printed(line: str) -> None:
        on_printed(line)
        lines.put(line)

    read_lines(tree.process.stdout, printed, lambda: lines.put(None))
    read_lines(tree.process.stderr, lines.put, lambda: lines.put(None))
    open_pipes = 2
    quiet_since = signed = time.monotonic()
    while open_pipes:
        now = time.monotonic()
        try:
            line = lines.get(timeout=POLL_S)
        except queue.Empty:
            if now - signed >= SIGN_OF_LIFE_S:
                signed = now
                yield None, now - quiet_since
            else:
                yield "", 0.0
            continue
        if line is None:
            open_pipes -= 1
        else:
            quiet_since = signed = now
            yield line.strip(), 0.0
