"""The verb ``evaluate``: how good a model is on annotated ground."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.bounds import IOU_THRESHOLD
from deepseg_qgis.engine.annotations import annotation_layer as annotated
from deepseg_qgis.engine.annotations import labelled_raster
from deepseg_qgis.engine.annotations.annotation_layer import Annotations
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating.comparison import Compared, Comparison, trained_share
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import (
    at_model_resolution,
    open_rasters,
    with_expected_bands,
)
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.inference.predictor import Predictor, Settings
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.reports import evaluation_report, pictures
from deepseg_qgis.engine.scoring.scores import Evaluation
from deepseg_qgis.engine.scoring.scores import evaluation as scored
from deepseg_qgis.errors import ParameterError, VectorError, listed
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
        control.log(f"Reading the model {job.model}")
        model = model_file.read_for(job.model, given)
        fitted = with_expected_bands(given, model.card.kind, model_file.MODEL, control)
        rasters = at_model_resolution(fitted, model.card.resolution_m, False, control)
        layer = _annotations(job, model.card, rasters, control)
        areas = _areas(job, layer, rasters, control)
        categories = _all_categories(model.card, layer, control)
        # the objects of a semantic model, connected pieces of one category, are counted in all
        countable = _countable(model.card, len(categories))
        comparison = Comparison(layer, categories, countable, job.iou_threshold)
        predictor = Predictor(model, Settings(job.device, threshold=job.threshold), control)
        shown: list[tuple[str, NDArray[np.uint8]]] = []
        for number, (raster, area) in enumerate(zip(rasters, areas, strict=True)):
            part = control.part(number / len(rasters), (number + 1) / len(rasters))
            if area.size_px:
                compared = comparison.add(raster, area, predictor, part)
                if html_path and len(shown) < MOST_PICTURES:
                    shown.append(_picture(compared))
                del compared  # before the next raster's takes as much memory
        result = _result(job, model.card, comparison, rasters, areas)
        notes = _notes(result, comparison, control)
        if json_path:
            _write_json(json_path, result)
            outputs.place(str(job.output_json))
        if html_path:
            evaluation_report.write(
                html_path,
                result,
                shown,
                notes,
                _about(job, result, rasters),
            )
    return {
        "output_json": job.output_json,
        "output_html": job.output_html,
        **{name: result[name] for name in HEADLINES},
    }


def _annotations(
    job: EvaluateJob, card: ModelCard, rasters: Sequence[Raster], control: Control
) -> Annotations:
    """Return the reference: with an area to evaluate, an empty layer says that nothing is there."""
    layer = annotated.load(job.annotations, control, may_be_empty=job.aoi is not None)
    if not len(layer.names):
        control.warn(
            f"The annotation layer '{layer.layer.name}' is empty: all that the model finds in the "
            "area counts as a false positive."
        )
        return layer
    annotated.require_touching(layer, list(rasters))
    return _named_alike(layer.spelt_as(card.categories), card, control)


def _named_alike(layer: Annotations, card: ModelCard, control: Control) -> Annotations:
    """Return annotations without category field as of the model's category, if it has just one."""
    if layer.layer.category_field is not None or len(card.categories) != 1:
        return layer
    name = card.categories[0].name
    if layer.layer.name != name:
        control.log(f"Without a category field, all annotations count as '{name}'.")
    names = layer.names.copy()
    names[:] = name
    return replace(layer, names=names)


def _countable(card: ModelCard, categories: int) -> tuple[bool, ...]:
    """Return which categories come as objects: of a semantic model all, as connected ground."""
    known = card.countable if card.legend.has_objects else (True,) * len(card.categories)
    return known + (True,) * (categories - len(known))


def _all_categories(card: ModelCard, layer: Annotations, control: Control) -> tuple[Category, ...]:
    """Return the model's categories, then those that only the annotations have.

    Raises:
        VectorError: the model knows none of the annotated ones, so there is nothing to compare.
    """
    known = {category.name for category in card.categories}
    others = tuple(category for category in layer.categories if category.name not in known)
    if others and len(others) == len(layer.categories):
        field = layer.layer.category_field
        there = f"the field '{field}'" if field else "no category field (CATEGORY_FIELD)"
        raise VectorError(
            f"The model knows {listed(sorted(known))}, but the annotations, with {there}, have "
            f"only {listed([each.name for each in others])}. Choose the field that holds the "
            "category, or the model that belongs to these annotations."
        )
    if others:
        names = listed([category.name for category in others])
        control.warn(
            f"The model does not know {names}: all of it counts as missed. If it is not to count, "
            "filter the annotations."
        )
    return card.categories + others


def _areas(
    job: EvaluateJob, layer: Annotations, rasters: Sequence[Raster], control: Control
) -> list[Area]:
    areas = [labelled_raster.labelled_area(layer, job.aoi, raster, control) for raster in rasters]
    if not any(area.size_px for area in areas):
        raise VectorError(
            "The area of interest does not touch any of the rasters. Draw it over annotated "
            "ground, or leave it empty."
        )
    if job.aoi is None:
        control.warn(
            "No area of interest was given: the bounding box of the annotations is evaluated, and "
            "what is not annotated in it counts as background."
        )
    return areas


def _result(
    job: EvaluateJob,
    card: ModelCard,
    comparison: Comparison,
    rasters: Sequence[Raster],
    areas: Sequence[Area],
) -> Evaluation:
    used: list[float | None] = [*card.legend.with_threshold(job.threshold).thresholds]
    used += [None] * (len(comparison.categories) - len(used))
    total = sum(area.size_px for area in areas)
    trained = sum(
        trained_share(card, raster, area) * area.size_px
        for raster, area in zip(rasters, areas, strict=True)
    )
    scores = scored(
        comparison.categories,
        used,
        comparison.countable,
        comparison.confusions,
        comparison.matches,
    )
    return scores | {
        "model": Path(job.model).name,
        "rasters": [raster.name for raster in rasters],
        "aoi_px": total,
        "trained_share": trained / total,
        "validation_score": card.validation_score,
    }


def _notes(result: Evaluation, comparison: Comparison, control: Control) -> list[str]:
    """Return what the reader must know, and say it in the log too."""
    notes = []
    if result["trained_share"] > 0.0005:
        notes.append(
            f"The model was trained on {result['trained_share']:.1%} of this area, so the scores "
            "flatter it. Evaluate on ground that it has never seen."
        )
    if comparison.confusion.matrix.sum() == 0:
        notes.append("The area holds no data in the raster: there is nothing to compare.")
    for note in notes:
        control.warn(note)
    return notes


def _write_json(path: str, result: Evaluation) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, ensure_ascii=False, allow_nan=False, indent=1)


def _picture(compared: Compared) -> tuple[str, NDArray[np.uint8]]:
    found = compared.found
    return compared.raster.name, pictures.error_picture(
        compared.raster, found.region, compared.reference, found.classes, compared.counted
    )


def _about(
    job: EvaluateJob, result: Evaluation, rasters: Sequence[Raster]
) -> dict[str, str | int | float | None]:
    return {
        "Model": result["model"],
        "Rasters": ", ".join(raster.name for raster in rasters),
        "Annotations": job.annotations.name,
        "Area": job.aoi.name if job.aoi else "bounding box of the annotations",
        "Size of the area": f"{result['aoi_px'] / 1e6:.2f} million pixels",
    }
