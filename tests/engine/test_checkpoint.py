"""A training's model is on the disk from the first epoch on, and nothing takes it away."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from example_jobs import KilledError, train_job

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning.checkpoint import Checkpoint
from deepseg_qgis.engine.models import weights
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ModelError, OutputError
from deepseg_qgis.events import Epoch, Log, Progress


class Heard(Control):
    """A control that does something at each event."""

    def __init__(self, then):
        self.events = []

        def emit(event):
            self.events.append(event)
            then(self, event)

        super().__init__(emit)

    @property
    def warnings(self):
        return [
            each.text for each in self.events if isinstance(each, Log) and each.level == "warning"
        ]


def kill_in_epoch(number):
    """Return what ends a training when an epoch is over, before its model is saved."""

    def then(_control, event):
        if isinstance(event, Epoch) and event.epoch == number:
            raise KilledError

    return then


@pytest.fixture
def job(discs, tmp_path, short_epochs):
    """Return the job of a training of two epochs of a few steps."""
    raster, layer = discs
    (tmp_path / "out").mkdir()
    changes = {"epochs": 2, "task": "semantic", "output_html": None}
    return train_job(raster, layer, tmp_path / "out", **changes)


def killed(job, number=2):
    control = Heard(kill_in_epoch(number))
    with pytest.raises(KilledError):
        train.run(job, control)
    assert len(control.warnings) - 1 == (number > 1), "one is about the missing AOI"


def names(job):
    return sorted(os.listdir(Path(job.output).parent))


def test_a_killed_training_leaves_the_model_of_the_epoch_before(job):
    killed(job, 1)
    assert names(job) == []
    killed(job)
    assert names(job) == ["model.safetensors"]
    assert [epoch["epoch"] for epoch in weights.load(job.output).card.history] == [1]


def test_a_training_of_which_no_model_so_far_was_saved_replaces_the_older_one(job, monkeypatch):
    Path(job.output).write_text("a good old model")
    monkeypatch.setattr(Checkpoint, "save", lambda *_: None)
    train.run(job, Heard(lambda *_: None))
    assert names(job) == ["model.safetensors"]
    assert weights.load(job.output).card.history


def test_an_older_model_is_replaced_by_a_finished_training_alone(job):
    Path(job.output).write_text("a good old model")
    killed(job)
    killed(job)
    assert Path(job.output).read_text() == "a good old model"
    left = ["model.unfinished-2.safetensors", "model.unfinished.safetensors"]
    assert names(job) == ["model.safetensors", *left]
    for name in left:
        weights.load(str(Path(job.output).with_name(name)))
    control = Heard(lambda _control, _event: None)
    train.run(job, control)
    assert names(job) == ["model.safetensors", *left], "those of other runs stay"
    assert len(weights.load(job.output).card.history) == 2
    said = [each.text for each in control.events if isinstance(each, Log)]
    assert any("model.unfinished-3.safetensors" in text for text in said)


def test_an_error_after_the_last_epoch_takes_nothing_away(job, tmp_path):
    def spoil(_control, event):
        if isinstance(event, Progress) and "report" in event.text:
            raise OSError(28, "No space left on device")

    wanted = replace(job, output_html=str(tmp_path / "out" / "report.html"))
    control = Heard(spoil)
    with pytest.raises(OutputError, match=r"model\.safetensors"):
        train.run(wanted, control)
    assert names(job) == ["model.safetensors"]
    assert len(weights.load(job.output).card.history) == 2


def test_stop_in_the_first_epoch_saves_the_model_before_its_validation(job):
    there = []

    def stop(control, event):
        if isinstance(event, Progress) and event.text.startswith("Validation"):
            there.append(weights.load(job.output).card.validation_score)
        if isinstance(event, Progress) and event.text.startswith("Epoch 1"):
            control.stop()

    result = train.run(job, Heard(stop))
    assert there, "the validation gives signs of life"
    assert set(there) == {None}
    assert weights.load(job.output).card.validation_score == result["validation_score"]


def test_after_stop_the_report_gives_signs_of_life(job, tmp_path):
    def stop(control, event):
        if isinstance(event, Epoch):
            control.stop()

    html = tmp_path / "out" / "report.html"
    control = Heard(stop)
    train.run(replace(job, output_html=str(html)), control)
    texts = [each.text for each in control.events if isinstance(each, Progress)]
    assert any("report" in text and "tile" in text for text in texts)
    assert html.exists()


def test_a_model_that_could_not_be_opened_is_refused_before_the_first_epoch(discs, make_layer, job):
    """A model's description has a bound, and 250 names of 990 signs of 4 bytes are beyond it."""
    raster, _ = discs
    edges = 500_000 + 0.32 * np.arange(251)
    shapes = shapely.box(edges[:-1], 5_499_920, edges[1:], 5_500_000)
    layer = make_layer(shapes, [f"{number:03}" + "🌲" * 990 for number in range(250)], name="names")
    control = Heard(lambda _control, _event: None)
    with pytest.raises(ModelError, match="shorter names"):
        train.run(replace(job, rasters=(raster,), annotations=layer, task="semantic"), control)
    assert not any(isinstance(each, Epoch) for each in control.events)
    assert names(job) == []
