"""The verb ``evaluatelayers``: two layers of polygons compared, whoever made them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from deepseg_qgis.bounds import IOU_THRESHOLD
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating.compared_layers import ComparedLayers, read_compared_layers
from deepseg_qgis.engine.evaluating.error_layer import write_errors
from deepseg_qgis.engine.evaluating.layer_evaluation import evaluate_layers
from deepseg_qgis.engine.files import tables
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.reports import evaluation_report
from deepseg_qgis.engine.reports.evaluation_report import UNITS
from deepseg_qgis.engine.reports.markup import Cell
from deepseg_qgis.engine.scoring.scores import Evaluation
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import EvaluateLayersJob

HEADLINES = ("map", "ap50", "precision", "recall", "f1", "mean_iou", "pq", "count_error")
COUNTS = ("reference_count", "predicted_count", "tp", "fp", "fn")
SHARES = ("count_error", "precision", "recall", "f1", "ap50", "ap", "pq", "sq", "rq")
GROUND = ("iou", "dice", "pixel_precision", "pixel_recall")
ALL = "(all)"
"""The row of the table that is of all categories together."""
NO_SCORES = (
    "The predictions have no scores, so there is no average precision (AP, mAP). Choose the score "
    "field if there is one."
)


def run(job: EvaluateLayersJob, control: Control) -> dict[str, Any]:
    """Compare the layers; return the outputs and the numbers of `HEADLINES`.

    Numbers are from 0 to 1, the count error is at least -1; None is what does not exist.

    Raises:
        DeepSegError: something cannot be used; nothing is written then.
    """
    if job.iou_threshold not in IOU_THRESHOLD:
        raise ParameterError(f"The IoU threshold must be from 0 to 1, got {job.iou_threshold:g}.")
    with Outputs(control, job) as outputs:
        errors_path = outputs.optional(job.output_errors)
        csv_path = outputs.optional(job.output_csv)
        json_path = outputs.optional(job.output_json)
        html_path = outputs.optional(job.output_html)
        control.progress(0.1, "Reading polygons")
        compared = read_compared_layers(job.predictions, job.reference, job.aoi, control)
        control.progress(0.4, "Comparing")
        ranked = job.score_field is not None
        found = evaluate_layers(compared, job.iou_threshold, ranked=ranked)
        notes = [] if ranked else [NO_SCORES]
        for note in notes:
            control.warn(note)
        control.progress(0.8, "Writing")
        if errors_path:
            write_errors(errors_path, compared, found)
        if csv_path:
            _write_table(csv_path, found.scores)
        if json_path:
            with open(json_path, "w", encoding="utf-8") as file:
                json.dump(found.scores, file, ensure_ascii=False, allow_nan=False, indent=1)
        if html_path:
            about = _about(job, compared, found.scores)
            evaluation_report.write(html_path, found.scores, [], notes, about)
    return {
        "output_errors": job.output_errors,
        "output_csv": job.output_csv,
        "output_json": job.output_json,
        "output_html": job.output_html,
        **{name: found.scores[name] for name in HEADLINES},
    }


def _write_table(path: str, scores: Evaluation) -> None:
    """Write the scores of each category and of all together."""
    rows = [*scores["categories"], {**scores, "name": ALL, "ap": scores["map"]}]
    fields = {
        "category": pa.string(),
        **dict.fromkeys(COUNTS, pa.int64()),
        **dict.fromkeys((*SHARES, *GROUND), pa.float64()),
    }
    columns = {name: [row.get(name) for row in rows] for name in fields}
    columns["category"] = [row["name"] for row in rows]
    columns["iou"][-1] = scores["mean_iou"]
    tables.write_table(path, columns, fields)


def _about(job: EvaluateLayersJob, compared: ComparedLayers, scores: Evaluation) -> dict[str, Cell]:
    unit = scores["unit"]
    return {
        "Predictions": job.predictions.name,
        "Reference": job.reference.name,
        "Area": job.aoi.name if job.aoi else "bounding box of the reference",
        "Size of the area": f"{scores[f'aoi_{unit}']:,.0f} {UNITS[unit]}",
        "Compared in": "coordinates as they are" if compared.plane is None else compared.plane.name,
    }
