"""Which device to run on; a GPU is looked for without importing torch, which takes seconds."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import sys

from deepseg_qgis.choices import DEVICES
from deepseg_qgis.errors import ParameterError, ResourceError

_BUILT_WITH = re.compile(r"^(cuda|hip)\b[^=]*=\s*['\"]", re.MULTILINE)


def choose_device(wish: str) -> str:
    """Return ``cpu``, ``cuda`` or ``mps`` for a wish of `DEVICES`; ``auto`` takes a GPU if any.

    Raises:
        ParameterError: the wish is unknown.
        ResourceError: the device is not there.
    """
    if wish not in DEVICES:
        raise ParameterError(f"Expected a device out of {', '.join(DEVICES)}, got {wish!r}.")
    if wish == "cpu":
        return wish
    found = _gpu()
    if wish not in ("auto", found):
        raise ResourceError(
            f"The device '{wish}' was asked for, but this computer's engine finds none. Choose "
            "'auto', or set up the engine again with the right accelerator."
        )
    return found or "cpu"


def _gpu() -> str | None:
    """Return the kind of GPU that torch can use here, or None."""
    if not _may_have_gpu():
        return None
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def _may_have_gpu() -> bool:
    """Whether it is worth asking torch for a GPU."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return _built_for_gpu() and _has_driver()


def _built_for_gpu() -> bool:
    """Whether the installed torch was built for CUDA or ROCm, from the text of its version file."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        with open(os.path.join(os.path.dirname(found.origin), "version.py"), encoding="utf-8") as f:
            return _BUILT_WITH.search(f.read()) is not None
    except OSError:
        return True


def _has_driver() -> bool:
    """Whether a GPU's driver library can be loaded; torch asks it for devices."""
    names = (
        ("nvcuda.dll", "amdhip64.dll", "amdhip64_6.dll")
        if os.name == "nt"
        else ("libcuda.so.1", "libamdhip64.so", "/dev/kfd")
    )
    for name in names:
        if name.startswith("/"):
            if os.path.exists(name):
                return True
            continue
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False
