"""What a model says of an area, core by core: decided, and in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.areas import Area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.inference.inference import Inference
from deepseg_qgis.engine.rasters import Raster
from deepseg_qgis.engine.tiling import Window


@dataclass(frozen=True)
class Decided:
    """What a model says of one core of the grid over an area's bounding box.

    Arrays are (rows, columns) of the core: ``classes`` uint8 (0 background or not known, 1 to k),
    ``probabilities`` uint8 in 1/255 of each pixel's class (0 for background), ``known`` bool where
    there is data inside the area. All three are None where the core does not touch the area or
    holds no data.
    """

    core: Window
    classes: NDArray[np.uint8] | None
    probabilities: NDArray[np.uint8] | None
    known: NDArray[np.bool_] | None


def decided(
    inference: Inference, raster: Raster, area: Area, control: Control
) -> Iterator[Decided]:
    """Yield the cores of an area's bounding box on a raster, row by row of a complete grid.

    Close the generator (or exhaust it) to have its threads ended. Memory: a few windows.

    Raises:
        RasterError: a block is broken.
        Stopped: the user asked to.
    """
    raise NotImplementedError
    yield
