"""The commands of the Makefile."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ran = subprocess.CompletedProcess[str]


def targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (root / "Makefile").read_text(), re.MULTILINE))


def test_plain_make_lists_every_target(root: Path, ran: Callable[..., Ran]) -> None:
    shown = ran(["make"])
    assert shown.returncode == 0
    described = set(re.findall(r"^  ([a-z]+) {2,}\S", shown.stdout, re.MULTILINE))
    assert described == targets(root)
    promised = {"demo", "test", "lint", "format", "typecheck", "link", "package", "setup", "clean"}
    assert promised <= described


def test_make_works_in_a_folder_with_spaces(
    root: Path, ran: Callable[..., Ran], tmp_path: Path
) -> None:
    folder = tmp_path / "with some spaces"
    folder.mkdir()
    shutil.copy(root / "Makefile", folder)
    assert "demo" in ran(["make"], folder).stdout


def test_clean_keeps_environment_and_results(
    root: Path, ran: Callable[..., Ran], tmp_path: Path
) -> None:
    shutil.copy(root / "Makefile", tmp_path)
    kept, gone = (
        (".venv", "demo", "deepseg_qgis"),
        ("build", "dist", ".mypy_cache", "tests/__pycache__"),
    )
    for name in (*kept, *gone):
        (tmp_path / name).mkdir(parents=True)
    assert ran(["make", "clean"], tmp_path).returncode == 0
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in gone)


@pytest.mark.parametrize("name", ["setup.sh", "find_qgis.sh", "watched.sh", "qgis_process"])
def test_shell_scripts_parse(name: str, root: Path, ran: Callable[..., Ran]) -> None:
    assert ran(["sh", "-n", str(root / "scripts" / name)]).stderr == ""
