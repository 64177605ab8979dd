"""What runs a network: a backend for one model, and its sessions for windows of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.rasters import Pixels

Result = Callable[[], NDArray[np.uint8]]
"""Waits for a batch; returns (windows, categories, rows, columns) in 1/255. The array is valid
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
    """A model made ready for one device and precision.

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


def probabilities(session: Session, pixels: Sequence[Pixels]) -> NDArray[np.uint8]:
    """Return (windows, categories, rows, columns) in 1/255 for one batch, waiting for it."""
    return session.start(pixels)()
