"""A training from its first to its last epoch: train, validate, keep, tell."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from deepseg_qgis.engine.backends.torch_backend import TorchBackend
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.inference.windows import default_tile_size
from deepseg_qgis.engine.learning.allocator import keep_freed_memory
from deepseg_qgis.engine.learning.checkpoint import Checkpoint
from deepseg_qgis.engine.learning.early_stopping import EpochSelection
from deepseg_qgis.engine.learning.starting_network import StartingNetwork
from deepseg_qgis.engine.learning.targets import smoothing_for
from deepseg_qgis.engine.learning.trained_network import TrainedNetwork
from deepseg_qgis.engine.learning.trainer import Trainer, TrainingSettings
from deepseg_qgis.engine.learning.training_dataset import TrainingDataset
from deepseg_qgis.engine.learning.training_set import TrainingSet
from deepseg_qgis.engine.learning.validation import Validation, default_validation, validate
from deepseg_qgis.engine.models import networks
from deepseg_qgis.errors import ParameterError, counted
from deepseg_qgis.events import Epoch


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
        self._smoothing_px = smoothing_for(training_set.labelled_rasters, self._countable)
        self._normalisation = start.normalisation or dataset.normalisation()
        self._trainer = Trainer(start.network, dataset, self._normalisation, settings)

    def run(self) -> TrainedNetwork:
        """Train until all epochs are done, patience is over, or the user stops; keep one epoch.

        What is kept so far is on the disk from then on; Stop in the first epoch puts the model
        there before its validation.

        Raises:
            ParameterError: the loss became infinite before there was anything to keep.
        """
        keep_freed_memory()
        self._log_start()
        not_validated = default_validation(self._countable)
        self._checkpoint.check_can_save(self._trained(not_validated, []))
        selection = EpochSelection(self._settings.patience)
        kept: TrainedNetwork | None = None
        history: list[Epoch] = []
        for number in range(self._settings.epochs):
            started = time.monotonic()
            loss = self._train_epoch(number)
            if not math.isfinite(loss):
                self._require_kept(kept, number)
                break
            if kept is None and self._control.stopped:
                self._checkpoint.save(self._trained(not_validated, []))
            validation = self._validate(number)
            is_kept = selection.add(validation.score)
            epoch = self._epoch(number, loss, validation, is_kept, time.monotonic() - started)
            self._control.epoch(epoch)
            history.append(epoch)
            if is_kept:
                kept = self._trained(validation, history)
                self._checkpoint.save(kept)
            if self._control.stopped or self._is_out_of_patience(selection):
                break
        assert kept is not None  # the first epoch is
        kept.history = history
        return kept

    def _log_start(self) -> None:
        settings, trainer = self._settings, self._trainer
        self._control.log(
            f"Training {settings.design} on "
            f"{networks.describe_device(trainer.device)} in "
            f"{'bfloat16' if trainer.bfloat16 else 'float32'}: "
            f"{counted(settings.epochs, 'epoch')} of {trainer.steps * settings.batch_size} windows "
            f"of {settings.tile_size_px} px."
        )

    def _train_epoch(self, number: int) -> float:
        """Train an epoch; return its mean loss. It ends early when the user stops."""
        steps, epochs = self._trainer.steps, self._settings.epochs

        def on_step(done: int, loss: float) -> bool:
            text = f"Epoch {number + 1} of {epochs}, loss {loss:.3f}"
            self._control.progress((number + done / steps) / epochs, text)
            return not self._control.stopped

        return self._trainer.train_epoch(number, on_step)

    def _require_kept(self, kept: TrainedNetwork | None, number: int) -> None:
        """Say that the loss became infinite; raise where there is no model from before."""
        if kept is None:
            raise ParameterError(
                f"Training came apart in epoch {number + 1}: the loss became infinite. "
                f"Use a learning rate lower than {self._settings.learning_rate:g}."
            )
        self._control.warn("The loss became infinite; the model from before is kept.")

    def _validate(self, number: int) -> Validation:
        """Validate the network as it is after an epoch."""
        settings, normalisation = self._settings, self._normalisation
        training_px = settings.batch_size * settings.tile_size_px**2
        raw = networks.RawNetwork(
            self._trainer.network,
            normalisation.mean.tolist(),
            normalisation.std.tolist(),
            smoothing_px=self._smoothing_px if self._countable.any() else None,
        )
        batch_size = max(1, training_px // default_tile_size(settings.tile_size_px) ** 2)
        backend = TorchBackend(raw, self._trainer.device, self._trainer.bfloat16, batch_size)
        done = (number + 1) / settings.epochs
        return validate(
            backend,
            self._countable,
            self._training_set.labelled_rasters,
            settings.tile_size_px,
            self._control.part(done, done),
        )

    def _trained(self, validation: Validation, history: list[Epoch]) -> TrainedNetwork:
        """Return a copy of the network as it is now."""
        state: dict[str, torch.Tensor] = self._trainer.network.state_dict()
        weights = {name: each.detach().to("cpu", copy=True) for name, each in state.items()}
        return TrainedNetwork(
            weights, validation, self._normalisation, self._smoothing_px, history.copy()
        )

    def _epoch(
        self, number: int, loss: float, validation: Validation, kept: bool, seconds: float
    ) -> Epoch:
        names = [category.name for category in self._training_set.categories]
        return Epoch(
            epoch=number + 1,
            epochs=self._settings.epochs,
            train_loss=loss,
            validation_loss=validation.loss,
            validation_score=validation.score,
            category_score=dict(zip(names, validation.category_score, strict=True)),
            category_iou=dict(zip(names, validation.category_iou, strict=True)),
            learning_rate=self._trainer.learning_rate,
            seconds=seconds,
            kept=kept,
        )

    def _is_out_of_patience(self, selection: EpochSelection) -> bool:
        if selection.is_out_of_patience:
            epochs = counted(self._settings.patience or 0, "epoch")
            self._control.log(f"No better score for {epochs}: training ends here.")
        return selection.is_out_of_patience
