"""The verb ``train``: from annotations to a model file, a report and the areas kept from it."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
import torch

from deepseg_qgis import __version__
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.rasters import Raster, for_model, opened
from deepseg_qgis.engine.files.vectors import Features
from deepseg_qgis.engine.geometry.areas import Area, clipped
from deepseg_qgis.engine.inference.windows import check_tile_size
from deepseg_qgis.engine.learning.sampling import Normalisation, Sampler
from deepseg_qgis.engine.learning.training import Settings, Trained, Trainer
from deepseg_qgis.engine.models import model_file, weights
from deepseg_qgis.engine.models.model_card import ModelCard, task_of
from deepseg_qgis.engine.pages import report_training
from deepseg_qgis.engine.truth import annotations as annotated
from deepseg_qgis.engine.truth import countability, ground_truth
from deepseg_qgis.engine.truth.annotations import Category
from deepseg_qgis.engine.truth.ground_truth import GroundTruth
from deepseg_qgis.errors import ParameterError, RasterError, VectorError, listed
from deepseg_qgis.events import Epoch
from deepseg_qgis.jobs import TrainJob

FINGERPRINT_PX = 256
TASKS = ("auto", "semantic", "instance", "panoptic")


def run(job: TrainJob, control: Control) -> dict[str, Any]:
    """Train a model; return its outputs, ``validation_score`` and ``epochs_run``.

    Raises:
        DeepSegError: a parameter, raster or layer cannot be used; nothing is written then.
    """
    _check(job)
    with Outputs(control) as outputs, opened(job.rasters, control) as rasters:
        model_path = outputs.path(job.output)
        validation_path = outputs.optional(job.output_validation)
        html_path = outputs.optional(job.output_html)
        log_path = outputs.optional(job.output_log)
        _check_alike(rasters)
        resolution_m = _finest_m(rasters)
        rasters = for_model(rasters, resolution_m, False, control)
        torch.manual_seed(job.seed)
        rng = np.random.default_rng(job.seed)
        categories, truths = _ground_truth(job, rasters, control, rng)
        countable = _countable(job, truths, categories, control)
        sampler = Sampler(truths, job.tile_size_px, rng)
        trainer = Trainer(_settings(job), truths, categories, countable, sampler, control)
        trained = trainer.train()
        card = _card(job, categories, truths, resolution_m, trainer.normalisation, trained)
        card = replace(
            card,
            task=task_of(countable),
            countable=countable,
            smoothing_px=trainer.smoothing_px,
        )
        weights.save(model_path, trained.weights, card)
        if validation_path:
            _write_validation(validation_path, truths)
        if log_path:
            _write_log(log_path, trained.history)
        if html_path:
            model = model_file.read(model_path)
            report_training.write(html_path, job.output, model, truths)
    return {
        "output": job.output,
        "output_validation": job.output_validation,
        "output_html": job.output_html,
        "output_log": job.output_log,
        "validation_score": trained.validation.score,
        "epochs_run": len(trained.history),
        "categories": [asdict(category) for category in categories],
    }


def _check(job: TrainJob) -> None:
    """Check what can be checked before any file is opened."""
    check_tile_size(job.tile_size_px)
    bounds = {
        "The number of epochs must be at least 1": job.epochs >= 1,
        "The batch size must be at least 2 (batch normalisation needs two tiles)": job.batch_size
        >= 2,
        "The learning rate must be above 0 and at most 1": 0.0 < job.learning_rate <= 1.0,
        "The validation fraction must be above 0 and below 0.9": 0.0 < job.validation_fraction < 0.9
        or job.validation_aoi is not None,
        f"The task must be one of {', '.join(TASKS)}": job.task in TASKS,
    }
    for what, holds in bounds.items():
        if not holds:
            raise ParameterError(f"{what}. Change it in the dialog.")


def _check_alike(rasters: Sequence[Raster]) -> None:
    """Check that all rasters have the same bands, so that one network can take them all."""
    first = rasters[0]
    for other in rasters[1:]:
        if (other.bands, other.dtype) != (first.bands, first.dtype):
            raise RasterError(
                f"All rasters must have the same bands: {first.name} has {first.bands} of type "
                f"{first.dtype}, {other.name} has {other.bands} of type {other.dtype}. Train on "
                "rasters of one kind."
            )


def _finest_m(rasters: Sequence[Raster]) -> float | None:
    """Return the smallest pixel size on the ground; None if none is known.

    All rasters are learned from at that resolution, as `predict` will show them to the model:
    equal things have to look alike.
    """
    known = [each.grid.resolution_m for each in rasters if each.grid.resolution_m is not None]
    return min(known, default=None)


def _ground_truth(
    job: TrainJob, rasters: Sequence[Raster], control: Control, rng: np.random.Generator
) -> tuple[tuple[Category, ...], list[GroundTruth]]:
    """Return the categories and, for each raster, what is known about it, split in two."""
    layer = annotated.load(job.annotations, control)
    annotated.require_touching(layer, list(rasters))
    areas = [ground_truth.labelled_area(layer, job.aoi, raster, control) for raster in rasters]
    if not any(area.size_px for area in areas):
        raise VectorError(
            "The area of interest does not touch any of the rasters. Draw it over the annotated "
            "ground, or leave it empty."
        )
    categories = _categories_in(layer, rasters, areas)
    truths = [
        GroundTruth(raster, layer.over(raster, categories), area, area.without(area))
        for raster, area in zip(rasters, areas, strict=True)
    ]
    if job.aoi is None:
        control.warn(
            "No area of interest was given: everything inside the bounding box of the annotations "
            "that is not annotated counts as background. Draw an AOI around the ground that you "
            "annotated completely for a better model."
        )
    if job.validation_aoi is not None:
        split = ground_truth.with_validation_area(
            truths, job.validation_aoi, control, drawn=job.aoi is not None
        )
    else:
        split = ground_truth.with_chosen_validation(
            truths, job.validation_fraction, job.tile_size_px, categories, rng
        )
    split = ground_truth.apart(split)
    _tell(categories, split, control)
    return categories, split


def _categories_in(
    layer: annotated.Annotations, rasters: Sequence[Raster], areas: Sequence[Area]
) -> tuple[Category, ...]:
    """Return the categories that occur in at least one labelled area: others cannot be learned.

    Raises:
        VectorError: there is none.
    """
    names: set[str] = set()
    for raster, area in zip(rasters, areas, strict=True):
        geometries, found = layer.on(raster)
        names.update(found[shapely.area(clipped(geometries, area)) > 0.0])
    if not names:
        raise VectorError(
            f"The area of interest holds no polygon of '{layer.layer.name}'. Draw it around "
            "annotated ground, or leave it empty."
        )
    return tuple(category for category in layer.categories if category.name in names)


def _tell(
    categories: tuple[Category, ...], truths: Sequence[GroundTruth], control: Control
) -> None:
    training = sum(truth.training.size_px for truth in truths) / 1e6
    validation = sum(truth.validation.size_px for truth in truths) / 1e6
    names = listed([category.name for category in categories])
    count = "One category" if len(categories) == 1 else f"{len(categories)} categories"
    control.log(
        f"{count} ({names}). Training area {training:.2f} Mpx, validation "
        f"area {validation:.2f} Mpx."
    )
    learned: set[int] = set()
    for truth in truths:
        inside = shapely.area(clipped(truth.annotated.geometries, truth.training)) > 0.0
        learned.update(truth.annotated.classes[inside].tolist())
    unseen = [each.name for number, each in enumerate(categories, 1) if number not in learned]
    if unseen:
        control.warn(
            f"All ground of {listed(unseen)} lies in the validation area, so it cannot be "
            "learned. Annotate more of it, or draw another validation area."
        )


def _countable(
    job: TrainJob,
    truths: Sequence[GroundTruth],
    categories: tuple[Category, ...],
    control: Control,
) -> tuple[bool, ...]:
    """Return for each category whether its objects are told apart; say so, and why."""
    stuff = countability.named(job.stuff_categories, [each.name for each in categories])
    found = countability.judged(truths, categories)
    result = countability.countable(job.task, stuff, found, job.tile_size_px)
    by_annotations = countability.judges(job.task, stuff)
    for each, counted in zip(found, result, strict=True):
        kept = "objects are told apart" if counted else "connected ground is one object"
        free = by_annotations and each.category.name not in stuff
        why = each.reason(job.tile_size_px) if free else "as asked for"
        control.log(f"{each.text}: {kept} ({why}).")
        if counted and each.in_parts:
            control.warn(
                f"{each.in_parts} feature(s) of '{each.category.name}' have several parts. Each "
                "counts as one object, and none will ever be found as one: run 'Multipart to "
                "singleparts' if the parts are objects of their own."
            )
    asked = "chosen from the annotations" if by_annotations else "as asked for"
    control.log(f"Task: {task_of(result)}, {asked}.")
    return result


def _settings(job: TrainJob) -> Settings:
    return Settings(
        architecture=job.architecture,
        encoder=job.encoder,
        epochs=job.epochs,
        tile_size_px=job.tile_size_px,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        patience=job.patience,
        device=job.device,
    )


def _card(
    job: TrainJob,
    categories: tuple[Category, ...],
    truths: Sequence[GroundTruth],
    resolution_m: float | None,
    normalisation: Normalisation,
    trained: Trained,
) -> ModelCard:
    raster = truths[0].raster
    rule = trained.validation.rule
    return ModelCard(
        architecture=job.architecture,
        encoder=job.encoder,
        task="semantic",
        categories=categories,
        band_names=raster.band_names,
        dtype=raster.dtype,
        resolution_m=resolution_m,
        mean=tuple(normalisation.mean.tolist()),
        std=tuple(normalisation.std.tolist()),
        tile_size_px=job.tile_size_px,
        thresholds=trained.validation.thresholds,
        depths=rule.depths if rule else (),
        least_px=rule.least_px if rule else (),
        validation_score=trained.validation.score,
        validation_iou=trained.validation.category_iou,
        footprint=tuple(_footprint(truth) for truth in truths),
        data=tuple(_fingerprint(truth.raster) for truth in truths),
        training={
            "epochs": job.epochs,
            "batch_size": job.batch_size,
            "learning_rate": job.learning_rate,
            "patience": job.patience,
            "seed": job.seed,
            "validation_fraction": job.validation_fraction,
        },
        history=tuple(_plain(epoch) for epoch in trained.history),
        versions={"deepseg": __version__} | _versions(),
    )


def _plain(epoch: Epoch) -> dict[str, Any]:
    return {name: value for name, value in asdict(epoch).items() if name != "epochs"}


def _versions() -> dict[str, str]:
    names = ("torch", "segmentation-models-pytorch", "rasterio", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


def _footprint(truth: GroundTruth) -> dict[str, Any]:
    grid = truth.raster.grid
    shape = np.array([truth.training.geometry], dtype=object)
    return {
        "raster": truth.raster.name,
        "crs": grid.crs.to_wkt() if grid.crs else "",
        "area": json.loads(shapely.to_geojson(grid.to_crs(shape, grid.crs)[0])),
    }


def _fingerprint(raster: Raster) -> dict[str, Any]:
    """Return what tells the training data apart from other data, without a path."""
    overview = raster.overview(FINGERPRINT_PX)
    return {
        "raster": raster.name,
        "width": raster.grid.width,
        "height": raster.grid.height,
        "overview_sha256": hashlib.sha256(overview.values.tobytes()).hexdigest(),
    }


def _write_validation(path: str, truths: Sequence[GroundTruth]) -> None:
    """Write the areas that were kept from training, so that `evaluate` can take them as AOI."""
    crs = vectors.crs_for(path, truths[0].raster.grid.crs)

    def batches() -> Any:
        for truth in truths:
            if truth.validation.size_px:
                shape = np.array([truth.validation.geometry], dtype=object)
                parts = shapely.get_parts(truth.raster.grid.to_crs(shape, crs))
                yield Features(parts, {"source": [truth.raster.name] * len(parts)})

    vectors.write_features(path, batches(), {"source": pa.string()}, crs)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return an epoch with a field for each category's score and IoU."""
    scores, ious = row.pop("category_score"), row.pop("category_iou")
    return {
        **row,
        **{f"score {name}": value for name, value in scores.items()},
        **{f"iou {name}": value for name, value in ious.items()},
    }


def _write_log(path: str, history: Sequence[Epoch]) -> None:
    """Write one line per epoch, as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = [_plain(epoch) for epoch in history]
        flat = [_flat(row) for row in rows]
        writer = csv.DictWriter(file, fieldnames=list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)
