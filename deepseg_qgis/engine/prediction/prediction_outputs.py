"""What a prediction writes beside its polygons: classes, probabilities and COCO.

The polygons come first: what cannot be written of these is given up, and told in the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import TracebackType

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco.predictions import CocoImage, CocoPredictions
from deepseg_qgis.engine.exchange.coco.writer import LONGEST_MASK
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.prediction.prediction_rasters import (
    Destinations,
    PredictionRasters,
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
        card: ModelCard,
        control: Control,
    ) -> None:
        self._outputs, self._job = outputs, job
        self._lost: dict[object, Exception] = {}
        self._wanted = Destinations(job.output_classes, job.output_probabilities)
        self._files: PredictionRasters | None = None
        self._coco: CocoPredictions | None = None
        self._stack = contextlib.ExitStack()
        if self._wanted:
            _check_one(rasters)
            _check_tiff(self._wanted)
            for path in (job.output_classes, job.output_probabilities):
                outputs.optional(path)
        coco = outputs.optional(job.output_coco)
        if coco:
            _tell_of_large_images(rasters, control)
            images = [CocoImage(each.name, each.grid.height, each.grid.width) for each in rasters]
            self._coco = self._stack.enter_context(CocoPredictions(coco, images, card.categories))

    @property
    def every(self) -> bool:
        """Whether the probabilities of all categories are needed."""
        return self._wanted.probabilities is not None

    def told(self, raster: int) -> Callable[[Components], None] | None:
        """Return what is to be told of the objects of the raster with that place in the list."""
        coco = self._coco
        return (lambda objects: self._try(coco, coco.add, raster, objects)) if coco else None

    def _try(self, file: object, write: Callable[..., None], *what: object) -> None:
        """Write something into a file, unless that failed before."""
        if file not in self._lost:
            try:
                write(*what)
            except (DeepSegError, OSError) as error:
                self._lost[file] = error

    def recorded(
        self,
        cores: Generator[PredictedCore, None, None],
        grid: Grid,
        area: Area,
        about: PredictionTags,
    ) -> Generator[PredictedCore, None, None]:
        """Return the cores over an area of a grid, which are written on their way if need be.

        Raises:
            ResourceError: the disk has no room.
        """
        if not self._wanted:
            return cores
        region = area.window(grid.window)
        pixels = region.height * region.width
        check_room(self._wanted, self._outputs, pixels, len(about.legend.planes))
        files = PredictionRasters(self._wanted, self._outputs, grid, about)
        self._files = self._stack.enter_context(files)
        return self._recorded(cores, files)

    def _recorded(
        self, cores: Generator[PredictedCore, None, None], files: PredictionRasters
    ) -> Generator[PredictedCore, None, None]:
        """Yield cores as they come, after they were written."""
        with contextlib.closing(cores):
            for core in cores:
                self._try(files, files.add, core)
                yield core

    def finish(self, aoi_m2: float | None, control: Control) -> None:
        """Write the files as they are to appear, once all cores have come.

        ``aoi_m2`` is the size of what was predicted on, None where it is unknown. What fails is
        told when all else is saved (`Outputs.saving`).
        """
        files, coco = self._files, self._coco
        with self._outputs.saving(self._job.output_coco):
            if coco:
                self._try(coco, coco.finish)
                self._check(coco)
        with self._outputs.saving(self._wanted.classes, self._wanted.probabilities):
            if files:
                self._try(files, files.finish, aoi_m2, control)
                self._check(files)

    def _check(self, file: CocoPredictions | PredictionRasters) -> None:
        """Raise the error that something could not be written with, after closing it."""
        error = self._lost.get(file)
        if error is not None:
            with contextlib.suppress(DeepSegError, OSError):
                file.__exit__(type(error), error, None)
            raise error

    def __enter__(self) -> PredictionOutputs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(DeepSegError, OSError):
            self._stack.__exit__(kind, error, trace)


def _tell_of_large_images(rasters: Sequence[Raster], control: Control) -> None:
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


def _check_tiff(wanted: Destinations) -> None:
    for path in (wanted.classes, wanted.probabilities):
        if path and Path(path).suffix.lower() not in TIFF:
            raise OutputError(
                f"{path}: classes and probabilities are written as GeoTIFF. Choose a file name "
                "that ends in .tif."
            )
