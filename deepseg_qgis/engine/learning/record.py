"""What a training leaves on record: the card of its model, and its epochs as rows of a table."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from deepseg_qgis import __version__
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.learning.footprint import footprint, validation_footprint
from deepseg_qgis.engine.learning.starting_network import StartingNetwork
from deepseg_qgis.engine.learning.trained_network import TrainedNetwork
from deepseg_qgis.engine.learning.training_set import TrainingSet
from deepseg_qgis.engine.legend.legend import task_of
from deepseg_qgis.engine.models import model_card
from deepseg_qgis.engine.models.model_card import ModelCard, json_bytes
from deepseg_qgis.events import Epoch
from deepseg_qgis.jobs import TrainJob

FINGERPRINT_PX = 256
MOST_DATA_BYTES = 60_000
MOST_HISTORY_BYTES = 200_000
SHORTEST_HISTORY = 16
"""Epochs, before each category's scores are left out."""
MOST_CARD_BYTES = 700_000
"""The rest of a model file's header, `LARGEST_HEADER_BYTES`, is for the list of its tensors."""


@dataclass(frozen=True)
class Record:
    """What is known of a training before its first epoch.

    ``resolution_m`` is the metres a pixel that all rasters are learned from at; ``start`` is
    what training starts from.
    """

    job: TrainJob
    training_set: TrainingSet
    resolution_m: float | None
    start: StartingNetwork
    footprint: tuple[Mapping[str, Any], ...]
    validation_footprint: tuple[Mapping[str, Any], ...]
    data: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(
        cls,
        job: TrainJob,
        training_set: TrainingSet,
        resolution_m: float | None,
        start: StartingNetwork,
        control: Control,
    ) -> Record:
        """Return the record of a training; an overview of every raster is read for it.

        Raises:
            Stopped: the user asked to.
        """
        earlier = start.earlier
        return cls(
            job,
            training_set,
            resolution_m,
            start,
            footprint(training_set.labelled_rasters, earlier.trained),
            validation_footprint(training_set.labelled_rasters, earlier.validated),
            _data([labelled.raster for labelled in training_set.labelled_rasters], control),
        )

    def card(self, trained: TrainedNetwork) -> ModelCard:
        """Return the card of a network; it fits into a model file whatever its history."""
        job, training_set = self.job, self.training_set
        design = self.start.design
        raster = training_set.labelled_rasters[0].raster
        rule, normalisation = trained.validation.instance_rule, trained.normalisation
        card = ModelCard(
            architecture=design.architecture,
            encoder=design.encoder,
            decoder_channels=design.decoder_channels,
            magnification=design.magnification,
            task=task_of(training_set.countable),
            categories=training_set.categories,
            countable=training_set.countable,
            band_names=raster.band_names,
            dtype=raster.dtype,
            resolution_m=self.resolution_m,
            mean=tuple(normalisation.mean.tolist()),
            std=tuple(normalisation.std.tolist()),
            tile_size_px=job.tile_size_px,
            thresholds=trained.validation.thresholds,
            depths=rule.depths if rule else (),
            least_px=rule.least_px if rule else training_set.least_px,
            smoothing_px=trained.smoothing_px,
            validation_score=trained.validation.score,
            validation_iou=trained.validation.category_iou,
            footprint=self.footprint,
            validation_footprint=self.validation_footprint,
            data=self.data,
            training={
                "epochs": job.epochs,
                "batch_size": job.batch_size,
                "learning_rate": job.learning_rate,
                "patience": job.patience,
                "seed": job.seed,
                "validation_fraction": job.validation_fraction,
                "class_weighting": job.class_weighting,
                **training_set.amount,
                **self.start.facts,
            },
            versions={"deepseg": __version__} | _versions(),
            band_info=tuple(model_card.band_info(band) for band in raster.kind.bands),
        )
        room = min(MOST_HISTORY_BYTES, MOST_CARD_BYTES - json_bytes(asdict(card)))
        epochs = [_without_times(each) for each in trained.history]
        return replace(card, history=history(epochs, room))


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
    left_out = ("epochs", "picture", "seconds_left")
    return {name: value for name, value in asdict(epoch).items() if name not in left_out}


def _without_times(epoch: Epoch) -> dict[str, Any]:
    """Return what a card keeps: the same training gives the same file, however long it takes."""
    return {name: value for name, value in _plain(epoch).items() if name != "seconds"}


def _versions() -> dict[str, str]:
    names = ("torch", "segmentation-models-pytorch", "rasterio", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


def history(epochs: Sequence[dict[str, Any]], most_bytes: int) -> tuple[dict[str, Any], ...]:
    """Return as many of the epochs as fit: the last one, the last one that was kept, and others.

    The others lie evenly over all. Where not even these fit, they do without each category's
    scores, of which many categories with long names have much.
    """
    if not epochs or json_bytes(epochs) <= most_bytes:
        return tuple(epochs)
    largest = max(json_bytes(epoch) for epoch in epochs)
    fit = most_bytes // largest
    if fit < SHORTEST_HISTORY:
        short = [{**epoch, "category_score": {}, "category_iou": {}} for epoch in epochs]
        if epochs[0]["category_score"]:
            return history(short, most_bytes)
        return ()
    kept = [number for number, epoch in enumerate(epochs) if epoch["kept"]][-1:]
    evenly = np.linspace(0, len(epochs) - 1, fit - len(kept)).round().astype(int).tolist()
    return tuple(epochs[number] for number in sorted({*kept, *evenly}))


def _data(rasters: Sequence[Raster], control: Control) -> tuple[Mapping[str, Any], ...]:
    """Return what tells the training data apart from other data, without a path.

    Of so many rasters that each one would take too much room they are one entry together.
    """
    entries = []
    for number, raster in enumerate(rasters):
        control.check()
        control.progress(0.0, f"Reading an overview of raster {number + 1} of {len(rasters)}")
        entries.append(_fingerprint(raster))
    if json_bytes(entries) <= MOST_DATA_BYTES:
        return tuple(entries)
    together = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
    return ({"raster": f"{len(entries)} rasters", "overview_sha256": together},)


def _fingerprint(raster: Raster) -> dict[str, Any]:
    overview = raster.overview(FINGERPRINT_PX)
    return {
        "raster": raster.name,
        "width": raster.grid.width,
        "height": raster.grid.height,
        "overview_sha256": hashlib.sha256(overview.values.tobytes()).hexdigest(),
    }
