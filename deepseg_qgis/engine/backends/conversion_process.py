"""Converting a network in a process of its own, which gives its memory back.

The converter needs torch and the network library, some 850 MB that a prediction does without. The
child is started through the engine's door: ``launch.py --convert MODEL``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import deepseg_qgis
from deepseg_qgis.engine.control import Control
from deepseg_qgis.errors import DeepSegError, by_name

GLANCE_S = 0.2
"""How often it is looked whether the user wants to stop."""


def convert(path: str, control: Control) -> None:
    """Have a child process convert a model into the cache.

    Raises:
        DeepSegError: what is wrong with the model.
        OSError: the cache cannot be written.
        RuntimeError: the network cannot be converted.
        Stopped: the user asked to.
    """
    door = os.path.join(os.path.dirname(deepseg_qgis.__file__), "launch.py")
    child = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", door, "--convert", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # launch.py sends all of it there
        encoding="utf-8",
        errors="replace",
    )
    try:
        while True:
            try:
                output, _ = child.communicate(timeout=GLANCE_S)
                break
            except subprocess.TimeoutExpired:
                control.check()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode:
        raise _error_of_child(output)


def run(path: str) -> int:
    """Convert a model into the cache, in this process; return the exit code, write the error."""
    from deepseg_qgis.engine.backends.converted_networks import ConvertedNetworks
    from deepseg_qgis.engine.models import model_file

    try:
        ConvertedNetworks(model_file.read(path)).convert()
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        kind = type(error).__name__ if isinstance(error, DeepSegError) else ""
        description: dict[str, object] = {"kind": kind, "message": str(error)}
        if isinstance(error, OSError):
            description["system"] = [error.errno, error.strerror, error.filename]
        sys.stderr.write("\n" + json.dumps(description) + "\n")
        return 1
    return 0


def _error_of_child(output: str) -> Exception:
    """Return the error that the last line of a child's output describes; else the line itself."""
    last = (output.strip().splitlines() or ["the converter died, perhaps for want of memory"])[-1]
    try:
        description = json.loads(last)
        kind, message = str(description["kind"]), str(description["message"])
        if "system" in description:
            return OSError(*description["system"])
    except (ValueError, KeyError, TypeError):
        return RuntimeError(last)
    return by_name(kind, message) if kind else RuntimeError(message)
