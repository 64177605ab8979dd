"""What a training leaves on record: the card of its model, and its epochs as rows of a table."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import shapely

from deepseg_qgis import __version__
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.learning.training import Trained
from deepseg_qgis.engine.models import model_card
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.truth.countability import task_of
from deepseg_qgis.engine.truth.ground_truth import GroundTruth
from deepseg_qgis.engine.truth.lesson import Lesson
from deepseg_qgis.events import Epoch
from deepseg_qgis.jobs import TrainJob

FINGERPRINT_PX = 256


def card(job: TrainJob, lesson: Lesson, resolution_m: float | None, trained: Trained) -> ModelCard:
    """Return the card of a trained network, for rasters of ``resolution_m`` metres a pixel."""
    raster = lesson.truths[0].raster
    rule, normalisation = trained.validation.rule, trained.normalisation
    return ModelCard(
        architecture=job.architecture,
        encoder=job.encoder,
        task=task_of(lesson.countable),
        categories=lesson.categories,
        countable=lesson.countable,
        band_names=raster.band_names,
        dtype=raster.dtype,
        resolution_m=resolution_m,
        mean=tuple(normalisation.mean.tolist()),
        std=tuple(normalisation.std.tolist()),
        tile_size_px=job.tile_size_px,
        thresholds=trained.validation.thresholds,
        depths=rule.depths if rule else (),
        least_px=rule.least_px if rule else (),
        smoothing_px=trained.smoothing_px,
        validation_score=trained.validation.score,
        validation_iou=trained.validation.category_iou,
        footprint=tuple(_footprint(truth) for truth in lesson.truths),
        data=tuple(_fingerprint(truth.raster) for truth in lesson.truths),
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
        band_info=tuple(model_card.band_info(band) for band in raster.kind.bands),
    )


def row(epoch: Epoch) -> dict[str, Any]:
    """Return an epoch as a row of a table, with a field for each category's score and IoU."""
    fields = _plain(epoch)
    scores, ious = fields.pop("category_score"), fields.pop("category_iou")
    return {
        **fields,
        **{f"score {name}": value for name, value in scores.items()},
        **{f"iou {name}": value for name, value in ious.items()},
    }


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
