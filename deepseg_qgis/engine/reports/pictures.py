"""Pictures of rasters for reports: small, and in colours that a person can read."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.raster_picture import raster_picture
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.reports.error_overlay import error_overlay

LONGEST_PX = 1000

Element = TypeVar("Element", bound=np.generic)


def error_picture(
    raster: Raster,
    window: Window,
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    known: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return a window as RGB with what is right and wrong in it, see `error_overlay`.

    The classes and what is known are (rows, columns) of the window.
    """
    rgb = raster_picture(raster, window, LONGEST_PX)
    shape = rgb.shape[:2]
    return error_overlay(
        rgb, _shrunk(reference, shape), _shrunk(predicted, shape), _shrunk(known, shape)
    )


def _shrunk(array: NDArray[Element], shape: tuple[int, int]) -> NDArray[Element]:
    """Return (rows, columns) picked by nearest neighbour to a smaller ``shape``."""
    rows = (np.arange(shape[0]) * array.shape[0]) // shape[0]
    columns = (np.arange(shape[1]) * array.shape[1]) // shape[1]
    picked: NDArray[Element] = array[rows[:, None], columns[None, :]]
    return picked
