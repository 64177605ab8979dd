"""Make ``build/deepseg_qgis-VERSION.zip``, which QGIS installs with 'Install from ZIP'.

It holds copies of what `link_plugin` links, and the licence: ``deepseg_qgis/`` with
``processing/`` and ``metadata.txt`` inside, as QGIS wants it. The same files always give the same
bytes. Standard library only.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from link_plugin import LEFT_OUT, PACKAGE, ROOT, layout

NOT_FOR_USERS = {"ruff.toml", "py.typed"}
MADE = (1980, 1, 1, 0, 0, 0)
"""The time of all files: the earliest that a zip can tell."""
MODE = 0o100644 << 16


def package(out: Path, root: Path = ROOT) -> Path:
    """Write the zip into a folder and return its path."""
    path = out / f"{PACKAGE}-{version(root)}.zip"
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(contents(root)):
            entry = zipfile.ZipInfo(f"{PACKAGE}/{name}", MADE)
            entry.external_attr = MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    return path


def version(root: Path) -> str:
    """Return DeepSeg's version, as its package says it.

    Raises:
        SystemExit: the package and metadata.txt disagree.
    """
    package_says = _read(r'__version__ = "(.+)"', root / PACKAGE / "__init__.py")
    metadata_says = _read(r"version *= *(.+)", root / "metadata.txt")
    if package_says != metadata_says:
        raise SystemExit(
            f"{PACKAGE}/__init__.py says version {package_says}, metadata.txt says "
            f"{metadata_says}. Make them the same."
        )
    return package_says


def _read(pattern: str, file: Path) -> str:
    found = re.search(f"^{pattern}$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise SystemExit(f"{file} says no version.")
    return found[1].strip()


def contents(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file of the plugin: its name within the plugin's folder, and where it lies."""
    for name, entry in {**layout(root), "LICENSE": root / "LICENSE"}.items():
        files = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        for file in files:
            inner = PurePosixPath(name, *file.relative_to(entry).parts)
            if file.is_file() and _is_for_users(inner):
                yield str(inner), file


def _is_for_users(name: PurePosixPath) -> bool:
    return not (LEFT_OUT.intersection(name.parts) or name.name in NOT_FOR_USERS)


if __name__ == "__main__":
    print(package(ROOT / "build"))
    sys.exit(0)
