"""How pip is asked for the engine's libraries, and what it answers. No QGIS in here."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from deepseg_qgis.errors import DeepSegError, EngineError, ResourceError

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
CUDA_WHEELS = "https://download.pytorch.org/whl/cu128"
"""PyTorch's own indexes: plain pip brings CUDA builds on Linux and CPU builds on Windows."""

UNREACHABLE = (
    "Temporary failure in name resolution",
    "Failed to establish a new connection",
    "NewConnectionError",
    "ProxyError",
    "SSLError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "No route to host",
    "Network is unreachable",
)


def pip_commands(
    python: str, accelerator: str, requirements: str, platform: str = sys.platform
) -> list[list[str]]:
    """Return the commands that fill an environment, for an accelerator on a platform.

    Plain pip brings the build that serves everybody; torch comes from PyTorch's own index only
    where another build is wanted, and alone, so that all else follows the user's pip settings.
    """
    install = [python, "-I", "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    install += ["--disable-pip-version-check"]
    index = None
    if accelerator == "cpu" and platform != "darwin":
        index = CPU_WHEELS
    elif accelerator == "cuda" and platform == "win32":
        index = CUDA_WHEELS
    torch = [[*install, "--index-url", index, "torch", "torchvision"]] if index else []
    return [*torch, [*install, "-r", requirements]]


class PipProgress:
    """How far pip is, guessed from its lines: packages are collected, then installed in one go."""

    COLLECTED_AFTER = 40.0
    """Packages until the larger part of collecting is done; the engine has about 80."""

    def __init__(self) -> None:
        self._collected = 0
        self._done = 0.0

    def of(self, line: str) -> float:
        """Return the fraction that is done after a line; it never falls."""
        self._done = max(self._done, self._guess(line))
        return self._done

    def _guess(self, line: str) -> float:
        self._collected += line.startswith(("Collecting ", "Processing "))
        if line.startswith("Installing collected packages"):
            return 0.6
        if line.startswith("Successfully installed"):
            return 0.9
        return 0.05 + 0.5 * (1.0 - math.exp(-self._collected / self.COLLECTED_AFTER))


def program_error(purpose: str, code: int, lines: Sequence[str]) -> DeepSegError:
    """Return the error that says in plain words why a program failed."""
    text = "\n".join(lines)
    last = next((line for line in reversed(lines) if line), "no message")
    if "No space left on device" in text or "not enough space" in text.lower():
        return ResourceError(
            "The disk is full. The engine needs about 6 GB: make room, or set the variable "
            "DEEPSEG_ENGINE_HOME to a folder on another disk (and TMPDIR for pip's downloads)."
        )
    if any(sign in text for sign in UNREACHABLE):
        return EngineError(
            "The packages could not be downloaded: the package index could not be reached. Check "
            "the network and, behind a proxy, the variable HTTPS_PROXY; pip's own settings "
            f"(pip.conf, PIP_INDEX_URL) are respected. pip said: {last}"
        )
    if "No matching distribution found" in text:
        return EngineError(
            "pip found no packages that suit this Python, or could not reach its index. Check the "
            "network, or choose another Python (3.10 to 3.13) under 'Python'. pip said: " + last
        )
    return EngineError(f"It was not possible to {purpose} (exit code {code}). It said: {last}")
