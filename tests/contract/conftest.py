"""Fixtures for the tests of the contract."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def python39() -> str:
    """A Python 3.9, the oldest that QGIS 3.22 comes with, or a skip."""
    found = sorted((Path.home() / ".pyenv" / "versions").glob("3.9.*/bin/python"))
    python = str(found[-1]) if found else shutil.which("python3.9")
    # a launcher of that name may stand for a version that is not switched on
    if not python or subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
        pytest.skip("needs a Python 3.9")
    return python


@pytest.fixture(scope="session")
def plugin_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the plugin as QGIS loads it."""
    spec = importlib.util.spec_from_file_location("link", ROOT / "scripts" / "link_plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("plugins")
    module.link_plugin(folder)
    return folder


@pytest.fixture(scope="session")
def in_python39(python39: str, plugin_path: Path) -> Callable[..., str]:
    """Run a program in Python 3.9 with the plugin's folder on its path; return what it prints."""

    def run(program: str, *arguments: str) -> str:
        start = f"import sys; sys.path.insert(0, {str(plugin_path)!r})\n"
        command = [python39, "-I", "-B", "-W", "error", "-c", start + program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
