"""What a training learns from and starts with: rasters, annotations, network and data set.

`train` makes them in every one of its processes, from the job alone; `learningcurve` takes the
rasters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_sets import (
    at_model_resolution,
    model_raster,
    with_expected_bands,
)
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.learning.initial_model import INITIAL_MODEL, InitialModel
from deepseg_qgis.engine.learning.starting_network import StartingNetwork, starting_network
from deepseg_qgis.engine.learning.training_dataset import TrainingDataset, training_dataset
from deepseg_qgis.engine.learning.training_set import TrainingSet, load_training_set
from deepseg_qgis.engine.models.model_card import MOST_BANDS
from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import TrainJob


class TrainingInputs(NamedTuple):
    """``resolution_m`` is that of the rasters as they are learned from; None where not known."""

    resolution_m: float | None
    training_set: TrainingSet
    start: StartingNetwork
    dataset: TrainingDataset


def load_training_inputs(
    job: TrainJob, rasters: Sequence[Raster], control: Control
) -> TrainingInputs:
    """Return what a job trains with.

    Raises:
        DeepSegError: a raster, a layer, the initial model or weights cannot be used.
    """
    initial = InitialModel.read(job.initial_model, control) if job.initial_model else None
    if initial is not None:
        initial.check(job)
    fitted, resolution_m = at_one_resolution(rasters, initial, control)
    rng = np.random.default_rng(job.seed)
    earlier = initial.earlier_training if initial else None
    training_set = load_training_set(job, fitted, control, rng, earlier)
    start = starting_network(job, training_set, initial, control)
    return TrainingInputs(resolution_m, training_set, start, _dataset(job, start, training_set))


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
