"""``scripts/qgis_process``, and QGIS's own ``processing`` seen from the repository's root."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

Ran = subprocess.CompletedProcess[str]

POINTS = """{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {},
"geometry": {"type": "Point", "coordinates": [10.0, 50.0]}}]}"""

PYQGIS_SCRIPT = """
import sys
from qgis.core import QgsApplication, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
sys.path.append(QgsApplication.pkgDataPath() + "/python/plugins")
import processing
from processing.core.Processing import Processing
Processing.initialize()
layer = QgsVectorLayer("Point?crs=EPSG:4326", "points", "memory")
given = {"INPUT": layer, "DISTANCE": 1, "OUTPUT": "memory:"}
print(processing.run("native:buffer", given)["OUTPUT"].isValid(), processing.__file__)
del layer
application.exitQgis()
"""


@pytest.fixture
def points(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "some points.geojson").write_text(POINTS)
    return folder


@pytest.fixture
def wrapper(root: Path, linked: Path) -> str:
    """The wrapper's path; the plugin is linked."""
    return str(root / "scripts" / "qgis_process")


def test_from_the_root_both_kinds_of_algorithms_are_there(
    wrapper: str, ran: Callable[..., Ran], root: Path
) -> None:
    listed = ran([wrapper, "list"], root)
    assert listed.returncode == 0, listed.stderr
    assert "native:buffer" in listed.stdout
    assert "qgis:" in listed.stdout, "QGIS's own Python package 'processing' gives these"
    assert "deepseg:predict" in listed.stdout


def test_qgis_own_algorithm_runs_from_the_root(
    ran: Callable[..., Ran], points: Path, linked: Path, root: Path
) -> None:
    given = [f"INPUT={points / 'some points.geojson'}", "DISTANCE=1", f"OUTPUT={points / 'b.gpkg'}"]
    done = ran(["scripts/qgis_process", "run", "native:buffer", "--", *given], root)
    assert done.returncode == 0, done.stderr
    assert (points / "b.gpkg").exists()


def test_relative_paths_with_spaces_from_another_folder(
    wrapper: str, ran: Callable[..., Ran], points: Path
) -> None:
    given = ["--INPUT=some points.geojson", "--DISTANCE=1", "--OUTPUT=buffered points.gpkg"]
    done = ran([wrapper, "run", "native:buffer", *given], points)
    assert done.returncode == 0, done.stderr
    assert (points / "buffered points.gpkg").exists()


def test_json_and_help_are_passed_through(wrapper: str, ran: Callable[..., Ran]) -> None:
    described = ran([wrapper, "--json", "help", "deepseg:predict"])
    assert described.returncode == 0, described.stderr
    assert "MODEL" in json.loads(described.stdout)["parameters"]


def test_exit_code_is_passed_through(wrapper: str, ran: Callable[..., Ran], points: Path) -> None:
    given = ["INPUT=missing.geojson", "DISTANCE=1", "OUTPUT=b.gpkg"]
    failed = ran([wrapper, "run", "native:buffer", "--", *given], points)
    assert failed.returncode == 1
    assert "missing.geojson" in failed.stderr


@pytest.fixture
def told(
    wrapper: str, ran: Callable[..., Ran], tmp_path: Path
) -> Callable[..., tuple[Ran, dict[str, str]]]:
    """Run the wrapper with a program that tells what it was given, instead of QGIS's."""
    program = tmp_path / "qgis" / "teller"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" >&2\nenv -0\nexit 7\n")
    program.chmod(0o755)

    def tell(*arguments: str, **environment: str) -> tuple[Ran, dict[str, str]]:
        done = ran([wrapper, *arguments], QGIS_PROCESS=str(program), **environment)
        pairs = (line.partition("=") for line in done.stdout.split("\0") if line)
        return done, {name: value for name, _, value in pairs}

    return tell


def test_an_active_environment_does_not_reach_into_qgis(
    told: Callable[..., tuple[Ran, dict[str, str]]], root: Path, tmp_path: Path
) -> None:
    # the Python in QGIS takes the first python3 on PATH for its own
    _, variables = told(PATH=f"{root / '.venv' / 'bin'}:/usr/bin:/bin")
    assert variables["PATH"].split(":")[0] == str(tmp_path / "qgis")


def test_the_environment_that_qgis_gets(
    told: Callable[..., tuple[Ran, dict[str, str]]], root: Path
) -> None:
    _, variables = told(QGIS_CUSTOM_CONFIG_PATH="/elsewhere", DEEPSEG_ENGINE_PYTHON="")
    assert variables["QT_QPA_PLATFORM"] == "offscreen"
    assert variables["QGIS_PLUGINPATH"] == str(root / "build" / "plugins")
    assert variables["QGIS_CUSTOM_CONFIG_PATH"] == str(root / "build" / "qgis-profile")
    assert Path(variables["XDG_RUNTIME_DIR"]).stat().st_mode & 0o777 == 0o700
    if (root / ".venv" / "bin" / "python").exists():
        assert variables["DEEPSEG_ENGINE_PYTHON"] == str(root / ".venv" / "bin" / "python")
    _, variables = told(DEEPSEG_ENGINE_PYTHON="/my/python")
    assert variables["DEEPSEG_ENGINE_PYTHON"] == "/my/python"


def test_arguments_and_exit_code_are_passed_on_as_they_are(
    told: Callable[..., tuple[Ran, dict[str, str]]],
) -> None:
    given = ["--json", "run", "a:b", "--", "INPUT=a b.tif", "TEXT=it's $HOME *", "EMPTY="]
    done, _ = told(*given)
    assert done.stderr.splitlines() == given
    assert done.returncode == 7


def test_a_link_to_the_wrapper_works(wrapper: str, ran: Callable[..., Ran], tmp_path: Path) -> None:
    link = tmp_path / "qgis_process"
    link.symlink_to(wrapper)
    # first on PATH: the wrapper must not call itself
    listed = ran([str(link), "plugins"], PATH=f"{tmp_path}:/usr/local/bin:/usr/bin:/bin")
    assert "deepseg_qgis" in listed.stdout, listed.stderr


def test_without_qgis_it_says_what_to_do(ran: Callable[..., Ran], root: Path) -> None:
    failed = ran(["scripts/qgis_process", "list"], root, QGIS_PROCESS="/nowhere/qgis_process")
    assert failed.returncode == 127
    assert "Install QGIS 3.22 or newer" in failed.stderr


def test_without_links_it_says_what_to_do(
    ran: Callable[..., Ran], root: Path, tmp_path: Path, linked: Path
) -> None:
    shutil.copytree(root / "scripts", tmp_path / "scripts")
    failed = ran([str(tmp_path / "scripts" / "qgis_process"), "list"], tmp_path)
    assert failed.returncode == 1
    assert "make link" in failed.stderr


def test_interrupt_reaches_qgis_and_leaves_no_engine(
    wrapper: str, root: Path, tmp_path: Path
) -> None:
    if not (root / ".venv" / "bin" / "python").exists():
        pytest.skip("needs the engine's environment")
    outputs = ("OUTPUT", "ANNOTATIONS", "TRAINING_AOI", "TEST_AOI")
    given = ["SIZE=20000", *(f"{name}={tmp_path / name}.gpkg" for name in outputs)]
    given[1] = f"OUTPUT={tmp_path / 'scene.tif'}"
    process = subprocess.Popen(
        [wrapper, "run", "deepseg:demoscene", "--", *given],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        engine = _engine_of(psutil.Process(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
        psutil.wait_procs([engine], timeout=20)
        assert not engine.is_running()
    finally:
        process.kill()
        process.wait()


def _engine_of(process: psutil.Process) -> psutil.Process:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.is_running():
        for child in process.children(True):
            with contextlib.suppress(psutil.Error):  # a child of QGIS that has just ended
                if "launch.py" in " ".join(child.cmdline()):
                    return child
        time.sleep(0.1)
    raise AssertionError("no engine was started")


def test_a_pyqgis_script_at_the_root_sees_qgis_own_processing(
    ran: Callable[..., Ran], root: Path, tmp_path: Path, qgis_program: Callable[[str], str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(PYQGIS_SCRIPT)
    python = qgis_program("find_qgis_python")
    own = {"QT_QPA_PLATFORM": "offscreen", "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path)}
    said = ran([python, str(script)], root, **own)
    assert said.returncode == 0, said.stderr
    works, path = said.stdout.split()[-2:]
    assert works == "True"
    assert not Path(path).is_relative_to(root)


def test_our_folder_is_never_taken_for_qgis_own(
    ran: Callable[..., Ran], root: Path, qgis_program: Callable[[str], str]
) -> None:
    python = qgis_program("find_qgis_python")
    refused = ran([python, "-c", "import processing"], root)
    assert refused.returncode == 1
    assert "would hide QGIS's own" in refused.stderr
