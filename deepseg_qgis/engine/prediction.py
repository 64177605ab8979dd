"""Class maps: what a model says of each pixel of an area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine import networks
from deepseg_qgis.engine.areas import Area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.decisions import as_levels, decide
from deepseg_qgis.engine.inference import (
    OVERLAP_SHARE,
    Predictor,
    area_tiles,
    check_tile_size,
    default_tile_size,
    predicted,
)
from deepseg_qgis.engine.model_card import ModelCard
from deepseg_qgis.engine.model_file import Model
from deepseg_qgis.engine.rasters import Raster
from deepseg_qgis.engine.tiling import Window
from deepseg_qgis.errors import ParameterError, ResourceError

BATCH_SIZES = {"cpu": 4, "mps": 4, "cuda": 16}


@dataclass(frozen=True)
class ClassMap:
    """Classes of the pixels of a region of a raster.

    Arrays are (rows, columns): ``classes`` uint8 (0 background, or not predicted),
    ``probabilities`` uint8 in 1/255 of each pixel's class, ``known`` bool where there is data
    inside of the area that was asked for.
    """

    region: Window
    classes: NDArray[np.uint8]
    probabilities: NDArray[np.uint8]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """How to predict; None stands for the default, ``threshold`` for the model's own."""

    device: str
    tile_size_px: int | None = None
    overlap_px: int | None = None
    batch_size: int | None = None
    threshold: float | None = None


class Prediction:
    """A model that is ready to predict.

    Raises:
        ParameterError: tile size, overlap, batch size or threshold are out of bounds.
        ResourceError: the device is not there.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        card = model.card
        device = networks.choose_device(settings.device)
        self.tile_size_px = settings.tile_size_px or default_tile_size(card.tile_size_px)
        given = settings.overlap_px
        self.overlap_px = self.tile_size_px // OVERLAP_SHARE if given is None else given
        self.batch_size = settings.batch_size or BATCH_SIZES[device.type]
        _check(self, settings)
        self._levels = as_levels(thresholds(card, settings.threshold))
        self.device = device
        self._predictor = Predictor(
            model.network.to(device),
            len(card.categories),
            np.array(card.mean, dtype=np.float32),
            np.array(card.std, dtype=np.float32),
            device,
            self.batch_size,
        )

    def class_map(self, raster: Raster, area: Area, control: Control) -> ClassMap:
        """Return the classes inside an area; the region is its bounding box on the raster.

        Memory: 3 bytes a pixel of the region.

        Raises:
            Stopped: the user asked to.
        """
        region = area.window(raster.grid.window)
        shape = (region.height, region.width)
        result = _empty(region, shape, raster.name)
        wanted = area_tiles(raster.grid, area, self.tile_size_px, self.overlap_px)
        for number, (tile, found, pixels) in enumerate(predicted(self._predictor, raster, wanted)):
            control.check()
            core = tile.core.within(tile.window)
            known = pixels.valid[core] & area.mask(tile.core)
            classes, probabilities = decide(found[:, core[0], core[1]], self._levels)
            place = tile.core.within(region)
            result.known[place] = known
            result.classes[place] = np.where(known, classes, 0)
            result.probabilities[place] = probabilities
            control.progress(
                (number + 1) / len(wanted), f"{raster.name}: tile {number + 1} of {len(wanted)}"
            )
        return result


def thresholds(card: ModelCard, given: float | None) -> tuple[float, ...]:
    """Return each category's threshold: the given one for all, else the model's own."""
    return card.thresholds if given is None else (given,) * len(card.categories)


def _check(prediction: Prediction, settings: Settings) -> None:
    check_tile_size(prediction.tile_size_px)
    if prediction.batch_size < 1:
        raise ParameterError(f"The batch size must be at least 1, got {prediction.batch_size}.")
    if settings.threshold is not None and not 0.0 <= settings.threshold <= 1.0:
        raise ParameterError(f"The threshold must be from 0 to 1, got {settings.threshold:g}.")


def _empty(region: Window, shape: tuple[int, int], name: str) -> ClassMap:
    try:
        return ClassMap(
            region,
            np.zeros(shape, dtype=np.uint8),
            np.zeros(shape, dtype=np.uint8),
            np.zeros(shape, dtype=bool),
        )
    except MemoryError as error:
        raise ResourceError(
            f"{name}: an area of {shape[0] * shape[1] / 1e6:,.0f} Mpx does not fit into memory. "
            "Predict part of it with an AOI or an extent."
        ) from error
