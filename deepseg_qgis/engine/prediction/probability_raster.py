"""Cores decided from a raster of probabilities, as a model would have decided them.

Decisions are taken on the very numbers that the model's were taken on, so any threshold can be
tried without running it again.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_output import TILE_PX
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore, decide_core
from deepseg_qgis.engine.legend.legend import Legend

WINDOW_BYTES = 64 * 2**20
LARGEST_WINDOW_PX = 2048


def decided_cores(
    raster: Raster, legend: Legend, control: Control
) -> Generator[PredictedCore, None, None]:
    """Yield the windows of a raster of the legend's planes, decided, row by row.

    Memory: one window, some `WINDOW_BYTES`.

    Raises:
        RasterError: a block is broken.
        Stopped: the user asked to.
    """
    windows = _windows(raster)
    for number, window in enumerate(windows, start=1):
        control.check()
        control.progress(number / len(windows), f"Window {number} of {len(windows)}")
        pixels = raster.read(window)
        if not pixels.valid.any():
            yield PredictedCore(window, None, None, None)
            continue
        planes = np.ascontiguousarray(pixels.values, dtype=np.uint8)
        yield decide_core(window, planes, pixels.valid, legend)


def _windows(raster: Raster) -> list[Window]:
    """Return windows of whole tiles, row by row, that hold a bounded number of bytes each."""
    side = int((WINDOW_BYTES / raster.bands) ** 0.5) // TILE_PX * TILE_PX
    side = min(max(side, TILE_PX), LARGEST_WINDOW_PX)
    whole = raster.grid.window
    return [
        Window(row, column, side, side).intersection(whole)
        for row in range(0, whole.height, side)
        for column in range(0, whole.width, side)
    ]
