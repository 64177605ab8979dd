"""The verb ``train``: from annotations to a model file, a report and the areas kept from it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyproj

from deepseg_qgis import bounds
from deepseg_qgis.choices import CLASS_WEIGHTINGS, MODEL_SIZES, TASKS
from deepseg_qgis.engine.annotations.area_layers import write_areas
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.experiments.tracking import check_tracking_uri, tracked_run
from deepseg_qgis.engine.files import tables
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import (
    at_model_resolution,
    model_raster,
    open_rasters,
    with_expected_bands,
)
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.inference.windows import check_tile_size
from deepseg_qgis.engine.learning import record
from deepseg_qgis.engine.learning.allocator import keep_freed_memory
from deepseg_qgis.engine.learning.annotation_gaps import warn_of_gaps
from deepseg_qgis.engine.learning.checkpoint import Checkpoint
from deepseg_qgis.engine.learning.initial_model import INITIAL_MODEL, InitialModel
from deepseg_qgis.engine.learning.process_group import ProcessGroup
from deepseg_qgis.engine.learning.record import Record
from deepseg_qgis.engine.learning.saved_training import SavedTraining
from deepseg_qgis.engine.learning.several_processes import following, leading
from deepseg_qgis.engine.learning.starting_network import StartingNetwork, starting_network
from deepseg_qgis.engine.learning.trained_network import TrainedNetwork
from deepseg_qgis.engine.learning.trainer import Trainer, TrainingSettings
from deepseg_qgis.engine.learning.training import Training
from deepseg_qgis.engine.learning.training_dataset import TrainingDataset, training_dataset
from deepseg_qgis.engine.learning.training_fingerprint import fingerprint
from deepseg_qgis.engine.learning.training_set import TrainingSet, load_training_set
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.models.model_card import MOST_BANDS
from deepseg_qgis.engine.reports import training_report
from deepseg_qgis.errors import ParameterError, RasterError
from deepseg_qgis.jobs import TrainingJob, TrainJob


def run(job: TrainJob, control: Control) -> dict[str, Any]:
    """Train a model; return its outputs, ``validation_score`` and ``epochs_run``.

    The model is on the disk after each epoch that is kept, and stays whatever comes later.

    Raises:
        DeepSegError: a parameter, raster or layer cannot be used; nothing is written then. Or
            training or a report failed; the log says where the model is.
    """
    check(job)
    check_tracking_uri(job.tracking_uri)
    with (
        leading(job) as processes,
        tracked_run(job, control) as tracked,
        Outputs(control, job) as outputs,
        open_rasters(job.rasters, control) as rasters,
    ):
        outputs.path(job.output)
        initial = InitialModel.read(job.initial_model, control) if job.initial_model else None
        if initial is not None:
            initial.check(job)
        rasters, resolution_m = at_one_resolution(rasters, initial, control)
        reports = _Reports.of(outputs, job, rasters, control)
        rng = np.random.default_rng(job.seed)
        earlier = initial.earlier_training if initial else None
        training_set = load_training_set(job, rasters, control, rng, earlier)
        start = starting_network(job, training_set, initial, control)
        model_record = Record.of(job, training_set, resolution_m, start, control)
        checkpoint = Checkpoint(outputs, job.output, model_record, control)
        if tracked is not None:
            tracked.start()
            control = control.telling(tracked.hear)
        name = fingerprint(job, training_set, start.network) if job.resume else None
        settings, dataset = _settings(job, start, processes), _dataset(job, start, training_set)
        training = Training(start, settings, training_set, dataset, checkpoint, control)
        with SavedTraining(name, control) as saved:
            trained = _train(training, checkpoint, saved)
            if job.aoi is None:
                warn_of_gaps(trained.validation.open_shares, training_set, control)
            reports.write(outputs, job, training_set, trained, control)
            if not control.stopped:
                saved.delete()
    return {
        "output": job.output,
        "output_validation": job.output_validation,
        "output_html": job.output_html,
        "output_log": job.output_log,
        "validation_score": trained.validation.score,
        "epochs_run": len(trained.history),
        "categories": [asdict(category) for category in training_set.categories],
    }


class _Reports(NamedTuple):
    """Where what comes beside the model is written, or None, and the CRS of the areas."""

    validation: str | None
    validation_crs: pyproj.CRS | None
    html: str | None
    log: str | None

    @classmethod
    def of(
        cls, outputs: Outputs, job: TrainJob, rasters: Sequence[Raster], control: Control
    ) -> _Reports:
        validation, crs = outputs.optional(job.output_validation), None
        if validation:
            grids = [(raster.name, raster.grid) for raster in rasters]
            crs = output_crs(validation, grids, control)
        return cls(
            validation, crs, outputs.optional(job.output_html), outputs.optional(job.output_log)
        )

    def write(
        self,
        outputs: Outputs,
        job: TrainJob,
        training_set: TrainingSet,
        trained: TrainedNetwork,
        control: Control,
    ) -> None:
        """Write what was asked for; one that fails takes none of the others away."""
        with outputs.saving(job.output_validation):
            if self.validation:
                kept = [(each.raster, each.validation) for each in training_set.labelled_rasters]
                write_areas(self.validation, self.validation_crs, kept)
        with outputs.saving(job.output_log):
            if self.log:
                _write_log(self.log, [record.row(epoch) for epoch in trained.history])
        with outputs.saving(job.output_html):
            if self.html:
                model = model_file.read(job.output)
                training_report.write(self.html, model, training_set.labelled_rasters, control)


def at_one_resolution(
    rasters: Sequence[Raster], initial: InitialModel | None, control: Control
) -> tuple[list[Raster], float | None]:
    """Return the rasters with the bands of the first, as they are learned from, and the resolution.

    In metres a pixel; None where that is not known. Both are those of the initial model, if any.

    Raises:
        RasterError: they cannot be learned from together.
    """
    if initial is not None:
        fitted = with_expected_bands(rasters, initial.card.kind, INITIAL_MODEL, control)
        resolution_m = initial.card.resolution_m
        return at_model_resolution(fitted, resolution_m, False, control), resolution_m
    first = model_raster(rasters)
    alike = with_expected_bands(rasters, first.kind, f"Training on {first.name}", control)
    _check_bands(first)
    resolution_m = _finest_m(alike)
    return at_model_resolution(alike, resolution_m, False, control), resolution_m


def _train(training: Training, checkpoint: Checkpoint, saved: SavedTraining) -> TrainedNetwork:
    """Train, and put the model at its destination; after an error say where the last one is."""
    try:
        trained = training.run(saved)
    except Exception:
        checkpoint.warn_of_error()
        raise
    checkpoint.finish(trained)
    return trained


def follow(control: Control) -> None:
    """Train as one of several processes, with the first one, which validates and writes.

    Raises:
        DeepSegError: something cannot be used here, or another process failed.
    """
    with following() as (processes, job), open_rasters(job.rasters, control) as given:
        initial = InitialModel.read(job.initial_model, control) if job.initial_model else None
        rasters, _ = at_one_resolution(given, initial, control)
        earlier = initial.earlier_training if initial else None
        rng = np.random.default_rng(job.seed)
        training_set = load_training_set(job, rasters, control, rng, earlier)
        start = starting_network(job, training_set, initial, control)
        settings = _settings(job, start, processes)
        dataset = _dataset(job, start, training_set)
        normalisation = start.normalisation or dataset.normalisation()
        keep_freed_memory()
        Trainer(start.network, dataset, normalisation, settings, control).follow(processes)


def _dataset(job: TrainJob, start: StartingNetwork, training_set: TrainingSet) -> TrainingDataset:
    dataset = training_dataset(
        training_set.labelled_rasters,
        training_set.countable,
        job.tile_size_px,
        job.batch_size,
        job.seed,
        start.design.magnification,
    )
    return dataset.weighted() if job.class_weighting == "auto" else dataset


def check(job: TrainingJob) -> None:
    """Check what can be checked before any file is opened.

    Raises:
        ParameterError: a parameter is out of bounds.
    """
    check_tile_size(job.tile_size_px)
    largest_px = bounds.TILE_SIZE_PX.most
    checks = {
        f"The tile size must be at most {largest_px} px": job.tile_size_px <= largest_px,
        "The number of epochs must be at least 1": job.epochs in bounds.EPOCHS,
        "The maximum time must be at least 0.1 minutes": job.max_minutes is None
        or job.max_minutes in bounds.MINUTES,
        "The batch size must be at least 2 (batch normalisation needs two tiles)": job.batch_size
        in bounds.TRAINING_BATCH_SIZE,
        "The learning rate must be from 0.00000001 to 1": job.learning_rate in bounds.LEARNING_RATE,
        "The validation fraction must be from 0.01 to 0.89": job.validation_aoi is not None
        or job.validation_fraction in bounds.VALIDATION_FRACTION,
        f"The task must be one of {', '.join(TASKS)}": job.task in TASKS,
        f"The class weighting must be one of {', '.join(CLASS_WEIGHTINGS)}": job.class_weighting
        in CLASS_WEIGHTINGS,
        f"The model size must be one of {', '.join(MODEL_SIZES)}": job.model_size in MODEL_SIZES,
    }
    for what, holds in checks.items():
        if not holds:
            raise ParameterError(f"{what}. Change it in the dialog.")


def _settings(job: TrainJob, start: StartingNetwork, processes: ProcessGroup) -> TrainingSettings:
    return TrainingSettings(
        design=start.design,
        epochs=job.epochs,
        tile_size_px=job.tile_size_px,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate * start.rate_share,
        patience=job.patience,
        max_minutes=job.max_minutes,
        device=job.device,
        processes=processes,
    )


def _check_bands(raster: Raster) -> None:
    """Check that a model file can describe all bands."""
    if raster.bands > MOST_BANDS:
        raise RasterError(
            f"{raster.name} has {raster.bands:,} bands; DeepSeg trains on up to {MOST_BANDS:,}. "
            "Write the bands you need to a file of their own with 'Rearrange bands'."
        )


def _finest_m(rasters: Sequence[Raster]) -> float | None:
    """Return the smallest pixel size on the ground; None if none is known.

    All rasters are learned from at that resolution, as `predict` will show them to the model:
    equal things have to look alike.
    """
    known = [each.grid.resolution_m for each in rasters if each.grid.resolution_m is not None]
    return min(known, default=None)


def _write_log(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line per epoch, as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    kinds = {bool: pa.string(), int: pa.int64()}
    tables.write_csv_types(path, [kinds.get(type(each), pa.float64()) for each in rows[0].values()])
