"""The repository as a whole: its layout, and what must not be in its files."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ran = subprocess.CompletedProcess[str]

SOMEBODYS_MACHINE = re.compile(r"(?<![\w.~$])/(?:(?:home|Users)/(?!mapper)|(?:root|work|mnt)/)\w")
FILES = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md"}
FILES |= {"metadata.txt", "pyproject.toml"}
FOLDERS = {"benchmarks", "deepseg_qgis", "docs", "processing", "scripts", "tests"}


@pytest.fixture(scope="session")
def files(root: Path, ran: Callable[..., Ran]) -> list[Path]:
    """The files that git knows."""
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("needs git and a clone")
    listed = ran(["git", "ls-files"])
    assert listed.returncode == 0, listed.stderr
    return [root / name for name in listed.stdout.splitlines() if (root / name).is_file()]


def test_no_file_names_a_folder_of_somebodys_machine(files: list[Path], root: Path) -> None:
    found = [
        f"{file.relative_to(root)}:{number}: {line.strip()[:80]}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8", "ignore").splitlines(), 1)
        if SOMEBODYS_MACHINE.search(line)
    ]
    assert found == []


def test_nothing_made_is_kept(files: list[Path], root: Path) -> None:
    made = {".venv", "build", "demo", "dist", "__pycache__", ".mypy_cache", ".ruff_cache"}
    assert not [file for file in files if made.intersection(file.relative_to(root).parts)]
    assert not [file for file in files if file.stat().st_size > 1_000_000]


def test_the_layout_is_there_and_nothing_beside_it(files: list[Path], root: Path) -> None:
    found = {file.relative_to(root).parts[0] for file in files}
    assert {name for name in found if not name.startswith(".")} == FILES | FOLDERS


def test_licence_is_the_gpl(root: Path) -> None:
    text = (root / "LICENSE").read_text()
    assert text.split()[:6] == ["GNU", "GENERAL", "PUBLIC", "LICENSE", "Version", "2,"]
    assert "GPL-2.0-or-later" in (root / "pyproject.toml").read_text()
