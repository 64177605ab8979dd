"""What must never happen is caught by the linter: tried with code that does it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ran = subprocess.CompletedProcess[str]

CONTRACT = ("errors.py", "events.py", "jobs.py", "locks.py")
ENGINE_NEVERS = (
    "import qgis.core",
    "from qgis.core import QgsProject",
    "from osgeo import gdal",
    "import fiona",
    "import pickle",
    "import rasterio\n\nDATASET = rasterio.open",
    "from ..jobs import Job",
    "print()",
)
QGIS_SIDE_NEVERS = (
    "import numpy as np",
    "import torch",
    "import rasterio",
    "from shapely import box",
    "from deepseg_qgis.engine.geometry import tiling",
    "from deepseg_qgis.engine.geometry.tiling import Window",
    "from PyQt5.QtCore import Qt",
    "print()",
)


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    """A copy of the linter's settings, in folders as the repository's."""
    for settings in (root / "pyproject.toml", *root.glob("[!.]*/**/ruff.toml")):
        if "build" not in settings.relative_to(root).parts:
            copy = tmp_path / settings.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(settings, copy)
    return tmp_path


def complaints(tree: Path, name: str, code: str, ran: Callable[..., Ran]) -> str:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(f'"""A module."""\n\n{code}\n')
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID,T20,S3", name]
    checked = ran(command, tree)
    assert checked.returncode in (0, 1), checked.stderr
    return checked.stdout if checked.returncode else ""


@pytest.mark.parametrize("code", ENGINE_NEVERS)
def test_never_in_the_engine(code: str, tree: Path, ran: Callable[..., Ran]) -> None:
    (tree / "deepseg_qgis" / "engine" / "verbs").mkdir(exist_ok=True)
    for name in ("deepseg_qgis/engine/new.py", "deepseg_qgis/engine/verbs/new.py"):
        assert "Found" in complaints(tree, name, code, ran)


@pytest.mark.parametrize("code", QGIS_SIDE_NEVERS)
def test_never_on_the_side_of_qgis(code: str, tree: Path, ran: Callable[..., Ran]) -> None:
    (tree / "processing" / "algorithms").mkdir(exist_ok=True)
    for name in ("processing/new.py", "processing/algorithms/new.py", "deepseg_qgis/gui/new.py"):
        assert "Found" in complaints(tree, name, code, ran)


def test_the_linter_is_not_simply_against_everything(tree: Path, ran: Callable[..., Ran]) -> None:
    engine = "import numpy as np\nimport rasterio\nfrom deepseg_qgis.jobs import Job"
    assert complaints(tree, "deepseg_qgis/engine/new.py", engine, ran) == ""
    qgis_side = "from qgis.core import QgsProject\nfrom qgis.PyQt.QtCore import Qt"
    assert complaints(tree, "processing/new.py", qgis_side, ran) == ""


def test_only_one_module_opens_rasters(tree: Path, ran: Callable[..., Ran]) -> None:
    opens = "import rasterio\n\nDATASET = rasterio.open"
    assert complaints(tree, "deepseg_qgis/engine/files/rasters.py", opens, ran) == ""


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_needs_the_standard_library_alone(name: str, root: Path) -> None:
    tree = ast.parse((root / "deepseg_qgis" / name).read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    contract = {f"deepseg_qgis.{module.removesuffix('.py')}" for module in CONTRACT}
    assert {
        name for name in imported - contract if name.split(".")[0] not in sys.stdlib_module_names
    } == set()


def test_the_package_itself_imports_nothing(root: Path) -> None:
    tree = ast.parse((root / "deepseg_qgis" / "__init__.py").read_text())
    assert not [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
