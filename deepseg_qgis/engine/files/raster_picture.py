"""A raster in colours that a person can read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.tiling import Window

STRETCH_PERCENTILES = (2.0, 98.0)
NO_DATA_GREY = 235


def raster_picture(raster: Raster, window: Window, longest_px: int) -> NDArray[np.uint8]:
    """Return a window as RGB (rows, columns, 3) uint8, its longer side not above ``longest_px``.

    Red, green and blue are the bands that show these, else the first three, else the first.
    """
    pixels = raster.thumbnail(window, longest_px)
    names = [band.colour for band in raster.kind.bands]
    colours = ("red", "green", "blue")
    if all(colour in names for colour in colours):
        chosen = [names.index(colour) for colour in colours]
    else:
        chosen = [0, 1, 2] if raster.bands >= 3 else [0, 0, 0]
    layers = [_stretched(pixels, band) for band in chosen]
    rgb = np.stack(layers, axis=-1)  # (rows, columns, 3)
    rgb[~pixels.valid] = NO_DATA_GREY
    return rgb


def _stretched(pixels: Pixels, band: int) -> NDArray[np.uint8]:
    """Return a band as bytes: as it is if it is bytes, else stretched between percentiles."""
    values = pixels.values[band]
    if values.dtype == np.uint8:
        return np.array(values)
    known = values[pixels.valid]
    low, high = np.percentile(known, STRETCH_PERCENTILES) if known.size else (0.0, 1.0)
    share = (np.nan_to_num(values.astype(np.float64)) - low) / max(float(high - low), 1e-12)
    return np.asarray(np.clip(share, 0.0, 1.0) * 255.0).astype(np.uint8)
