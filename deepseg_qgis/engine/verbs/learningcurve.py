"""The verb ``learningcurve``: what more annotations would bring."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyproj

from deepseg_qgis.bounds import SUBSETS
from deepseg_qgis.choices import AUTO
from deepseg_qgis.engine.annotations.area_layers import area_source
from deepseg_qgis.engine.backends.model_source import UnconvertedSource
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating import place_counts
from deepseg_qgis.engine.evaluating.model_evaluation import ModelEvaluation
from deepseg_qgis.engine.evaluating.place_counts import PlaceCounts
from deepseg_qgis.engine.evaluating.reference import read_reference
from deepseg_qgis.engine.files import tables
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.learning.nested_subsets import Subset, nested_subsets
from deepseg_qgis.engine.learning.training_inputs import at_one_resolution
from deepseg_qgis.engine.learning.training_set import TrainingSet, load_training_set
from deepseg_qgis.engine.legend.legend import task_of
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.reports import learning_curve_report
from deepseg_qgis.engine.scoring.learning_curve import LearningCurve, learning_curve
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ParameterError, VectorError, counted
from deepseg_qgis.events import Epoch
from deepseg_qgis.jobs import LearningCurveJob, TrainingJob, TrainJob, VectorSource

FIRST_SHARE = 0.5
"""Of the epochs go to the smallest subset; the others go on from it and share the rest."""
FEWEST_SUBSETS = 3
"""Two points make no curve."""
PLACES = 24
"""The validation ground is seen as about so many places, whose differences tell what is chance."""
IOU_THRESHOLD = 0.5
FIELDS = {
    "kind": pa.string(),
    "polygons": pa.int64(),
    "measure": pa.string(),
    "score": pa.float64(),
    "low": pa.float64(),
    "high": pa.float64(),
}


class _Ground(NamedTuple):
    """What all trainings share: rasters, what is annotated on them, and the validation layer."""

    rasters: Sequence[Raster]
    training_set: TrainingSet
    validation: VectorSource
    crs: pyproj.CRS | None

    @property
    def is_f1(self) -> bool:
        """Whether objects are counted; else pixels are."""
        return any(self.training_set.countable)

    @property
    def names(self) -> list[str]:
        """The categories that the score is taken of."""
        pairs = zip(self.training_set.categories, self.training_set.countable, strict=True)
        return [each.name for each, counts in pairs if counts or not self.is_f1]

    @property
    def place_px(self) -> int:
        """The side of a place of the validation ground."""
        size = sum(each.validation.size_px for each in self.training_set.labelled_rasters)
        return max(round(math.sqrt(size / PLACES)), 1)


@dataclass(frozen=True)
class _Step:
    """One training of the curve: on which areas, for how long, from which model on."""

    subset: Subset
    epochs: int
    initial_model: str | None
    output: str


def run(job: LearningCurveJob, control: Control) -> dict[str, Any]:
    """Train on growing subsets; return the outputs and ``expected_gain``.

    Raises:
        DeepSegError: something cannot be used, there is too little to divide, or the user stopped;
            nothing is written then.
    """
    train.check(job)
    if job.subsets not in SUBSETS:
        raise ParameterError(
            f"Expected {SUBSETS.least} to {SUBSETS.most} subsets, got {job.subsets}."
        )
    with (
        Outputs(control, job) as outputs,
        open_rasters(job.rasters, control) as given,
        tempfile.TemporaryDirectory(prefix="deepseg-curve-") as folder,
    ):
        path, html = outputs.path(job.output), outputs.optional(job.output_html)
        rasters, _ = at_one_resolution(given, None, control)
        rng = np.random.default_rng(job.seed)
        training_set = load_training_set(job, rasters, control, rng)
        ground = _ground(training_set, rasters, Path(folder))
        subsets = _subsets(job, training_set, rng)
        curve = _curve(job, ground, subsets, Path(folder), control)
        control.log(sentence := learning_curve_report.sentence(curve))
        _write_table(path, curve)
        outputs.place(job.output)
        if html:
            learning_curve_report.write(html, curve, sentence, job.annotations.name)
    return {
        "output": job.output,
        "output_html": job.output_html,
        "expected_gain": curve.gain.value,
    }


def _ground(training_set: TrainingSet, rasters: Sequence[Raster], folder: Path) -> _Ground:
    """Return what all trainings share; the validation areas are written as a layer."""
    crs = rasters[0].grid.crs
    areas = [(each.raster, each.validation) for each in training_set.labelled_rasters]
    layer = area_source(str(folder / "validation.gpkg"), crs, areas, "validation areas")
    return _Ground(rasters, training_set, layer, crs)


def _subsets(
    job: LearningCurveJob, training_set: TrainingSet, rng: np.random.Generator
) -> list[Subset]:
    """Return the growing parts of the training ground.

    Raises:
        VectorError: there are too few polygons for a curve.
    """
    subsets = nested_subsets(
        training_set.labelled_rasters,
        job.subsets,
        job.tile_size_px,
        len(training_set.categories),
        rng,
    )
    if len(subsets) < FEWEST_SUBSETS:
        polygons = counted(subsets[-1].polygons, "polygon")
        raise VectorError(
            f"The training ground holds {polygons}, which is too little to be divided. Annotate "
            "some tens of polygons, in different places, and run it again."
        )
    return subsets


def _curve(
    job: LearningCurveJob,
    ground: _Ground,
    subsets: Sequence[Subset],
    folder: Path,
    control: Control,
) -> LearningCurve:
    """Train on one subset after the other, each from the model of the one before, and compare."""
    counts: list[PlaceCounts] = []
    model: str | None = None
    epochs = [_epochs(job.epochs, number, len(subsets)) for number in range(len(subsets))]
    for number, subset in enumerate(subsets):
        done = sum(epochs[:number])
        part = control.part(done / sum(epochs), (done + epochs[number]) / sum(epochs))
        control.log(f"Subset {number + 1} of {len(subsets)}: {counted(subset.polygons, 'polygon')}")
        output = str(folder / f"{number}.safetensors")
        step = _Step(subset, epochs[number], model, output)
        train.run(_training(job, ground, step), _Quiet(part))
        control.check()
        counts.append(_counts(job, ground, output, _Quiet(part.part(1.0, 1.0))))
        model = output
    return learning_curve(
        [subset.polygons for subset in subsets],
        place_counts.aligned(counts, len(ground.names)),
        _validation_objects(ground),
        ground.is_f1,
        np.random.default_rng(job.seed),
    )


def _epochs(epochs: int, number: int, count: int) -> int:
    """Return how many epochs a subset gets; all together have about as many as one model."""
    share = FIRST_SHARE if number == 0 else (1.0 - FIRST_SHARE) / (count - 1)
    return max(round(share * epochs), 1)


def _training(job: LearningCurveJob, ground: _Ground, step: _Step) -> TrainJob:
    """Return the job that trains a model on a subset, for the task that all of the ground gives."""
    given = {each.name: getattr(job, each.name) for each in fields(TrainingJob)}
    training_set = ground.training_set
    areas = list(zip(ground.rasters, step.subset.areas, strict=True))
    layer = area_source(f"{step.output}.gpkg", ground.crs, areas, "subset")
    pairs = zip(training_set.categories, training_set.countable, strict=True)
    stuff = tuple(each.name for each, counts in pairs if not counts)
    task = task_of(training_set.countable)
    given |= {
        "aoi": layer,
        "validation_aoi": ground.validation,
        "task": task,
        "stuff_categories": () if task == "semantic" else stuff,
        "epochs": step.epochs,
    }
    if step.initial_model is not None:  # its network stays
        given |= {"architecture": None, "encoder": None, "encoder_weights": "auto"}
    return TrainJob(
        **given,
        initial_model=step.initial_model,
        resume=False,
        tracking_uri=None,
        output=step.output,
        output_validation=None,
        output_html=None,
        output_log=None,
    )


def _counts(job: LearningCurveJob, ground: _Ground, path: str, control: Control) -> PlaceCounts:
    """Return what a model does right and wrong on the validation ground, place by place."""
    model = model_file.read(path)
    known = model.card.categories
    rasters = ground.rasters
    reference = read_reference(job.annotations, ground.validation, known, rasters, control)
    evaluation = ModelEvaluation(model, rasters, reference, IOU_THRESHOLD)
    source = UnconvertedSource(model, job.device, AUTO, None, control)
    predictor = Predictor(model.card.legend, source, control)
    names = [category.name for category in reference.categories]
    numbers = [names.index(name) if name in names else len(names) for name in ground.names]
    counts: dict[place_counts.Place, Any] = {}
    for number in range(len(rasters)):
        compared = evaluation.add(predictor, number, control)
        if compared is None:
            continue
        counts |= (
            place_counts.object_counts(evaluation.matches[-1], numbers, number, ground.place_px)
            if ground.is_f1
            else place_counts.pixel_counts(compared, numbers, number, ground.place_px)
        )
    return counts


def _validation_objects(ground: _Ground) -> int:
    """Return how many annotated objects lie on the validation ground."""
    return sum(int(each.in_validation.sum()) for each in ground.training_set.labelled_rasters)


def _write_table(path: str, curve: LearningCurve) -> None:
    """Write a row for each training, and one for what twice as many polygons would give."""
    rows = [("measured", n, each) for n, each in zip(curve.annotations, curve.scores, strict=True)]
    rows.append(("expected", 2 * curve.annotations[-1], curve.expected))
    measure = learning_curve_report.measure(curve)
    columns: dict[str, Sequence[object]] = {
        "kind": [kind for kind, _, _ in rows],
        "polygons": [number for _, number, _ in rows],
        "measure": [measure] * len(rows),
        "score": [each.value for _, _, each in rows],
        "low": [each.low for _, _, each in rows],
        "high": [each.high for _, _, each in rows],
    }
    tables.write_table(path, columns, FIELDS)


class _Quiet(Control):
    """Hands progress, epochs and the wish to stop through, and keeps the log to itself."""

    def __init__(self, whole: Control) -> None:
        super().__init__()
        self._whole = whole

    @property
    def stopped(self) -> bool:
        return self._whole.stopped

    def progress(self, fraction: float, text: str = "", seconds_left: float | None = None) -> None:
        self._whole.progress(fraction, text, seconds_left)

    def epoch(self, epoch: Epoch) -> None:
        self._whole.epoch(epoch)

    def when_abandoned(self, clean_up: Callable[[], None]) -> None:
        self._whole.when_abandoned(clean_up)
