"""Class maps: what a model says of each pixel of an area, in memory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import predicted_cores
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.errors import ResourceError


@dataclass(frozen=True)
class ClassMap:
    """Classes of the pixels of a region of a raster.

    Arrays are (rows, columns): ``classes`` uint8 (0 background, or not predicted),
    ``probabilities`` uint8 in 1/255 of each pixel's class, ``known`` bool where there is data
    inside of the area that was asked for; ``heights`` uint8 where the model tells objects apart,
    else None.
    """

    region: Window
    classes: NDArray[np.uint8]
    probabilities: NDArray[np.uint8]
    known: NDArray[np.bool_]
    heights: NDArray[np.uint8] | None = None


def class_map(predictor: Predictor, raster: Raster, area: Area, control: Control) -> ClassMap:
    """Return the classes inside an area; the region is its bounding box on the raster.

    Memory: 3 bytes a pixel of the region, 4 with heights.

    Raises:
        ResourceError: so much memory is not there.
        Stopped: the user asked to.
    """
    region = area.window(raster.grid.window)
    result = _empty(region, raster.name, predictor.legend.has_objects)
    with contextlib.closing(predicted_cores(predictor, raster, area, control)) as cores:
        for core in cores:
            place = core.core.within(region)
            for whole, part in (
                (result.classes, core.classes),
                (result.probabilities, core.probabilities),
                (result.known, core.known),
                (result.heights, core.heights),
            ):
                if part is not None and whole is not None:
                    whole[place] = part
    return result


def _empty(region: Window, name: str, heights: bool) -> ClassMap:
    shape = (region.height, region.width)
    try:
        return ClassMap(
            region,
            np.zeros(shape, dtype=np.uint8),
            np.zeros(shape, dtype=np.uint8),
            np.zeros(shape, dtype=bool),
            np.zeros(shape, dtype=np.uint8) if heights else None,
        )
    except MemoryError as error:
        raise ResourceError(
            f"{name}: an area of {shape[0] * shape[1] / 1e6:,.0f} Mpx does not fit into memory. "
            "Take part of it with an AOI."
        ) from error
