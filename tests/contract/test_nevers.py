"""What each side imports, read from the code itself: the linter's rules have no gaps."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = sorted(
    path.stem
    for path in (ROOT / "deepseg_qgis").glob("*.py")
    if "\nCONTRACT: " in path.read_text(encoding="utf-8")
)
"""Modules that say that they are part of it."""
WITHOUT_QGIS = sorted(
    f"engine.{path.stem}"
    for path in (ROOT / "processing" / "engine").glob("*.py")
    if "No QGIS in here." in path.read_text(encoding="utf-8")
)
"""Modules of the QGIS side that say that they do without it."""

ENGINE_SIDE = sorted(
    path
    for package in ("engine", "demo_scene")
    for path in (ROOT / "deepseg_qgis" / package).rglob("*.py")
)
GUI = sorted((ROOT / "deepseg_qgis" / "gui").glob("*.py"))
PROCESSING = sorted((ROOT / "processing").rglob("*.py"))
QGIS_SIDE = [*PROCESSING, *GUI, ROOT / "deepseg_qgis" / "plugin.py"]


def imported(path: Path) -> Iterator[str]:
    """Yield the full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_needs_the_standard_library_alone(name: str) -> None:
    allowed = tuple(f"deepseg_qgis.{each}" for each in CONTRACT)
    for each in imported(ROOT / "deepseg_qgis" / f"{name}.py"):
        assert is_standard(each) or each.startswith(allowed), each


@pytest.mark.parametrize("path", QGIS_SIDE, ids=lambda path: path.name)
def test_the_qgis_side_needs_qgis_and_the_standard_library_alone(path: Path) -> None:
    for each in imported(path):
        # `processing` is QGIS's own package here
        top = each.partition(".")[0]
        assert is_standard(each) or top in ("qgis", "processing", "deepseg_qgis"), each
        assert not each.startswith("deepseg_qgis.engine"), each


def test_only_the_desktop_loads_the_gui() -> None:
    """It is imported inside of functions that QGIS's window alone calls."""
    for path in sorted({*QGIS_SIDE} - {*GUI}):
        top = ast.parse(path.read_text(encoding="utf-8")).body
        at_once = [node for node in top if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert "deepseg_qgis.gui" not in "\n".join(map(ast.unparse, at_once)), path.name


@pytest.mark.parametrize("name", WITHOUT_QGIS)
def test_the_pipe_needs_no_qgis(name: str) -> None:
    path = ROOT / "processing" / f"{name.replace('.', '/')}.py"
    assert not [each for each in imported(path) if "qgis.core" in each]


@pytest.mark.parametrize("path", ENGINE_SIDE, ids=str)
def test_the_engine_never_sees_qgis(path: Path) -> None:
    for each in imported(path):
        assert each.partition(".")[0] not in ("qgis", "osgeo", "processing", "PyQt5"), each
        assert not each.startswith("deepseg_qgis.processing"), each


def test_python39_compiles_the_qgis_side(in_python39: Callable[..., str]) -> None:
    program = "import ast\nfor path in sys.argv[1:]: ast.parse(open(path, encoding='utf-8').read())"
    in_python39(program, *map(str, QGIS_SIDE))


@pytest.mark.parametrize("name", WITHOUT_QGIS)
def test_python39_imports_the_pipe(name: str, in_python39: Callable[..., str]) -> None:
    in_python39(f"import deepseg_qgis.processing.{name}")


STRAW = """
import importlib, types

def accept(self, *arguments):
    pass

class Straw(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": accept, "__call__": lambda self, function: function})

qt = [f"PyQt.{part}" for part in ("QtCore", "QtGui", "QtWidgets", "QtXml")]
for name in ("qgis", *(f"qgis.{part}" for part in ("core", "gui", "utils", "PyQt", *qt))):
    sys.modules[name] = Straw(name)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
"""Something that looks like QGIS to whoever imports it."""


def test_python39_imports_the_qgis_side(in_python39: Callable[..., str]) -> None:
    modules = [path.relative_to(ROOT).with_suffix("") for path in PROCESSING]
    names = [f"deepseg_qgis.{'.'.join(module.parts)}" for module in modules]
    names += [f"deepseg_qgis.gui.{path.stem}" for path in GUI]
    in_python39(STRAW, "deepseg_qgis.plugin", *(name for name in names if "__" not in name))
