"""Predicting with a model file: its legend, its network, and the settings of a job."""

from __future__ import annotations

from dataclasses import dataclass

from deepseg_qgis.bounds import BATCH_SIZE
from deepseg_qgis.engine.backends.model_source import ModelSource
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.inference import windows
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.legend.legend import check_threshold
from deepseg_qgis.engine.models.model_file import ModelFile
from deepseg_qgis.errors import ParameterError


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict; None stands for the default, ``threshold`` for the model's own.

    Raises:
        ParameterError: a setting is out of bounds.
    """

    device: str = "auto"
    precision: str = "auto"
    tile_size_px: int | None = None
    overlap_px: int | None = None
    batch_size: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.tile_size_px is not None:
            windows.check_tile_size(self.tile_size_px)
        if self.overlap_px is not None:
            windows.check_overlap(self.tile_size_px or windows.LARGEST_SIDE_PX, self.overlap_px)
        if self.batch_size is not None and self.batch_size not in BATCH_SIZE:
            raise ParameterError(f"The batch size must be at least 1, got {self.batch_size}.")
        check_threshold(self.threshold)


def model_predictor(model: ModelFile, settings: PredictionSettings, control: Control) -> Predictor:
    """Return what predicts with a model; its network is converted if it never was.

    Raises:
        ParameterError: device and precision do not go together.
        ResourceError: the device is not there.
        ModelError: the file is damaged.
    """
    return Predictor(
        model.card.legend.with_threshold(settings.threshold),
        ModelSource(model, settings.device, settings.precision, settings.batch_size, control),
        control,
        tile_size_px=settings.tile_size_px,
        overlap_px=settings.overlap_px,
    )
