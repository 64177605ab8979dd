"""A training that was interrupted ends in the same file as one that was not, byte for byte."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from example_jobs import KilledError, train_job

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning import training_state
from deepseg_qgis.engine.learning.checkpoint import SavedModel
from deepseg_qgis.engine.learning.instance_rule_search import ScoredInstanceRule
from deepseg_qgis.engine.learning.saved_training import SavedTraining
from deepseg_qgis.engine.learning.schedule import Schedule
from deepseg_qgis.engine.learning.trainer_state import TrainerState
from deepseg_qgis.engine.learning.training_state import KeptNetwork, TrainingState
from deepseg_qgis.engine.learning.validation import Validation
from deepseg_qgis.engine.verbs import train
from deepseg_qgis.errors import ResourceError
from deepseg_qgis.events import Epoch, Progress


class Heard(Control):
    """A control that hears texts, and does something at each event."""

    def __init__(self, then=lambda _control, _event: None):
        self.texts = []

        def emit(event):
            self.texts.append(getattr(event, "text", ""))
            then(self, event)

        super().__init__(emit)

    def resumed_after(self):
        """Return after how many epochs a run went on, 0 if it began anew."""
        said = [text for text in self.texts if text.startswith("Continuing a training")]
        return int(said[0].split(": ")[1].split(" of ")[0]) if said else 0


@pytest.fixture
def job(discs, tmp_path, short_epochs, cache):
    """Return the job of a training of three epochs of a few steps."""
    raster, layer = discs
    changes = {"task": "semantic", "output_html": None, "tile_size_px": 32, "resume": True}
    return train_job(raster, layer, tmp_path / "out", **changes)


def sha(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def elsewhere(job, name):
    return replace(job, output=str(Path(job.output).with_name(f"{name}.safetensors")))


def kill_at(what):
    """Return what kills a run at the first progress that begins so, or at an epoch's end."""

    def then(_control, event):
        epoch = isinstance(event, Epoch) and f"end of {event.epoch}" == what
        if epoch or (isinstance(event, Progress) and event.text.startswith(what)):
            raise KilledError

    return then


def killed(job, what):
    control = Heard(kill_at(what))
    with pytest.raises(KilledError):
        train.run(job, control)
    return control


def test_killed_anywhere_it_ends_in_the_same_file(job, cache):
    whole = elsewhere(job, "whole")
    train.run(whole, Heard())
    assert os.listdir(cache) == [], "a finished training leaves nothing"
    done = [killed(job, what).resumed_after() for what in ("Epoch 1", "end of 2", "Epoch 3")]
    assert done == [0, 0, 1]
    control = Heard()
    result = train.run(job, control)
    assert control.resumed_after() == 2
    assert sha(job.output) == sha(whole.output)
    assert result["epochs_run"] == 3
    assert os.listdir(cache) == []
    assert sorted(os.listdir(Path(job.output).parent)) == ["model.safetensors", "whole.safetensors"]


def test_what_was_stopped_goes_on_as_if_it_had_not_been(job):
    whole = elsewhere(job, "whole")
    train.run(whole, Heard())

    def stop(control, event):
        if isinstance(event, Progress) and event.text.startswith("Epoch 2"):
            control.stop()

    train.run(job, Heard(stop))
    assert sha(job.output) != sha(whole.output)
    control = Heard()
    train.run(job, control)
    assert control.resumed_after() == 1
    assert sha(job.output) == sha(whole.output)


def test_an_older_model_stays_until_a_resumed_training_is_finished(job):
    Path(job.output).parent.mkdir()
    Path(job.output).write_text("a good old model")
    for what in ("end of 2", "Epoch 3"):
        killed(job, what)
        assert Path(job.output).read_text() == "a good old model"
    assert len(os.listdir(Path(job.output).parent)) == 2
    train.run(job, Heard())
    assert os.listdir(Path(job.output).parent) == ["model.safetensors"]


def test_killed_between_model_and_state_it_leaves_no_model_behind(job, cache, monkeypatch):
    Path(job.output).parent.mkdir()
    Path(job.output).write_text("a good old model")
    write = SavedTraining.write

    def killed_after_the_second_model(self, state):
        if len(state.history) == 2:
            raise KilledError
        write(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(SavedTraining, "write", killed_after_the_second_model)
        with pytest.raises(KilledError):
            train.run(job, Heard())
    assert killed(job, "Epoch 3").resumed_after() == 1
    train.run(job, Heard())
    assert os.listdir(Path(job.output).parent) == ["model.safetensors"]


def test_killed_before_the_report_it_trains_nothing_again(job, cache):
    job = replace(job, output_html=str(Path(job.output).with_name("report.html")))
    killed(job, "Writing the report")
    whole = sha(job.output)
    control = Heard()
    train.run(job, control)
    assert control.resumed_after() == 3
    assert sha(job.output) == whole
    assert sorted(os.listdir(Path(job.output).parent)) == ["model.safetensors", "report.html"]
    assert os.listdir(cache) == []


def test_what_a_kill_left_of_a_half_written_state_goes(cache):
    part = cache / "a.training.part"
    part.mkdir(parents=True)
    (part / ".tmp123").write_text("half")
    with SavedTraining("a", Control()):
        assert not part.exists()


@pytest.mark.parametrize("change", [{"seed": 2}, {"resume": False}, {"validation_fraction": 0.3}])
def test_another_training_begins_anew(job, change):
    killed(job, "Epoch 2")
    control = killed(replace(job, **change), "Epoch 1")
    assert control.resumed_after() == 0


def test_a_damaged_state_is_left_aside(job, cache):
    killed(job, "Epoch 2")
    (state,) = cache.glob("*.training")
    state.write_bytes(state.read_bytes()[:-100])
    control = killed(job, "Epoch 1")
    assert any("cannot be continued" in text for text in control.texts)


def test_the_same_training_runs_once_at_a_time(cache):
    with SavedTraining("a", Control()):
        with pytest.raises(ResourceError, match="running already"):
            SavedTraining("a", Control())
        with SavedTraining("b", Control()):
            pass
    with SavedTraining("a", Control()):
        pass
    assert os.listdir(cache) == []


def epoch(number, kept):
    scores = {"a": 0.25, "b": None}
    return Epoch(number, 9, 1 / 3, 0.1, 0.7, scores, scores, 1e-3, 2.5, kept)


@pytest.mark.parametrize("kept", [True, False])
def test_a_state_comes_back_as_it_was_written(tmp_path, kept):
    weights = {"a.weight": torch.rand(3, 2), "a.count": torch.tensor(4)}
    tensors = {f"average.{name}": each + (not kept) for name, each in weights.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    rule = ScoredInstanceRule((9, 256), (4, 1), (0.5, None))
    state = TrainingState(
        TrainerState(tensors, 77, Schedule(5, 80, 100), 0.5, 2),
        (epoch(1, True), epoch(2, kept)),
        KeptNetwork(weights, Validation(0.2, (0.5, 0.4), (0.75, None), rule)),
        SavedModel("/somewhere/m.safetensors", 2),
    )
    path = str(tmp_path / "state")
    training_state.write(path, state)
    found = training_state.read(path)
    assert replace(found.trainer, tensors={}) == replace(state.trainer, tensors={})
    assert (found.history, found.model) == (state.history, state.model)
    assert found.kept.validation == state.kept.validation
    for one, other in ((found.trainer.tensors, tensors), (found.kept.weights, weights)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], each) for name, each in other.items())


def test_a_full_disk_ends_no_training(cache, monkeypatch):
    def full(path, _state):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_state, "write", full)
    control = Heard()
    with SavedTraining("a", control) as saved:
        saved.write(None)
        saved.write(None)
    said = [text for text in control.texts if "No space left" in text]
    assert len(said) == 1
    assert "start again" in said[0]
    assert os.listdir(cache) == []
