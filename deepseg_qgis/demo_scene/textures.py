"""Noise that never ends: textures that repeat without a seam, cut out by place. No I/O.

What a texture shows at a place depends on the seed and the place alone. Memory: about 30 MB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.tiling import Window

TEXTURES = 3
"""Tells the seed of textures from those of lines and blocks."""

LARGEST_WINDOW_PX = 560
"""Windows must not be higher or wider."""

COARSE_STEP_PX = 32
COARSE_NODES = 512

Texture = NDArray[np.float32]
"""An array of mean 0 and standard deviation 1."""


class Textures:
    """Textures of several sizes; each method returns shape (rows, columns) for a window."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, TEXTURES])
        self._fine = {
            "grain": _periodic(rng, 640, 0.7),
            "clumps": _periodic(rng, 896, 1.9),
            "patches": _periodic(rng, 1024, 12.0),
            "noise": _periodic(rng, 768, 0.45),
        }
        nodes = [_smooth(rng, COARSE_NODES, 3.0) + _smooth(rng, COARSE_NODES, 12.0) for _ in "ab"]
        self._coarse = [texture / np.float32(np.sqrt(2.0)) for texture in nodes]

    def fine(self, name: str, window: Window, shift: int = 0) -> Texture:
        """Return ``grain`` (1 px), ``clumps`` (5 px), ``patches`` (30 px) or sensor ``noise``.

        The array is a view; ``shift`` gives another one of the same kind.
        """
        texture = self._fine[name]
        period = texture.shape[0] - LARGEST_WINDOW_PX
        row, column = (window.row + shift) % period, (window.column + 2 * shift) % period
        return texture[row : row + window.height, column : column + window.width]

    def coarse(self, number: int, window: Window) -> Texture:
        """Return variation over 100 to 400 m (number 0 or 1)."""
        nodes = self._coarse[number]
        above, down = _nodes(window.row, window.height)
        left, right = _nodes(window.column, window.width)
        lines = nodes[above] * (1.0 - down)[:, None]
        lines += nodes[(above + 1) % COARSE_NODES] * down[:, None]
        result = lines.take(left, axis=1) * (1.0 - right)
        result += lines.take((left + 1) % COARSE_NODES, axis=1) * right
        return np.asarray(result)


def _periodic(rng: np.random.Generator, period: int, sigma_px: float) -> Texture:
    """Return a texture of a period, repeated far enough to cut any window from it."""
    return np.pad(_smooth(rng, period, sigma_px), (0, LARGEST_WINDOW_PX), mode="wrap")


def _smooth(rng: np.random.Generator, size: int, sigma: float) -> Texture:
    """Return white noise under a Gaussian of ``sigma`` cells, which wraps around."""
    spectrum = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    down, right = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    spectrum *= np.exp(-2.0 * (np.pi * sigma * down) ** 2)
    spectrum *= np.exp(-2.0 * (np.pi * sigma * right) ** 2)
    spectrum[0, 0] = 0.0
    smooth = np.fft.irfft2(spectrum, s=(size, size))
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def _nodes(start: int, length: int) -> tuple[NDArray[np.int64], Texture]:
    """Return for each pixel the coarse node before it and how far it is on the way to the next."""
    place = (np.arange(start, start + length) + 0.5) / COARSE_STEP_PX
    node = np.floor(place).astype(np.int64)
    return node % COARSE_NODES, (place - node).astype(np.float32)
