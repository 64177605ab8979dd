"""The verb ``evaluate``: how good a model is on annotated ground."""

from __future__ import annotations

import json
from typing import Any

from deepseg_qgis.bounds import IOU_THRESHOLD
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating.model_evaluation import ComparedRaster, ModelEvaluation, notes
from deepseg_qgis.engine.evaluating.reference import read_reference
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor
from deepseg_qgis.engine.inference.model_rasters import read_model
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.reports import evaluation_report
from deepseg_qgis.engine.reports.markup import Cell
from deepseg_qgis.engine.reports.page import Rgb
from deepseg_qgis.engine.reports.pictures import error_picture
from deepseg_qgis.engine.scoring.scores import Evaluation
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import EvaluateJob

MOST_PICTURES = 6
HEADLINES = ("map", "ap50", "precision", "recall", "f1", "mean_iou", "pq", "count_error")


def run(job: EvaluateJob, control: Control) -> dict[str, Any]:
    """Evaluate a model; return the outputs and the numbers of `HEADLINES`.

    Numbers are from 0 to 1, the count error is at least -1; None is what does not exist.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    if job.iou_threshold not in IOU_THRESHOLD:
        raise ParameterError(f"The IoU threshold must be from 0 to 1, got {job.iou_threshold:g}.")
    with Outputs(control, job) as outputs, open_rasters(job.rasters, control) as given:
        json_path = outputs.optional(job.output_json)
        html_path = outputs.optional(job.output_html)
        model, rasters = read_model(job.model, given, control)
        categories = model.card.categories
        reference = read_reference(job.annotations, job.aoi, categories, rasters, control)
        evaluation = ModelEvaluation(model, rasters, reference, job.iou_threshold)
        predictor = model_predictor(
            model, PredictionSettings(job.device, threshold=job.threshold), control
        )
        pictures = _compare(evaluation, predictor, MOST_PICTURES if html_path else 0, control)
        scores = evaluation.scores(job.threshold)
        warnings = notes(scores)
        for warning in warnings:
            control.warn(warning)
        if json_path:
            _write_json(json_path, scores)
            outputs.place(str(job.output_json))
        if html_path:
            evaluation_report.write(html_path, scores, pictures, warnings, _about(job, scores))
    return {
        "output_json": job.output_json,
        "output_html": job.output_html,
        **{name: scores[name] for name in HEADLINES},
    }


def _compare(
    evaluation: ModelEvaluation, predictor: Predictor, most_pictures: int, control: Control
) -> list[tuple[str, Rgb]]:
    """Compare raster after raster; return pictures of what is right and wrong on the first."""
    pictures: list[tuple[str, Rgb]] = []
    for number, raster in enumerate(evaluation.rasters):
        compared = evaluation.add(predictor, number, control.step(number, len(evaluation.rasters)))
        if compared is not None and len(pictures) < most_pictures:
            pictures.append((raster.name, _picture(raster, compared)))
        del compared  # before the next raster's takes as much memory
    return pictures


def _picture(raster: Raster, compared: ComparedRaster) -> Rgb:
    return error_picture(
        raster, compared.region, compared.reference, compared.predicted, compared.counted
    )


def _write_json(path: str, scores: Evaluation) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(scores, file, ensure_ascii=False, allow_nan=False, indent=1)


def _about(job: EvaluateJob, scores: Evaluation) -> dict[str, Cell]:
    return {
        "Model": scores["model"],
        "Rasters": ", ".join(scores["rasters"]),
        "Annotations": job.annotations.name,
        "Area": job.aoi.name if job.aoi else "bounding box of the annotations",
        "Size of the area": f"{scores['aoi_px'] / 1e6:.2f} million pixels",
    }
