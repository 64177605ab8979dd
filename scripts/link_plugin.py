"""Lay the plugin out for QGIS as links: ``link_plugin.py [OUT_DIR]`` (default: build/plugins).

The repository keeps ``processing/`` and ``metadata.txt`` at its root, while the plugin has both
inside the package. Links let QGIS load the working tree as it is being edited. Where the system has
no links (Windows without developer mode) the files are copied.

Standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "deepseg_qgis"
LEFT_OUT = {"__pycache__", ".ruff_cache", ".mypy_cache"}


def layout(root: Path) -> dict[str, Path]:
    """Return what the plugin's folder holds: each entry's name and where it lies in ``root``."""
    package = root / PACKAGE
    entries = {entry.name: entry for entry in package.iterdir() if entry.name not in LEFT_OUT}
    # the project's layout keeps these two at the root
    entries["processing"] = root / "processing"
    entries["metadata.txt"] = root / "metadata.txt"
    return {name: entries[name] for name in sorted(entries)}


def link_plugin(out: Path, root: Path = ROOT) -> Path:
    """Make ``out/deepseg_qgis`` anew; return that folder (``out`` is QGIS's plugin path)."""
    plugin = out / PACKAGE
    _remove(plugin)
    plugin.mkdir(parents=True)
    for name, target in layout(root).items():
        _link(plugin / name, target)
    return plugin


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)  # removes links, not what they point to


def _link(link: Path, target: Path) -> None:
    try:
        link.symlink_to(os.path.relpath(target, link.parent.resolve()), target.is_dir())
    except OSError:
        ignored = shutil.ignore_patterns(*LEFT_OUT)
        if target.is_dir():
            shutil.copytree(target, link, ignore=ignored)
        else:
            shutil.copy2(target, link)


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build" / "plugins"
    print(f"The plugin is linked in {link_plugin(folder)}; set QGIS_PLUGINPATH={folder}")
