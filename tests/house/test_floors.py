"""The house stands: every package uses what lies below it, and no two modules use each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = (
    {"control", "faults", "kernels", "streams", "torchrun"},
    {"geometry", "legend"},
    {"files", "scoring", "vectorising"},
    {"instances", "models"},
    {"annotations", "backends", "experiments", "pretrained"},
    {"inference"},
    {"exchange", "resuming"},
    {"reports", "evaluating", "learning", "prediction", "sampling"},
    {"preparation", "verbs"},
    {"run"},
)
"""The floors of the engine, from the ground up, as docs/design.md draws them."""
QGIS_SIDE = (
    {"processing.translation"},
    {"processing.engine"},
    {"processing.layers"},
    {"processing.algorithms"},
    {"processing.provider"},
    {"gui"},
    {"plugin"},
)


def modules() -> dict[str, Path]:
    """Return the plugin's modules by their full names."""
    found = {}
    for folder, start in ((ROOT / "deepseg_qgis", ROOT), (ROOT / "processing", ROOT)):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(start).with_suffix("").parts
            name = ".".join(parts if parts[0] == "deepseg_qgis" else ("deepseg_qgis", *parts))
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()
ENTRY = "deepseg_qgis"
"""Has the version, which anybody may read, and hands the plugin to QGIS when that asks for it."""


def imported(name: str, *, at_once: bool = False) -> Iterator[str]:
    """Yield our own modules that a module imports; ``at_once``: while it is imported itself."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield from [each for each in (longer, node.module) if each in MODULES][:1]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def floor_of(name: str, floors: tuple[set[str], ...], above: str) -> int | None:
    """Return the floor of a module's package below ``above``, None where it is on none."""
    inside = f"{name}.".removeprefix(above)
    places = [i for i, floor in enumerate(floors) if any(inside.startswith(f"{p}.") for p in floor)]
    return places[0] if f"{name}.".startswith(above) and places else None


def package_of(name: str, floors: tuple[set[str], ...], above: str) -> str:
    inside = f"{name}.".removeprefix(above)
    return next(p for floor in floors for p in floor if inside.startswith(f"{p}."))


@pytest.mark.parametrize(
    ("floors", "above"),
    [(ENGINE, "deepseg_qgis.engine."), (QGIS_SIDE, "deepseg_qgis.")],
    ids=["engine", "QGIS side"],
)
def test_packages_use_what_lies_below(floors: tuple[set[str], ...], above: str) -> None:
    upwards = []
    for name in MODULES:
        mine = floor_of(name, floors, above)
        for other in imported(name) if mine is not None else ():
            theirs = floor_of(other, floors, above)
            if theirs is None or mine is None or theirs < mine:
                continue
            if package_of(name, floors, above) != package_of(other, floors, above):
                upwards.append(f"{name} uses {other}")
    assert upwards == []


def test_every_package_of_the_engine_has_a_floor() -> None:
    inside = "deepseg_qgis.engine."
    without = [
        name
        for name in MODULES
        if name.startswith(inside) and floor_of(name, ENGINE, inside) is None
    ]
    assert without == []


def test_no_modules_use_each_other() -> None:
    """Wherever the import stands: a circle that is hidden in a function is one, too."""
    waiting = {name: set(imported(name)) - {name, ENTRY} for name in MODULES}
    while ready := [name for name, others in waiting.items() if not others & set(waiting)]:
        for name in ready:
            del waiting[name]
    assert waiting == {}
