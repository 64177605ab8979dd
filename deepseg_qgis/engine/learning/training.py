"""A training from its first to its last epoch: train, validate, keep, tell."""

from __future__ import annotations

import base64
import math
import time
from dataclasses import replace

import numpy as np
import torch

from deepseg_qgis.engine.backends.torch_backend import TorchBackend
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.inference.windows import default_tile_size
from deepseg_qgis.engine.learning.allocator import keep_freed_memory
from deepseg_qgis.engine.learning.checkpoint import Checkpoint
from deepseg_qgis.engine.learning.divergence import MOST_ROLLBACKS, has_diverged
from deepseg_qgis.engine.learning.early_stopping import EpochSelection
from deepseg_qgis.engine.learning.object_sizes import smoothing_for
from deepseg_qgis.engine.learning.outlook import outlook
from deepseg_qgis.engine.learning.saved_training import SavedTraining
from deepseg_qgis.engine.learning.starting_network import StartingNetwork
from deepseg_qgis.engine.learning.timetable import Timetable
from deepseg_qgis.engine.learning.trained_network import TrainedNetwork
from deepseg_qgis.engine.learning.trainer import Trainer, TrainingSettings
from deepseg_qgis.engine.learning.trainer_state import TrainerState
from deepseg_qgis.engine.learning.training_dataset import TrainingDataset
from deepseg_qgis.engine.learning.training_set import TrainingSet
from deepseg_qgis.engine.learning.training_state import KeptNetwork, TrainingState
from deepseg_qgis.engine.learning.validation import (
    Validation,
    ValidationListener,
    default_validation,
    validate,
    validation_px,
)
from deepseg_qgis.engine.learning.validation_picture import ValidationPicture
from deepseg_qgis.engine.models import networks
from deepseg_qgis.errors import ParameterError, counted
from deepseg_qgis.events import Epoch

HALF = 0.5


class Training:
    """One training of one network; `run` does all of it."""

    def __init__(
        self,
        start: StartingNetwork,
        settings: TrainingSettings,
        training_set: TrainingSet,
        dataset: TrainingDataset,
        checkpoint: Checkpoint,
        control: Control,
    ) -> None:
        self._settings, self._training_set = settings, training_set
        self._checkpoint, self._control = checkpoint, control
        self._countable = np.array(training_set.countable, dtype=bool)
        names = [category.name for category in training_set.categories]
        self._has_learned = bool(start.earlier.categories)
        self._usual = start.earlier.instance_rule(names)
        smoothing_px = start.earlier.smoothing_px  # a usual depth is one of heights smoothed so
        if smoothing_px is None:
            smoothing_px = smoothing_for(training_set.labelled_rasters, self._countable)
        self._smoothing_px = smoothing_px
        self._normalisation = start.normalisation or dataset.normalisation()
        self._trainer = Trainer(start.network, dataset, self._normalisation, settings, control)
        validation_steps = validation_px(training_set.labelled_rasters, settings.tile_size_px) / (
            settings.batch_size * settings.window_px**2
        )
        self._timetable = Timetable(self._trainer.steps, validation_steps, settings.max_minutes)
        self._picture = ValidationPicture.of(training_set.labelled_rasters, training_set.categories)
        self._selection = EpochSelection(settings.patience)
        self._history: list[Epoch] = []
        self._kept: TrainedNetwork | None = None
        self._outlook: str | None = None

    def run(self, saved: SavedTraining) -> TrainedNetwork:
        """Train until all epochs are done, patience is over, or the user stops; keep one epoch.

        What is kept so far is on the disk from then on; Stop in the first epoch puts the model
        there before its validation. ``saved`` is where the state after each epoch goes, and where
        an interrupted run left its last one. What was stopped can be continued, too.

        Raises:
            ParameterError: the loss diverged, again and again, before there was anything to keep.
        """
        keep_freed_memory()
        self._log_start()
        untrained = self._trained(default_validation(self._countable, self._usual))
        last_good = self._continued(saved)
        self._checkpoint.check_can_save(untrained)
        self._timetable.start(sum(epoch.seconds for epoch in self._history))
        if self._has_learned and not self._history:
            self._log_score_before()
        while not self._is_over:
            started = time.monotonic()
            loss = self._train_epoch()
            if has_diverged(loss, [epoch.train_loss for epoch in self._history]):
                if not self._roll_back(last_good.trainer):
                    break
                continue
            self._finish_epoch(loss, started)
            if not self._control.stopped:
                last_good = self._state()
                saved.write(last_good)
        assert self._kept is not None  # the first epoch is
        self._kept.history = self._history
        return self._kept

    @property
    def _is_over(self) -> bool:
        """Whether the schedule is at its end, the user stopped, or patience is over."""
        if not self._history:  # there is nothing to keep before the first step
            return False
        if self._trainer.step >= self._trainer.schedule.end or self._control.stopped:
            return True
        if self._selection.is_out_of_patience:
            self._control.log(
                f"No better score for {counted(self._settings.patience or 0, 'epoch')}: training "
                "ends here."
            )
        return self._selection.is_out_of_patience

    def _state(self) -> TrainingState:
        """Return the state after the last epoch, from which another run can go on."""
        kept = None
        if self._kept is not None:
            kept = KeptNetwork(self._kept.weights, self._kept.validation)
        history = tuple(self._history)
        return TrainingState(self._trainer.state(), history, kept, self._checkpoint.saved)

    def _continued(self, saved: SavedTraining) -> TrainingState:
        """Return the state that training starts from: that of an interrupted run if there is one.

        The trainer has it then.
        """
        state = saved.read()
        if state is None or not state.history:
            return self._state()
        try:
            self._trainer.restore(state.trainer)
        except ValueError as error:
            raise ParameterError(
                f"The interrupted training cannot be continued ({error}). Switch 'Resume' off to "
                "start it again."
            ) from error
        self._history = list(state.history)
        for epoch in state.history:
            self._selection.add(epoch.validation_score)
        if state.kept:
            self._kept = self._trained(state.kept.validation, state.kept.weights)
        self._checkpoint.take_over(state.model, state.history)
        self._control.log(
            f"Continuing a training that was interrupted: {len(self._history)} of "
            f"{counted(self._settings.epochs, 'epoch')} done."
        )
        return state

    def _finish_epoch(self, loss: float, started: float) -> None:
        """Validate, and keep the network if it is to be kept."""
        if self._kept is None and self._control.stopped:
            self._checkpoint.save(self._trained(default_validation(self._countable, self._usual)))
        validating = time.monotonic()
        validation = self._validate()
        self._timetable.pace.add_validation(time.monotonic() - validating)
        is_kept = self._selection.add(validation.score)
        epoch = self._epoch(loss, validation, is_kept, time.monotonic() - started)
        self._control.epoch(self._as_told(epoch, validation))
        self._history.append(epoch)
        if is_kept:
            self._kept = self._trained(validation)
            self._checkpoint.save(self._kept)
        self._log_outlook()

    def _log_outlook(self) -> None:
        """Say once, in the middle of the training, whether more epochs would help."""
        place = self._trainer.schedule, self._trainer.step, len(self._history)
        if self._outlook is None and self._timetable.fraction(*place) >= HALF:
            self._outlook = outlook([epoch.validation_score for epoch in self._history])
            if self._outlook and not self._control.stopped:
                self._control.log(self._outlook)

    def _roll_back(self, last_good: TrainerState) -> bool:
        """Go back to the last good epoch with half of the learning rate; False if it is too low.

        Raises:
            ParameterError: so it is, and there is nothing to keep.
        """
        number = len(self._history) + 1
        share = self._trainer.rate_share / 2
        if share >= 0.5**MOST_ROLLBACKS:
            self._trainer.restore(last_good)
            self._trainer.rate_share = share
            self._control.warn(
                f"Training diverged in epoch {number}. DeepSeg repeats this epoch from its start "
                f"with a learning rate of {share * self._settings.learning_rate:g}."
            )
            return True
        if self._kept is None:
            raise ParameterError(
                f"Training diverged in epoch {number}, even with a learning rate of "
                f"{self._trainer.rate_share * self._settings.learning_rate:g}. Check that the "
                "raster's values are plausible, and use a lower learning rate."
            )
        self._control.warn(
            f"Training diverged in epoch {number} and ends here. The model from before is kept."
        )
        return False

    def _log_start(self) -> None:
        settings, trainer = self._settings, self._trainer
        self._control.log(
            f"Training {settings.design} on "
            f"{networks.describe_device(trainer.device)} in "
            f"{'bfloat16' if trainer.bfloat16 else 'float32'}: "
            f"{counted(settings.epochs, 'epoch')} of {trainer.steps * settings.batch_size} windows "
            f"of {settings.window_px} px."
        )

    def _log_score_before(self) -> None:
        """Say how good a network that goes on learning is already, on the same ground."""
        score = self._validate().score
        if score is not None:
            self._control.log(f"The model to continue from has a validation score of {score:.3f}.")

    def _train_epoch(self) -> float:
        """Train an epoch; return its mean loss. It ends early where training ends."""
        number, trainer, timetable = len(self._history), self._trainer, self._timetable
        last = time.monotonic()

        def on_step(done: int, loss: float) -> bool:
            nonlocal last
            now = time.monotonic()
            timetable.pace.add_step(now - last)
            last = now
            trainer.schedule = timetable.in_time(trainer.schedule, trainer.step)
            text = f"Epoch {number + 1} of {self._epochs_in_all}, loss {loss:.3f}"
            place = trainer.schedule, trainer.step, number
            self._control.progress(timetable.fraction(*place), text, timetable.seconds_left(*place))
            is_over = self._control.stopped or trainer.step >= trainer.schedule.end
            return done < trainer.steps and not is_over

        return trainer.train_epoch(number, on_step)

    @property
    def _epochs_in_all(self) -> int:
        """How many epochs there will be, the last one perhaps cut short."""
        return math.ceil(self._trainer.schedule.end / self._trainer.steps)

    def _validate(self) -> Validation:
        """Validate the network as it is after an epoch."""
        settings, normalisation = self._settings, self._normalisation
        training_px = settings.batch_size * settings.window_px**2
        raw = networks.RawNetwork(
            self._trainer.network,
            normalisation.mean.tolist(),
            normalisation.std.tolist(),
            smoothing_px=self._smoothing_px if self._countable.any() else None,
        )
        batch_size = max(1, training_px // default_tile_size(settings.tile_size_px) ** 2)
        backend = TorchBackend(raw, self._trainer.device, self._trainer.bfloat16, batch_size)
        number, place = len(self._history), (self._trainer.schedule, self._trainer.step)
        start, end = (self._timetable.fraction(*place, each) for each in (number, number + 1))
        return validate(
            backend,
            self._countable,
            self._training_set.labelled_rasters,
            settings.tile_size_px,
            self._usual,
            ValidationListener(
                self._control.part(start, end), self._picture.add if self._picture else None
            ),
        )

    def _trained(
        self, validation: Validation, weights: dict[str, torch.Tensor] | None = None
    ) -> TrainedNetwork:
        """Return a network with these weights; without any, a copy of that of now."""
        if weights is None:
            state: dict[str, torch.Tensor] = self._trainer.network.state_dict()
            weights = {name: each.detach().to("cpu", copy=True) for name, each in state.items()}
        return TrainedNetwork(
            weights, validation, self._normalisation, self._smoothing_px, self._history.copy()
        )

    def _epoch(self, loss: float, validation: Validation, kept: bool, seconds: float) -> Epoch:
        names = [category.name for category in self._training_set.categories]
        return Epoch(
            epoch=len(self._history) + 1,
            epochs=self._epochs_in_all,
            train_loss=loss,
            validation_loss=validation.loss,
            validation_score=validation.score,
            category_score=dict(zip(names, validation.category_score, strict=True)),
            category_iou=dict(zip(names, validation.category_iou, strict=True)),
            learning_rate=self._trainer.learning_rate,
            seconds=seconds,
            kept=kept,
        )

    def _as_told(self, epoch: Epoch, validation: Validation) -> Epoch:
        """Return what is told of an epoch: time left and picture too, which no history keeps."""
        place = self._trainer.schedule, self._trainer.step, len(self._history) + 1
        picture = None
        if self._picture is not None:
            png = self._picture.png(validation.thresholds, validation.instance_rule)
            picture = base64.b64encode(png).decode("ascii")
        left = self._timetable.seconds_left(*place)
        return replace(epoch, picture=picture, seconds_left=left)
