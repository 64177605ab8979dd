"""The polygons that a model finds on several rasters, one raster after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

import numpy as np
import pyproj

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.features import PolygonBatch
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.prediction.polygon_stream import PolygonRequest, polygons
from deepseg_qgis.engine.prediction.prediction_area import prediction_area, size_m2
from deepseg_qgis.engine.prediction.prediction_outputs import PredictionOutputs
from deepseg_qgis.engine.prediction.prediction_tags import PredictionTags
from deepseg_qgis.engine.resuming.resumable import ResumablePrediction
from deepseg_qgis.jobs import PredictJob


class PredictedPolygons:
    """The polygons of all rasters, and the size of the ground that they were looked for on.

    Args:
        job: how polygons are drawn, and where.
        card: of the model, for the rasters that are written.
        prediction: what runs the model.
        rasters: what it runs on.
        crs: that of the polygons.
        outputs: what is written beside them.
    """

    def __init__(
        self,
        job: PredictJob,
        card: ModelCard,
        prediction: ResumablePrediction,
        rasters: Sequence[Raster],
        crs: pyproj.CRS | None,
        outputs: PredictionOutputs,
    ) -> None:
        self._job, self._prediction, self._rasters = job, prediction, rasters
        self._card, self._crs, self._outputs = card, crs, outputs
        self._aoi_m2 = 0.0

    def batches(self, control: Control) -> Generator[PolygonBatch, None, None]:
        """Yield the polygons of each raster, in the output's CRS and with all fields.

        Raises:
            DeepSegError: a raster cannot be read, or the user stopped before anything was found.
        """
        job = self._job
        for number, raster in enumerate(self._rasters):
            part = control.step(number, len(self._rasters))
            alone = job.mosaic or len(job.rasters) == 1
            area = prediction_area(job.aoi, job.extent, raster, part, alone=alone)
            with contextlib.closing(self._of_raster(number, area, part)) as batches:
                yield from batches
            self._aoi_m2 += size_m2(self._prediction.coverages[-1].covered, raster)

    @property
    def aoi_m2(self) -> float | None:
        """The size of the area predicted on, or None where it is unknown."""
        return self._aoi_m2 if np.isfinite(self._aoi_m2) else None

    def _of_raster(
        self, number: int, area: Area, control: Control
    ) -> Generator[PolygonBatch, None, None]:
        raster, prediction, outputs = self._rasters[number], self._prediction, self._outputs
        request = PolygonRequest(
            raster.name,
            raster.grid,
            self._crs,
            prediction.legend,
            self._job.simplify_px,
            self._job.min_area,
            self._job.outlines,
            outputs.objects_writer(number),
        )
        cores = prediction.predicted_cores(raster, area, control, with_planes=outputs.needs_planes)
        tags = PredictionTags(self._card, prediction.legend, raster.name)
        cores = outputs.writing_rasters(cores, raster.grid, area, tags)
        return polygons(cores, area.window(raster.grid.window), request, control)
