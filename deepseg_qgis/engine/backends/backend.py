"""From windows to planes: sources, their backends, and sessions for windows of one size.

A plane holds a whole number from 0 to 255 for each pixel; which planes there are, a legend says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.areas import Area

Result = Callable[[], NDArray[np.uint8]]
"""Waits for a batch; returns (windows, planes, rows, columns) in 1/255. The array is valid
until `Session.in_flight` more batches were started."""


class CompilationError(Exception):
    """OpenVINO cannot run a network on this computer."""


class Session(Protocol):
    """Runs windows of one size, ``batch_size`` at a time, ``in_flight`` batches at once."""

    batch_size: int
    in_flight: int

    def start(self, pixels: Sequence[Pixels]) -> Result:
        """Begin with one batch, which may hold fewer windows than ``batch_size``."""
        ...


class Backend(Protocol):
    """What makes planes of windows, made ready for one device and precision.

    ``most_window_px`` is how many pixels a window may have for its memory; ``sees_whole_window``
    says that every pixel's answer hangs on the whole window (pooling or attention over all of it),
    so that windows must be like those of training.
    """

    description: str
    most_window_px: int
    sees_whole_window: bool

    def session(self, height: int, width: int) -> Session:
        """Return what runs windows of this size."""
        ...


class PlaneSource(Protocol):
    """Whatever makes planes of rasters: a model's network, or a method that needs none.

    A method without a network can be source, backend and session in one.

    ``fingerprint`` tells it from all others, so that no other continues its interrupted
    predictions; ``tile_size_px`` is the side of the windows that a backend likes best which sees
    the whole window: those of its training.
    """

    fingerprint: str
    tile_size_px: int

    def backend(self, raster: Raster, area: Area) -> Backend:
        """Return what runs the windows of an area of a raster."""
        ...

    def fallback(self, error: CompilationError) -> Backend:
        """Return what runs them instead where a backend cannot be compiled, or raise the error."""
        raise error


def probabilities(session: Session, pixels: Sequence[Pixels]) -> NDArray[np.uint8]:
    """Return (windows, planes, rows, columns) in 1/255 for one batch, waiting for it."""
    return session.start(pixels)()
