"""Setting up the engine: with programs that act as Python and pip, and once with the real ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deepseg_qgis.processing.engine import pip_commands, python_search, setup, setup_programs
from deepseg_qgis.processing.engine.environment import (
    HOME_VARIABLE,
    engine_variables,
    installed_python,
)
from deepseg_qgis.processing.engine.pip_commands import PipProgress
from deepseg_qgis.processing.engine.setup import EngineSetup, InstalledEngine, SetupRequest
from deepseg_qgis.processing.engine.setup_programs import SetupObserver

from deepseg_qgis.errors import EngineError, EngineMissing, OutputError, ResourceError, Stopped

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the actors are shell scripts")

ACTOR = """#!/bin/sh
case "$*" in
    *ensurepip*) echo '[[3, 12, 1], true, true]' ;;
    *'-m venv'*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
    *'-m pip'*) echo "$@" >>"$(dirname "$0")/pip.log"; {pip} ;;
    *) {trial} ;;
esac
"""
GOOD_PIP = "echo Collecting torch; echo Installing collected packages: torch"
GOOD_TRIAL = """echo '{"torch": "9.9", "device": "cpu"}'"""
AUTO = SetupRequest("auto", None, recreate=False)


@dataclass
class Room:
    """A home for engines, a Python for them, and what was said."""

    home: Path
    requirements: Path
    bin: Path
    lines: list[str] = field(default_factory=list)
    progress: list[tuple[float, str]] = field(default_factory=list)
    stop: Callable[[], bool] = lambda: False

    def act(self, pip: str = GOOD_PIP, trial: str = GOOD_TRIAL) -> None:
        """Have ``python3`` act like this from now on."""
        actor = self.bin / "python3"
        actor.write_text(ACTOR.replace("{pip}", pip).replace("{trial}", trial))
        actor.chmod(0o755)

    def set_up(self, request: SetupRequest = AUTO) -> InstalledEngine:
        variables = {"PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin"}
        observer = SetupObserver(
            self.lines.append, lambda *said: self.progress.append(said), lambda: self.stop()
        )
        return EngineSetup(str(self.home), str(self.requirements), variables, observer).run(request)

    @property
    def installed(self) -> str | None:
        return installed_python({HOME_VARIABLE: str(self.home)})

    @property
    def environments(self) -> list[Path]:
        return sorted(self.home.glob("engine-*"))


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room(tmp_path / "home of engines", tmp_path / "requirements.txt", tmp_path / "bin")
    room.requirements.write_text("torch>=2  # because\n\n")
    room.bin.mkdir()
    room.act()
    monkeypatch.setattr(python_search, "ON_PATH", ("python3",))
    monkeypatch.setattr(setup_programs, "POLL_S", 0.02)
    return room


def test_an_environment_is_made_tried_and_pointed_to(room: Room) -> None:
    engine = room.set_up()
    assert engine.versions == {"torch": "9.9", "device": "cpu"}
    assert room.installed == engine.python
    assert Path(engine.python).is_file()
    assert Path(engine.python).is_relative_to(room.home)
    assert "Collecting torch" in room.lines
    fractions = [fraction for fraction, _ in room.progress]
    assert fractions == sorted(fractions)


def test_the_second_time_nothing_is_made(room: Room) -> None:
    first = room.set_up()
    room.act(pip="exit 1")
    assert room.set_up() == first
    assert len(room.environments) == 1


@pytest.mark.parametrize("change", ["accelerator", "requirements", "recreate", "broken"])
def test_what_has_changed_is_made_anew(room: Room, change: str) -> None:
    first = room.set_up()
    request = AUTO
    if change == "accelerator":
        request = SetupRequest("cuda", None, recreate=False)
    elif change == "requirements":
        room.requirements.write_text("torch>=3\n")
    elif change == "recreate":
        request = SetupRequest("auto", None, recreate=True)
    else:
        Path(first.python).write_text("#!/bin/sh\nexit 1\n")
    second = room.set_up(request)
    assert second.python != first.python
    assert room.installed == second.python
    assert len(room.environments) == 1, "the old one is removed"


@pytest.mark.parametrize(
    ("pip", "kind", "message"),
    [
        ("echo 'Temporary failure in name resolution'; exit 1", EngineError, "HTTPS_PROXY"),
        ("echo 'No space left on device' >&2; exit 1", ResourceError, "disk is full"),
        ("echo 'ERROR: No matching distribution found'; exit 1", EngineError, "another Python"),
        ("echo 'something odd'; exit 7", EngineError, r"exit code 7\).*something odd"),
    ],
)
def test_when_pip_fails_the_engine_before_stays(
    room: Room, pip: str, kind: type[Exception], message: str
) -> None:
    before = room.set_up().python
    room.act(pip=pip)
    with pytest.raises(kind, match=message):
        room.set_up(SetupRequest("auto", None, recreate=True))
    assert room.installed == before
    assert len(room.environments) == 1


def test_what_does_not_import_never_counts(room: Room) -> None:
    room.act(trial="echo 'ImportError: libcuda.so' >&2; exit 1")
    with pytest.raises(EngineError, match=r"load the engine's libraries.*libcuda\.so"):
        room.set_up()
    assert room.installed is None
    assert room.environments == []


@pytest.mark.parametrize(
    "trial",
    [
        f"{GOOD_TRIAL}; echo 'UserWarning: late' >&2",
        f"{GOOD_TRIAL}; echo 'a library says goodbye'",
        f"{GOOD_TRIAL}; for n in $(seq 100); do echo warning $n >&2; done",
        f"""echo '{{"level": "info"}}' >&2; echo 'null'; echo '[1]'; {GOOD_TRIAL}""",
    ],
)
def test_a_warning_costs_no_finished_environment(room: Room, trial: str) -> None:
    room.act(trial=trial)
    engine = room.set_up()
    assert engine.versions == {"torch": "9.9", "device": "cpu"}
    assert room.installed == engine.python
    assert room.set_up() == engine, "tried again, it is still right"
    assert len(room.environments) == 1


def test_libraries_that_load_without_a_version_are_an_engine(room: Room) -> None:
    room.act(trial="echo no version")
    engine = room.set_up()
    assert engine.versions == {}
    assert room.installed == engine.python


def test_an_environment_that_does_not_start_is_made_anew(room: Room) -> None:
    first = Path(room.set_up().python)
    first.write_bytes(b"\x7fELF of another computer")
    assert room.installed == str(first)
    assert room.set_up().python != str(first)
    assert any("could not be started" in line for line in room.lines)


def test_a_python_may_print_more_than_its_answer(room: Room) -> None:
    chatty = room.bin / "chatty"
    chatty.write_text("#!/bin/sh\necho hello\necho '[[3, 12, 1], true, true]'\necho bye\n")
    chatty.chmod(0o755)
    found = python_search.inspect_python(str(chatty), {})
    assert found is not None
    assert found.label == "3.12.1"


def test_stop_ends_pip_and_leaves_nothing(room: Room) -> None:
    room.act(pip="echo Collecting torch; sleep 300")
    room.stop = lambda: bool(room.lines) and room.lines[-1] == "Collecting torch"
    started = time.monotonic()
    with pytest.raises(Stopped, match="unchanged"):
        room.set_up()
    assert time.monotonic() - started < 10
    assert room.environments == []


def test_a_silent_pip_gives_signs_of_life(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_programs, "SIGN_OF_LIFE_S", 0.1)
    room.act(pip="echo Collecting torch; sleep 0.5")
    room.set_up()
    assert any("Still working" in text and "torch" in text for _, text in room.progress)


def test_a_home_that_cannot_be_made(room: Room) -> None:
    room.home.write_text("a file")
    with pytest.raises(OutputError, match="DEEPSEG_ENGINE_HOME"):
        room.set_up()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("[[3, 9, 18], true, true]", "too old"),
        ("[[3, 12, 1], false, true]", "32-bit"),
        ("[[3, 12, 1], true, false]", "apt install python3-venv"),
        ("no python", "does not run as a Python"),
    ],
)
def test_a_python_that_does_not_suit(room: Room, answer: str, problem: str) -> None:
    unsuitable = room.bin / "mine"
    unsuitable.write_text(f"#!/bin/sh\necho '{answer}'\n")
    unsuitable.chmod(0o755)
    with pytest.raises(EngineMissing, match=problem):
        room.set_up(SetupRequest("auto", str(unsuitable), recreate=False))
    (room.bin / "python3").unlink()
    shutil.copy(unsuitable, room.bin / "python3")
    found = python_search.candidates({"PATH": str(room.bin)})
    assert next(found) == str(room.bin / "python3")


def test_the_search_goes_on_after_a_python_that_does_not_suit(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = room.bin / "python3.13"
    old.write_text("#!/bin/sh\nexit 127\n")
    old.chmod(0o755)
    monkeypatch.setattr(python_search, "ON_PATH", ("python3.13", "python3"))
    found = python_search.find_interpreter(None, {"PATH": str(room.bin)})
    assert found.path == str(room.bin / "python3")


def test_torch_comes_from_its_own_index_only_where_it_must() -> None:
    def indexes(accelerator: str, platform: str) -> list[str | None]:
        commands = pip_commands.pip_commands("py", accelerator, "r.txt", platform)
        assert commands[-1][-2:] == ["-r", "r.txt"]
        assert "--index-url" not in commands[-1], "all else follows the user's settings"
        return [
            command[command.index("--index-url") + 1] if "--index-url" in command else None
            for command in commands
        ]

    for platform in ("linux", "win32", "darwin"):
        assert indexes("auto", platform) == [None]
    assert indexes("cuda", "linux") == [None]
    assert indexes("cuda", "win32") == [pip_commands.CUDA_WHEELS, None]
    assert indexes("cpu", "linux") == [pip_commands.CPU_WHEELS, None]
    assert indexes("cpu", "darwin") == [None]


def test_progress_never_falls() -> None:
    progress = PipProgress()
    lines = ["Collecting a"] * 200 + [
        "Installing collected packages: a",
        "Successfully installed a",
    ]
    fractions = [progress.of(line) for line in lines]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 0.9


MODULES = {"pillow": "PIL"}
"""Those that are called otherwise than their package."""


def test_the_trial_imports_what_the_requirements_ask_for() -> None:
    requirements = Path(setup.__file__).parents[2] / "deepseg_qgis" / "requirements.txt"
    names = [
        line.partition("#")[0].strip().partition(">")[0].replace("-", "_")
        for line in requirements.read_text().splitlines()
    ]
    for name in filter(None, names):
        assert MODULES.get(name, name) in setup.TRIAL, name


LIBRARIES = {
    "torch": "class cuda: is_available = bool\nclass backends: mps = cuda",
    "openvino": """
import sys
try: import openvino_telemetry
except ImportError: sys.stderr.write("mute\\n")
""",
    "openvino_telemetry": "print('reports to its maker')",
    "matplotlib": "import atexit; atexit.register(print, 'says goodbye')",
}


def test_the_trial_reports_to_nobody_and_prints_its_answer_alone(tmp_path: Path) -> None:
    imported = re.findall(r"^import (?!json)(.*)", setup.TRIAL, re.MULTILINE)
    names = [*re.findall(r"[\w.]+", " ".join(imported)), "pycocotools", "openvino_telemetry"]
    for name in names:
        stand_in = tmp_path / name.replace(".", "/") / "__init__.py"
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(f"__version__ = '1.0'\n{LIBRARIES.get(name, '')}\n")
    here = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    said = subprocess.run(
        [sys.executable, "-I", "-c", here + setup.TRIAL],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(said.stdout)["rasterio"] == "1.0"
    assert said.stderr == "mute\n"


@pytest.mark.slow
def test_the_real_venv_and_pip_follow_the_users_settings(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    tiny_wheel(wheels)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("deepsegtiny\n")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_USER": "1"}
    lines: list[str] = []
    setup = EngineSetup(
        str(tmp_path / "home"),
        str(requirements),
        engine_variables({**os.environ, **settings}),
        SetupObserver(lines.append, lambda fraction, text: None, lambda: False),
        "import json, deepsegtiny; print(json.dumps({'tiny': deepsegtiny.VERSION}))",
    )
    engine = setup.run(SetupRequest("auto", sys.executable, recreate=False))
    assert engine.versions == {"tiny": "1.0"}
    assert any(line.startswith("Successfully installed deepsegtiny") for line in lines)
    pointer = json.loads((tmp_path / "home" / "current.json").read_text())
    assert not os.path.isabs(pointer["python"])


def tiny_wheel(folder: Path) -> None:
    """Write a wheel with one module."""
    info = "deepsegtiny-1.0.dist-info"
    with zipfile.ZipFile(folder / "deepsegtiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("deepsegtiny.py", "VERSION = '1.0'\n")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: deepsegtiny\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
