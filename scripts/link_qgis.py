"""Let an environment's Python see QGIS: ``link_qgis.py [VENV_PYTHON] [OUT_DIR]``.

A virtual environment that saw all of the system's packages would mix two numpys and two GDALs. So
a folder of links (default: build/qgis-bindings) holds QGIS's bindings alone, and a ``.pth`` file in
the environment points to it. Used by the tests; the plugin itself needs none of it.

Where there is no QGIS for this version of Python, it says so and does nothing. Standard library
only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("qgis", "osgeo")
WISHED = ("PyQt5", "PyQt6", "sip", "psycopg2", "owslib")
"""Qt's bindings, and what QGIS's own Processing plugin imports."""
PTH = "qgis-bindings.pth"

FIND = """
import importlib.util, json, sys
names = json.loads(sys.argv[1])
specs = {name: importlib.util.find_spec(name) for name in names}
folders = {n: list(s.submodule_search_locations or [])[:1] for n, s in specs.items() if s}
print(json.dumps({"version": sys.version_info[:2], "folders": folders}))
"""
SITE = """
import json, sys, sysconfig
print(json.dumps([sys.version_info[:2], sysconfig.get_path("purelib")]))
"""


def system_pythons() -> list[str]:
    """Return the Pythons that may have QGIS's bindings, the likeliest first."""
    found = ["/usr/bin/python3", shutil.which("python3") or "", shutil.which("python") or ""]
    return [path for i, path in enumerate(found) if path and path not in found[:i]]


def find_bindings(version: list[int]) -> dict[str, Path]:
    """Return where the bindings for a version of Python lie; empty where there are none."""
    for python in system_pythons():
        answer = _ask(python, FIND, json.dumps([*NEEDED, *WISHED]))
        if answer is None or answer["version"] != version:
            continue
        folders = {name: Path(found[0]) for name, found in answer["folders"].items() if found}
        if all(name in folders for name in NEEDED):
            return folders
    return {}


def link_qgis(python: str, out: Path) -> str:
    """Make the links and the ``.pth`` for ``python``'s environment; return what was done."""
    python = os.path.abspath(python)  # not resolved: a venv's python is a link to another's
    answer = _ask(python, SITE)
    if answer is None:
        return f"{python} could not be run; nothing was linked."
    version, site = answer
    bindings = find_bindings(version)
    pth = Path(site) / PTH
    if not bindings:
        pth.unlink(missing_ok=True)
        return (
            "No QGIS was found for Python {}.{}; tests that need it will be skipped. Install QGIS "
            "(Debian: apt install qgis), or make the environment with the Python that QGIS uses."
        ).format(*version)
    if out.is_dir():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    for name, folder in bindings.items():
        (out / name).symlink_to(folder, target_is_directory=True)
    pth.write_text(f"{out}\n", encoding="utf-8")
    return f"{python} sees QGIS through {out}: {', '.join(sorted(bindings))}."


def _ask(python: str, program: str, *arguments: str) -> Any:
    """Return what a small program in another Python prints as JSON, or None if it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        answer = subprocess.run(
            [python, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/" if os.name == "posix" else None,
            env=clean,
            check=True,
        )
        return json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


if __name__ == "__main__":
    venv_python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "build" / "qgis-bindings"
    print(link_qgis(venv_python, folder.resolve()))
