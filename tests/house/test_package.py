"""The zip that QGIS installs."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def archive(script: Callable[[str], ModuleType], tmp_path: Path) -> Path:
    path: Path = script("package").package(tmp_path)
    return path


def test_the_zip_is_one_folder_with_all_that_a_plugin_needs(
    archive: Path, root: Path, script: Callable[[str], ModuleType]
) -> None:
    version = script("package").version(root)
    assert archive.name == f"deepseg_qgis-{version}.zip"
    names = zipfile.ZipFile(archive).namelist()
    assert {PurePosixPath(name).parts[0] for name in names} == {"deepseg_qgis"}
    inside = {name.removeprefix("deepseg_qgis/") for name in names}
    needed = {"__init__.py", "LICENSE", "launch.py", "metadata.txt", "requirements.txt"}
    assert needed | {"engine/run.py", "processing/__init__.py", "gui/icons/train.svg"} <= inside


def test_every_module_is_in_the_zip_and_nothing_else(archive: Path, root: Path) -> None:
    inside = {
        name.removeprefix("deepseg_qgis/")
        for name in zipfile.ZipFile(archive).namelist()
        if name.endswith(".py")
    }
    package = root / "deepseg_qgis"
    modules = {str(file.relative_to(package)) for file in package.rglob("*.py")}
    modules |= {str(file.relative_to(root)) for file in (root / "processing").rglob("*.py")}
    assert inside == modules
    unwanted = ("__pycache__", "ruff.toml", "tests/", ".pyc", ".so", "scripts/")
    assert not [n for n in zipfile.ZipFile(archive).namelist() if any(u in n for u in unwanted)]


def test_the_same_files_give_the_same_bytes(
    archive: Path, script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    again: Path = script("package").package(tmp_path / "again")
    assert again.read_bytes() == archive.read_bytes()


def test_versions_that_disagree_are_refused(
    script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    (tmp_path / "deepseg_qgis").mkdir()
    (tmp_path / "deepseg_qgis" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "metadata.txt").write_text("[general]\nversion=1.2.2\n")
    with pytest.raises(SystemExit, match=r"1\.2\.3.*1\.2\.2"):
        script("package").version(tmp_path)


def test_qgis_loads_the_plugin_from_the_zip(
    archive: Path, tmp_path: Path, ran: Callable[..., Ran], qgis_program: Callable[[str], str]
) -> None:
    plugins = tmp_path / "plugins"
    zipfile.ZipFile(archive).extractall(plugins)
    settings = tmp_path / "profile" / "profiles" / "default" / "QGIS"
    settings.mkdir(parents=True)
    (settings / "QGIS3.ini").write_text("[PythonPlugins]\ndeepseg_qgis=true\n")
    listed = ran(
        [qgis_program("find_qgis_process"), "list"],
        tmp_path,
        QGIS_CUSTOM_CONFIG_PATH=str(tmp_path / "profile"),
        QGIS_PLUGINPATH=str(plugins),
        QT_QPA_PLATFORM="offscreen",
    )
    assert listed.returncode == 0, listed.stderr
    assert "deepseg:predict" in listed.stdout
    assert "Traceback" not in listed.stdout + listed.stderr
