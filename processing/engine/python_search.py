"""Find a Python that an engine environment can be made from. No QGIS in here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deepseg_qgis.errors import EngineMissing

OLDEST = (3, 10)
ON_PATH = ("python3.13", "python3.12", "python3.11", "python3.10", "python3", "python")
MACOS_FOLDERS = ("/opt/homebrew/bin", "/usr/local/bin")
"""Programs that the desktop of macOS starts do not have them on their PATH."""

PROBE_TIMEOUT_S = 30.0

PROBE = """
import json, sys
try:
    import ensurepip, venv
    has_venv = True
except ImportError:
    has_venv = False
print(json.dumps([list(sys.version_info[:3]), sys.maxsize > 2**32, has_venv]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python, and whether an environment can be made from it."""

    path: str
    version: tuple[int, ...]
    is_64_bit: bool
    has_venv: bool

    @property
    def problem(self) -> str:
        """What is wrong with it, or ''."""
        if self.version < OLDEST:
            return f"it is Python {self.label}, which is too old"
        if not self.is_64_bit:
            return "it is a 32-bit Python, for which torch does not exist"
        if not self.has_venv:
            return (
                "its venv module is missing (on Debian and Ubuntu: sudo apt install python3-venv)"
            )
        return ""

    @property
    def label(self) -> str:
        """The version in words."""
        return ".".join(map(str, self.version))


def find_interpreter(given: str | None, variables: Mapping[str, str]) -> Interpreter:
    """Return the Python to make an environment from; ``variables`` are the engine's.

    Raises:
        EngineMissing: there is no suitable one, or the given one is not suitable.
    """
    problems = []
    for path in [given] if given else candidates(variables):
        found = inspect_python(path, variables)
        problem = found.problem if found else "it does not run as a Python"
        if found and not problem:
            return found
        problems.append(f"{path}: {problem}")
    wanted = (
        f"The engine needs a 64-bit Python {OLDEST[0]}.{OLDEST[1]} or newer with its venv module."
    )
    tried = "; ".join(dict.fromkeys(problems)) or "none was found"
    raise EngineMissing(
        f"{wanted} Tried: {tried}. Install one (on Debian and Ubuntu: sudo apt install python3 "
        "python3-venv; on Windows and macOS from python.org) and run this again, or choose it "
        "under 'Python'."
    )


def candidates(variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths that may be a Python, the best first, each once."""
    folders = variables.get("PATH", "")
    if sys.platform == "darwin":
        folders = os.pathsep.join([folders, *MACOS_FOLDERS])
    found = [shutil.which(name, path=folders) for name in ON_PATH]
    found += ["/usr/bin/python3"] if os.name == "posix" else []
    found += _qgis_pythons()
    yield from dict.fromkeys(path for path in found if path and os.path.isfile(path))


def _qgis_pythons() -> list[str]:
    """Return where the Python that came with QGIS may be (`sys.executable` is QGIS itself)."""
    if os.name == "nt":
        return [os.path.join(sys.exec_prefix, name) for name in ("python.exe", "python3.exe")]
    return [os.path.join(sys.exec_prefix, "bin", "python3")]


def inspect_python(path: str, variables: Mapping[str, str]) -> Interpreter | None:
    """Return what a program says about itself, or None if it is no Python."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", PROBE],
            capture_output=True,
            env=dict(variables),
            timeout=PROBE_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        printed = answer.stdout.decode("utf-8", "replace").splitlines()
        version, is_64_bit, has_venv = first_json(printed, list)
        return Interpreter(os.path.abspath(path), tuple(version), bool(is_64_bit), bool(has_venv))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def first_json(lines: Iterable[str], kind: type) -> Any:
    """Return the first line that is JSON of this kind (a Python may print other lines), or None."""
    for line in lines:
        with contextlib.suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, kind):
                return answer
    return None
