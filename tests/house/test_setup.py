"""The set-up, with a Python and a QGIS that only take notes."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Ran = subprocess.CompletedProcess[str]

FAKE_PYTHON = """#!/bin/sh
echo "$@" >>"$NOTES"
case "$*" in
    -V) echo "Python ${PYTHON_VERSION:-3.11.2}" ;;
    *'import sys; sys.exit(sys.version_info <'*) exit "${TOO_OLD:-0}" ;;
    '-m venv .venv')
        mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *'-m pip'*) echo 'Collecting torch'; exit "${PIP_FAILS:-0}" ;;
    *link_qgis*) mkdir -p build/qgis-bindings/qgis ;;
    *link_plugin*)
        mkdir -p build/plugins/deepseg_qgis
        for entry in deepseg_qgis/* processing metadata.txt; do
            ln -sfn "../../../$entry" "build/plugins/deepseg_qgis/${entry##*/}"
        done ;;
esac
"""


@dataclass(frozen=True)
class Place:
    """A repository with nothing set up, on a machine with a fake QGIS."""

    folder: Path
    ran: Callable[..., Ran]

    def setup(self, **environment: str) -> Ran:
        """Run the set-up."""
        tools = self.folder / "tools"
        given = {
            "PATH": f"{tools}:/usr/bin:/bin",
            "NOTES": str(self.folder / "notes.txt"),
            "QGIS_PROCESS": str(tools / "qgis_process"),
            "QGIS_PYTHON": str(tools / "python3"),
            "TORCH": "",
        }
        return self.ran(["scripts/setup.sh"], self.folder, **{**given, **environment})

    def notes(self) -> str:
        """Return what the fake Python was asked since the last call."""
        file = self.folder / "notes.txt"
        text = file.read_text()
        file.write_text("")
        return text


@pytest.fixture
def place(tmp_path: Path, root: Path, ran: Callable[..., Ran]) -> Place:
    folder = tmp_path / "a place with spaces"
    tools = folder / "tools"
    tools.mkdir(parents=True)
    for name in ("python3", "qgis_process"):
        (tools / name).write_text(FAKE_PYTHON)
        (tools / name).chmod(0o755)
    (folder / "scripts").mkdir()
    for name in ("setup.sh", "find_qgis.sh", "watched.sh"):
        shutil.copy(root / "scripts" / name, folder / "scripts")
    for name in ("pyproject.toml", "metadata.txt", "processing/a.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("[project]\n")
    (folder / "deepseg_qgis").mkdir()
    (folder / "deepseg_qgis" / "requirements.txt").write_text("torch\n")
    return Place(folder, ran)


def test_second_call_does_nothing_and_fast(place: Place) -> None:
    first = place.setup()
    assert first.returncode == 0, first.stderr
    assert "-m pip install" in place.notes()
    started = time.monotonic()
    second = place.setup()
    assert time.monotonic() - started < 2.0
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert "pip install" not in place.notes()


def test_pip_that_fails_is_told_and_does_not_count(place: Place) -> None:
    failed = place.setup(PIP_FAILS="1")
    assert failed.returncode == 1
    assert "Collecting torch" in failed.stderr
    assert "network" in failed.stderr
    place.notes()
    assert place.setup().returncode == 0
    notes = place.notes()
    assert "-m venv" in notes, "an unfinished environment is made anew"
    assert "-m pip install" in notes


def test_new_requirements_reach_the_same_environment(place: Place) -> None:
    place.setup()
    place.notes()
    (place.folder / "deepseg_qgis" / "requirements.txt").write_text("torch\nnumpy\n")
    assert place.setup().returncode == 0
    notes = place.notes()
    assert "-m pip install" in notes
    assert "-m venv" not in notes


def test_settings_of_linters_call_for_no_pip(place: Place) -> None:
    place.setup()
    place.notes()
    with open(place.folder / "pyproject.toml", "a") as file:
        file.write("[tool.ruff]\nline-length = 100\n")
    assert place.setup().returncode == 0
    assert "pip install" not in place.notes()


def test_another_python_makes_the_environment_anew(place: Place) -> None:
    place.setup()
    place.notes()
    (place.folder / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 127\n")
    assert place.setup(PYTHON_VERSION="3.13.0").returncode == 0
    assert "-m venv" in place.notes()


def test_cpu_build_is_chosen_once_and_remembered(place: Place) -> None:
    place.setup(TORCH="cpu")
    assert "--index-url https://download.pytorch.org/whl/cpu torch torchvision" in place.notes()
    assert place.setup().stdout == ""
    assert place.setup(TORCH="cuda").returncode == 0
    notes = place.notes()
    assert "-m venv" in notes
    assert "whl/cpu" not in notes


def test_unknown_torch_build_is_refused(place: Place) -> None:
    refused = place.setup(TORCH="rocm")
    assert refused.returncode == 1
    assert "cpu or cuda" in refused.stderr


def test_old_python_is_refused(place: Place) -> None:
    refused = place.setup(TOO_OLD="1", PYTHON_VERSION="3.9.2")
    assert refused.returncode == 1
    assert "3.10 or newer" in refused.stderr


def test_links_are_mended(place: Place) -> None:
    place.setup()
    links = place.folder / "build" / "plugins" / "deepseg_qgis"
    (links / "processing").unlink()
    assert place.setup().returncode == 0
    assert (links / "processing").exists()
    (place.folder / "deepseg_qgis" / "new.py").write_text("")
    assert place.setup().returncode == 0
    assert (links / "new.py").exists()


def test_without_apt_it_says_what_to_install(place: Place, tmp_path: Path) -> None:
    tools = tmp_path / "few tools"
    tools.mkdir()
    needed = ("dirname", "mkdir", "grep", "head", "cat", "sh", "id")
    for name in needed:
        (tools / name).symlink_to(str(shutil.which(name)))
    stopped = place.setup(PATH=str(tools), QGIS_PROCESS="/nowhere/qgis_process")
    assert stopped.returncode == 1
    assert "Missing: qgis" in stopped.stderr
    assert "install QGIS 3.22 or newer" in stopped.stderr
