"""Fixtures for the tests of the house: the repository, its scripts, its commands."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of ``scripts/`` as the programs there do."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


@pytest.fixture(scope="session")
def ran() -> Callable[..., Ran]:
    """Run a command without a display; returns what it said."""

    def run(command: list[str], cwd: Path = ROOT, **environment: str) -> Ran:
        return subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def qgis_program(ran: Callable[..., Ran]) -> Callable[[str], str]:
    """Return the path that a function of ``scripts/find_qgis.sh`` finds, or skip."""

    def find(function: str) -> str:
        found = ran(["sh", "-c", f". scripts/find_qgis.sh && {function}"])
        if found.returncode != 0:
            pytest.skip("needs QGIS")
        return found.stdout.strip()

    return find


@pytest.fixture(scope="session")
def linked(ran: Callable[..., Ran], qgis_program: Callable[[str], str]) -> Path:
    """The plugin as links that QGIS loads; skips where there is no QGIS."""
    qgis_program("find_qgis_process")
    plugin = ROOT / "build" / "plugins" / "deepseg_qgis"
    wanted = {entry.name for entry in (ROOT / "deepseg_qgis").iterdir()} - {"__pycache__"}
    if not all((plugin / name).exists() for name in (*wanted, "processing", "metadata.txt")):
        assert ran(["make", "link"]).returncode == 0
    return plugin
