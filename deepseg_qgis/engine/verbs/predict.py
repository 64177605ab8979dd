"""The verb ``predict``: polygons over rasters, with their statistics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor
from deepseg_qgis.engine.inference.model_rasters import read_model
from deepseg_qgis.engine.legend.legend import Legend, task_of
from deepseg_qgis.engine.prediction.polygon_output import PolygonOutput
from deepseg_qgis.engine.prediction.polygon_stream import check_shaping
from deepseg_qgis.engine.prediction.predicted_polygons import PredictedPolygons
from deepseg_qgis.engine.prediction.prediction_outputs import PredictionOutputs
from deepseg_qgis.engine.resuming.journal_folder import JournalFolder
from deepseg_qgis.engine.resuming.resumable import ResumablePrediction
from deepseg_qgis.errors import counted
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
        polygons = PolygonOutput(outputs, job.output, job.output_statistics)
        model, rasters = read_model(job.model, given, control, mosaic=job.mosaic)
        crs = output_crs(polygons.path, [(each.name, each.grid) for each in rasters], control)
        mixed = any(raster.grid.crs != crs for raster in rasters)
        predictor = model_predictor(model, _settings(job), control)
        resumed = journals if job.resume else None
        prediction = ResumablePrediction(predictor, given, resumed, control)
        with PredictionOutputs(job, outputs, rasters, model.card.legend, control) as extra_outputs:
            predicted = PredictedPolygons(job, model.card, prediction, rasters, crs, extra_outputs)
            polygons.write(predicted.batches(control), given, crs, anywhere=mixed)
            polygons.write_statistics(predicted.aoi_m2)
            extra_outputs.finish(predicted.aoi_m2, control)
        if prediction.complete:
            journals.finished()
    _log_result(polygons, model.card.legend, control)
    return {
        "output": job.output,
        "output_classes": job.output_classes,
        "output_probabilities": job.output_probabilities,
        "output_coco": job.output_coco,
        "output_statistics": job.output_statistics,
        "count": polygons.count,
        "area_m2": polygons.statistics.area_m2,
        "covered": None if prediction.complete else prediction.text,
        "resumable": journals.any,
        "categories": [asdict(category) for category in model.card.categories],
    }


def _settings(job: PredictJob) -> PredictionSettings:
    return PredictionSettings(
        job.device,
        job.precision,
        job.tile_size_px,
        job.overlap_px,
        job.batch_size,
        job.threshold,
    )


def _log_result(polygons: PolygonOutput, legend: Legend, control: Control) -> None:
    count, pixels = counted(polygons.count, "polygon"), counted(polygons.area_px, "pixel")
    control.log(f"{count}; the areas equal the {pixels} in them.")
    if task_of(legend.countable) == "panoptic":
        things = zip(legend.categories, legend.countable, strict=True)
        names = ", ".join(category.name for category, countable in things if countable)
        control.log(
            f"The score of objects that are told apart ({names}) says how clear they stand out, of "
            "other ground how probable it is: compare scores within a category only."
        )
    polygons.suggest_format(control)
