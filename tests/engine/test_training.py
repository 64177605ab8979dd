"""A training from its first to its last epoch."""

from dataclasses import replace

import numpy as np
import pytest
from example_jobs import Watched, train_job

from deepseg_qgis.engine.learning.pace import Pace
from deepseg_qgis.engine.learning.timetable import Timetable
from deepseg_qgis.engine.learning.trainer import Trainer
from deepseg_qgis.engine.learning.training import Training
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ParameterError


@pytest.fixture
def job(discs, tmp_path, short_epochs):
    """Return the job of a training of three epochs of a few steps."""
    raster, layer = discs
    (tmp_path / "out").mkdir()
    changes = {"epochs": 3, "task": "semantic", "output_html": None, "tile_size_px": 32}
    return train_job(raster, layer, tmp_path / "out", **changes)


@pytest.fixture
def rates(monkeypatch):
    """Return a function: which calls of an epoch diverge → the learning rate of each call."""

    def diverge(calls):
        seen, plain = [], Trainer.train_epoch

        def train_epoch(self, epoch, on_step):
            seen.append((epoch, self.rate_share))
            loss = plain(self, epoch, on_step)
            if len(seen) in calls:
                for each in self.network.parameters():
                    each.data.fill_(np.nan)
                return np.inf
            return loss

        monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
        return seen

    return diverge


def test_an_epoch_that_diverged_is_repeated_at_half_the_learning_rate(job, rates):
    seen = rates({1, 3})
    control = Watched()
    assert train.run(job, control)["epochs_run"] == 3
    assert seen == [(0, 1.0), (0, 0.5), (1, 0.5), (1, 0.25), (2, 0.25)]
    said = [text for text in control.texts if text.startswith("Training diverged")]
    assert len(said) == 2
    assert "in epoch 1. DeepSeg repeats this epoch" in said[0]
    assert "0.003" in said[0]
    assert all(np.isfinite(each["train_loss"]) for each in model_file.read(job.output).card.history)


def test_a_training_that_diverges_again_and_again_keeps_the_model_from_before(job, rates):
    rates({2, 3, 4, 5})
    control = Watched()
    assert train.run(job, control)["epochs_run"] == 1
    assert "The model from before is kept." in control.texts[-1]


def test_nothing_is_kept_of_a_training_that_diverges_from_the_start(job, rates):
    rates(range(9))
    with pytest.raises(ParameterError, match="diverged in epoch 1, even with a learning rate of 0"):
        train.run(job, Watched())


def rates_of(job, control):
    """Return the learning rate of each step of a training, and its result."""
    found, plain = [], Trainer._train_step

    def step(self, *batch):
        found.append(self.learning_rate)
        return plain(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_step", step)
        result = train.run(job, control)
    return np.array(found) / job.learning_rate, result


def test_when_the_minutes_are_nearly_over_the_rate_falls_and_training_ends(job, monkeypatch):
    """Here 16 steps fit into the time, whatever the clock says."""
    seen, plain = [], Timetable.in_time

    def in_time(self, schedule, step):
        seen.append(step)
        return plain(self, schedule, step)

    monkeypatch.setattr(Timetable, "in_time", in_time)
    monkeypatch.setattr(Pace, "steps_within", lambda *_: 16 - seen[-1])
    rates, result = rates_of(replace(job, epochs=20, max_minutes=9.0), Watched())
    assert len(rates) == 16
    assert (rates[4:13] == 1.0).all()
    assert (np.diff(rates[12:]) < 0.0).all()
    assert result["epochs_run"] == 8


def test_stop_ends_training_at_once_and_the_model_is_that_of_then(job):
    control = Watched(tiles=14, then=lambda each: each.stop())
    rates, result = rates_of(replace(job, epochs=60), control)
    assert 2 < len(rates) < 20
    assert (np.diff(rates) >= 0.0).all()
    history = model_file.read(job.output).card.history
    assert len(history) == result["epochs_run"]


def test_stopped_before_its_first_step_it_takes_one_and_keeps_the_model(job):
    plain = Training.run

    def stopped(self, saved):
        self._control.stop()
        return plain(self, saved)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "run", stopped)
        rates, result = rates_of(job, Watched())
    assert len(rates) == result["epochs_run"] == 1
    assert model_file.read(job.output).card.history[0]["kept"]


def test_the_log_says_in_the_middle_whether_more_epochs_would_help(job):
    control = Watched()
    train.run(replace(job, epochs=8), control)
    (said,) = [text for text in control.texts if "More epochs" in text]
    assert said.startswith("After 4 epochs: the validation score")
