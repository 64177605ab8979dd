"""The verb ``predict``: polygons over rasters, with their statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyproj
import shapely

from deepseg_qgis.engine.annotations.annotation_layer import load_area, placed
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import tables, vectors
from deepseg_qgis.engine.files.features import PolygonBatch
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import (
    at_model_resolution,
    open_rasters,
    with_expected_bands,
)
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.georeference import Placing
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.inference.predictor import PredictionSettings, Predictor
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.prediction.polygon_stream import FIELDS, Wanted, check_shaping, polygons
from deepseg_qgis.engine.prediction.prediction_outputs import PredictionOutputs
from deepseg_qgis.engine.prediction.prediction_tags import PredictionTags
from deepseg_qgis.engine.resuming.journal_folder import JournalFolder
from deepseg_qgis.engine.resuming.resumable import ResumablePrediction
from deepseg_qgis.engine.scoring.category_statistics import FIELDS as STATISTICS_FIELDS
from deepseg_qgis.engine.scoring.category_statistics import CategoryStatistics
from deepseg_qgis.errors import VectorError, counted
from deepseg_qgis.jobs import PredictJob


def run(job: PredictJob, control: Control) -> dict[str, Any]:
    """Predict polygons; return the outputs, ``count``, ``area_m2`` and ``covered``.

    ``covered`` says in words which part a stopped run covers, and is None if nothing is missing;
    ``resumable`` whether the next run would continue it.

    Raises:
        DeepSegError: something cannot be used, or the user stopped before anything was predicted;
            nothing is written then. Or something else than the polygons could not be written: then
            all that could is there.
    """
    check_shaping(job.simplify_px, job.outlines)
    with (
        JournalFolder(control) as journals,
        Outputs(control, job) as outputs,
        open_rasters(job.rasters, control) as given,
    ):
        path = outputs.path(job.output)
        table = outputs.optional(job.output_statistics)
        control.log(f"Reading the model {job.model}")
        model = model_file.read(job.model)
        fitted = with_expected_bands(given, model.card.kind, model_file.MODEL, control)
        rasters = at_model_resolution(fitted, model.card.resolution_m, job.mosaic, control)
        crs = output_crs(path, [(each.name, each.grid) for each in rasters], control)
        predictor = Predictor(model, _settings(job), control)
        mixed = any(raster.grid.crs != crs for raster in rasters)
        kept = journals if job.resume else None
        interruptible = ResumablePrediction(predictor, given, kept, control)
        with PredictionOutputs(job, outputs, rasters, model.card, control) as others:
            found = _Found(job, interruptible, rasters, crs, others, control)
            with contextlib.closing(found.features()) as features:
                count = vectors.write_features(path, features, FIELDS, crs, anywhere=mixed)
            for raster in given:
                raster.check_read()
            outputs.place(job.output)
            with outputs.saving(job.output_statistics):
                if table:
                    tables.write_table(table, found.statistics(), STATISTICS_FIELDS)
            others.finish(found.aoi_m2, control)
        if interruptible.complete:
            journals.finished()
    polygons, pixels = counted(count, "polygon"), counted(found.area_px, "pixel")
    control.log(f"{polygons}; the areas equal the {pixels} in them.")
    if model.card.task == "panoptic":
        told = zip(model.card.categories, model.card.countable, strict=True)
        names = ", ".join(category.name for category, countable in told if countable)
        control.log(
            f"The score of objects that are told apart ({names}) says how clear they stand out, of "
            "other ground how probable it is: compare scores within a category only."
        )
    better = vectors.better_format(path, count)
    if better:
        control.warn(better)
    return {
        "output": job.output,
        "output_classes": job.output_classes,
        "output_probabilities": job.output_probabilities,
        "output_coco": job.output_coco,
        "output_statistics": job.output_statistics,
        "count": count,
        "area_m2": found.area_m2,
        "covered": None if interruptible.complete else interruptible.text,
        "resumable": journals.any,
        "categories": [asdict(category) for category in model.card.categories],
    }


class _Found:
    """The polygons of all rasters, one raster after the other, and the sums over them."""

    def __init__(
        self,
        job: PredictJob,
        interruptible: ResumablePrediction,
        rasters: Sequence[Raster],
        crs: pyproj.CRS | None,
        others: PredictionOutputs,
        control: Control,
    ) -> None:
        self._job, self._interruptible, self._rasters = job, interruptible, rasters
        self._crs, self._others, self._control = crs, others, control
        self._summary = CategoryStatistics()
        self._aoi_m2 = 0.0
        self.area_px = 0

    def features(self) -> Generator[PolygonBatch, None, None]:
        """Yield the polygons of each raster, in the output's CRS and with all fields."""
        for number, raster in enumerate(self._rasters):
            whole = len(self._rasters)
            control = self._control.part(number / whole, (number + 1) / whole)
            area = _area(self._job, raster, control)
            with contextlib.closing(self._batches(number, area, control)) as batches:
                for batch in batches:
                    self._add(batch)
                    yield batch
            covered = self._interruptible.coverages[-1].covered
            self._aoi_m2 += _size_m2(covered, raster)

    def _batches(
        self, number: int, area: Area, control: Control
    ) -> Generator[PolygonBatch, None, None]:
        raster = self._rasters[number]
        wanted = Wanted(
            raster.name,
            raster.grid,
            self._crs,
            self._interruptible.legend.categories,
            self._job.simplify_px,
            self._job.min_area,
            self._others.told(number),
            self._job.outlines,
            instance_rule=self._interruptible.legend.instance_rule,
        )
        cores = self._interruptible.predicted_cores(
            raster, area, control, with_planes=self._others.every
        )
        legend = self._interruptible.legend
        about = PredictionTags(self._interruptible.card, legend, raster.name)
        cores = self._others.recorded(cores, raster.grid, area, about)
        return polygons(cores, area.window(raster.grid.window), wanted, control)

    def _add(self, batch: PolygonBatch) -> None:
        columns = batch.columns
        self._summary.add(
            columns["source"], columns["category"], columns["area_m2"], columns["perimeter_m"]
        )
        self.area_px += int(np.sum(columns["area_px"]))

    @property
    def area_m2(self) -> float | None:
        """The area of all polygons, or None where it is unknown."""
        return self._summary.area_m2

    def statistics(self) -> dict[str, list[object]]:
        """Return the table of statistics per raster and category."""
        return self._summary.table(self.aoi_m2)

    @property
    def aoi_m2(self) -> float | None:
        """The size of the area predicted on, or None where it is unknown."""
        return self._aoi_m2 if np.isfinite(self._aoi_m2) else None


def _settings(job: PredictJob) -> PredictionSettings:
    return PredictionSettings(
        job.device,
        job.precision,
        job.tile_size_px,
        job.overlap_px,
        job.batch_size,
        job.threshold,
    )


def _area(job: PredictJob, raster: Raster, control: Control) -> Area:
    """Return where to predict on a raster: the AOI within the extent, else all of it."""
    area = Area(box(raster.grid.window))
    if job.aoi is not None:
        area = load_area(job.aoi, raster, control)
    if job.extent is not None:
        extent = job.extent
        crs = pyproj.CRS.from_wkt(extent.crs_wkt) if extent.crs_wkt else None
        corners = shapely.box(extent.xmin, extent.ymin, extent.xmax, extent.ymax)
        area = area.within(Area.of(placed(np.array([corners]), crs, raster.grid)))
    if area.size_px == 0 and (job.mosaic or len(job.rasters) == 1):
        raise VectorError(
            f"The area or extent to predict does not touch {raster.name}. Check that they lie over "
            "each other, or leave area and extent empty to predict the whole raster."
        )
    return area


def _size_m2(area: Area, raster: Raster) -> float:
    shape: Geometries = np.array([area.geometry], dtype=object)
    if raster.grid.crs is None or area.size_px == 0:
        return float("nan") if raster.grid.crs is None else 0.0
    sizes, _ = Placing(raster.grid, raster.grid.crs).placed(shape).sizes()
    return float(sizes[0])
