"""The verb ``train``: from annotations to a model file, a report and the areas kept from it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

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
    open_rasters,
)
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.inference.windows import check_tile_size
from deepseg_qgis.engine.learning import record
from deepseg_qgis.engine.learning.allocator import keep_freed_memory
from deepseg_qgis.engine.learning.annotation_gaps import warn_of_gaps
from deepseg_qgis.engine.learning.checkpoint import Checkpoint
from deepseg_qgis.engine.learning.process_group import ProcessGroup
from deepseg_qgis.engine.learning.record import Record
from deepseg_qgis.engine.learning.saved_training import SavedTraining
from deepseg_qgis.engine.learning.several_processes import following, leading
from deepseg_qgis.engine.learning.starting_network import StartingNetwork
from deepseg_qgis.engine.learning.trained_network import TrainedNetwork
from deepseg_qgis.engine.learning.trainer import Trainer, TrainingSettings
from deepseg_qgis.engine.learning.training import Training
from deepseg_qgis.engine.learning.training_fingerprint import fingerprint
from deepseg_qgis.engine.learning.training_inputs import load_training_inputs
from deepseg_qgis.engine.learning.training_set import TrainingSet
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.reports import training_report
from deepseg_qgis.errors import ParameterError
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
        reports = _Reports.of(outputs, job, rasters, control)
        inputs = load_training_inputs(job, rasters, control)
        start, training_set = inputs.start, inputs.training_set
        model_record = Record.of(job, training_set, inputs.resolution_m, start, control)
        checkpoint = Checkpoint(outputs, job.output, model_record, control)
        if tracked is not None:
            tracked.start()
            control = control.telling(tracked.hear)
        name = fingerprint(job, training_set, start.network) if job.resume else None
        settings = _settings(job, start, processes)
        training = Training(start, settings, training_set, inputs.dataset, checkpoint, control)
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
    with following() as (processes, job), open_rasters(job.rasters, control) as rasters:
        inputs = load_training_inputs(job, rasters, control)
        start, dataset = inputs.start, inputs.dataset
        settings = _settings(job, start, processes)
        normalisation = start.normalisation or dataset.normalisation()
        keep_freed_memory()
        Trainer(start.network, dataset, normalisation, settings, control).follow(processes)


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


def _write_log(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line per epoch, as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    kinds = {bool: pa.string(), int: pa.int64()}
    tables.write_csv_types(path, [kinds.get(type(each), pa.float64()) for each in rows[0].values()])
