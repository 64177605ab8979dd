"""A model, and the rasters that it is to run on."""

from __future__ import annotations

from collections.abc import Sequence

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_sets import at_model_resolution, with_expected_bands
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.models.model_file import ModelFile


def read_model(
    path: str, rasters: Sequence[Raster], control: Control, *, mosaic: bool = False
) -> tuple[ModelFile, list[Raster]]:
    """Return a model, and the rasters in the bands and the resolution that it takes.

    With ``mosaic`` the rasters become one. What changes is told in the log.

    Raises:
        ModelError: the file is no model of DeepSeg's.
        RasterError: a raster is of another kind than those that the model was trained on.
    """
    control.log(f"Reading the model {path}")
    model = model_file.read(path)
    fitted = with_expected_bands(rasters, model.card.kind, model_file.MODEL, control)
    return model, at_model_resolution(fitted, model.card.resolution_m, mosaic, control)
