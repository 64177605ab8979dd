"""What a prediction writes beside its polygons: classes, probabilities and COCO.

The polygons come first: what cannot be written of these is given up, and told in the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco.predictions import CocoImage, CocoPredictions
from deepseg_qgis.engine.exchange.coco.writer import LONGEST_MASK
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore
from deepseg_qgis.engine.legend.legend import Legend
from deepseg_qgis.engine.prediction.prediction_rasters import (
    PredictionRasters,
    RasterDestinations,
    check_room,
)
from deepseg_qgis.engine.prediction.prediction_tags import PredictionTags
from deepseg_qgis.engine.vectorising.components import Components
from deepseg_qgis.errors import DeepSegError, OutputError, ParameterError
from deepseg_qgis.jobs import PredictJob

TIFF = (".tif", ".tiff")


class PredictionOutputs:
    """The optional outputs of one prediction; a context manager. What was not asked for is free.

    Raises:
        ParameterError: rasters were asked for, and there are several to predict on.
        OutputError: a destination cannot be used.
    """

    def __init__(
        self,
        job: PredictJob,
        outputs: Outputs,
        rasters: Sequence[Raster],
        legend: Legend,
        control: Control,
    ) -> None:
        self._outputs, self._job = outputs, job
        self._errors: dict[object, Exception] = {}
        self._destinations = RasterDestinations(job.output_classes, job.output_probabilities)
        self._rasters: PredictionRasters | None = None
        self._coco: CocoPredictions | None = None
        self._stack = contextlib.ExitStack()
        if self._destinations:
            _check_one(rasters)
            _check_tiff(self._destinations)
            for path in (job.output_classes, job.output_probabilities):
                outputs.optional(path)
        coco = outputs.optional(job.output_coco)
        if coco:
            _warn_of_large_images(rasters, control)
            images = [CocoImage(each.name, each.grid.height, each.grid.width) for each in rasters]
            self._coco = self._stack.enter_context(CocoPredictions(coco, images, legend.categories))

    @property
    def needs_planes(self) -> bool:
        """Whether all planes of a core are needed, not the decisions alone."""
        return self._destinations.probabilities is not None

    def objects_writer(self, raster: int) -> Callable[[Components], None] | None:
        """Return what takes the objects of the raster with that place in the list, if anything."""
        coco = self._coco
        return (lambda objects: self._write(coco, coco.add, raster, objects)) if coco else None

    def writing_rasters(
        self,
        cores: Generator[PredictedCore, None, None],
        grid: Grid,
        area: Area,
        tags: PredictionTags,
    ) -> Generator[PredictedCore, None, None]:
        """Return the cores over an area of a grid, written on their way where that was asked for.

        Raises:
            ResourceError: the disk has no room.
        """
        if not self._destinations:
            return cores
        region = area.window(grid.window)
        pixels = region.height * region.width
        check_room(self._destinations, self._outputs, pixels, len(tags.legend.planes))
        rasters = PredictionRasters(self._destinations, self._outputs, grid, tags)
        self._rasters = self._stack.enter_context(rasters)
        return self._written(cores, rasters)

    def finish(self, aoi_m2: float | None, control: Control) -> None:
        """Write the files as they are to appear, once all cores have come.

        ``aoi_m2`` is the size of what was predicted on, None where it is unknown. What fails is
        told when all else is saved (`Outputs.saving`).
        """
        rasters, coco = self._rasters, self._coco
        with self._outputs.saving(self._job.output_coco):
            if coco:
                self._write(coco, coco.finish)
                self._check(coco)
        with self._outputs.saving(self._destinations.classes, self._destinations.probabilities):
            if rasters:
                self._write(rasters, rasters.finish, aoi_m2, control)
                self._check(rasters)

    def _written(
        self, cores: Generator[PredictedCore, None, None], rasters: PredictionRasters
    ) -> Generator[PredictedCore, None, None]:
        """Yield cores as they come, after they were written."""
        with contextlib.closing(cores):
            for core in cores:
                self._write(rasters, rasters.add, core)
                yield core

    def _write(self, output: object, write: Callable[..., None], *content: object) -> None:
        """Write something into an output, unless that failed before."""
        if output not in self._errors:
            try:
                write(*content)
            except (DeepSegError, OSError) as error:
                self._errors[output] = error

    def _check(self, output: CocoPredictions | PredictionRasters) -> None:
        """Raise the error that an output could not be written with, after closing it."""
        error = self._errors.get(output)
        if error is not None:
            with contextlib.suppress(DeepSegError, OSError):
                output.__exit__(type(error), error, None)
            raise error

    def __enter__(self) -> PredictionOutputs:
        return self

    def __exit__(self, *error: Any) -> None:
        with contextlib.suppress(DeepSegError, OSError):
            self._stack.__exit__(*error)


def _warn_of_large_images(rasters: Sequence[Raster], control: Control) -> None:
    """Say so where masks are of images that pycocotools does not take."""
    for raster in rasters:
        if raster.grid.height * raster.grid.width > LONGEST_MASK:
            control.warn(
                f"{raster.name} has more than {LONGEST_MASK:,} pixels: its masks in the COCO file "
                "are right, but pycocotools reads images up to that size alone."
            )


def _check_one(rasters: Sequence[Raster]) -> None:
    if len(rasters) > 1:
        raise ParameterError(
            f"Classes and probabilities are written as one raster, but there are {len(rasters)} to "
            "predict on. Tick 'mosaic' (MOSAIC) to take them for one picture, or choose one raster "
            "at a time."
        )


def _check_tiff(destinations: RasterDestinations) -> None:
    for path in (destinations.classes, destinations.probabilities):
        if path and Path(path).suffix.lower() not in TIFF:
            raise OutputError(
                f"{path}: classes and probabilities are written as GeoTIFF. Choose a file name "
                "that ends in .tif."
            )
