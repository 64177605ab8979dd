"""A model that is ready to run on rasters."""

from __future__ import annotations

from dataclasses import dataclass

from deepseg_qgis.engine.control import Control


@dataclass(frozen=True)
class Settings:
    """How to predict; None stands for the default, ``threshold`` for the model's own."""

    device: str = "auto"
    precision: str = "auto"
    tile_size_px: int | None = None
    overlap_px: int | None = None
    batch_size: int | None = None
    threshold: float | None = None


class Inference:
    """A model file that is ready to run; says in the log on what (engine, precision, windows).

    Raises:
        ParameterError: a setting is out of bounds, or device and precision do not go together.
        ResourceError: the device is not there.
        ModelError: the file is no model of DeepSeg's, or is damaged.
    """

    def __init__(self, model_path: str, settings: Settings, control: Control) -> None:
        raise NotImplementedError
