"""The training loop: fetch a batch, forward, backward, and after each epoch look how good it is.

Only Lightning Fabric's devices and precision are used, so that the loop stays readable.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from deepseg_qgis.engine.backends.devices import choose_device
from deepseg_qgis.engine.backends.torch_backend import TorchBackend
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.inference.windows import default_tile_size
from deepseg_qgis.engine.learning import sampling, validation
from deepseg_qgis.engine.learning.losses import object_loss, segmentation_loss
from deepseg_qgis.engine.learning.sampling import Batch, Normalisation, Sampler
from deepseg_qgis.engine.learning.targets import smoothing_for
from deepseg_qgis.engine.learning.training_set import TrainingSet
from deepseg_qgis.engine.learning.validation import Validation, validate
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.streams import ahead
from deepseg_qgis.errors import ParameterError, counted
from deepseg_qgis.events import Epoch

BATCHES_WAITING = 1
"""So many batches wait in memory while the next one is read."""
WEIGHT_DECAY = 0.01
WARM_UP = 0.3
"""The share of all steps in which the learning rate of the one-cycle schedule rises."""
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1
"""Names of glibc's settings, from malloc.h."""
AS_GOOD = 0.95
"""An epoch is kept if its score is so large a share of the best one before it.

The learning rate falls to the end, and the weights settle; the highest of many scores on a small
validation area is mostly luck, and came of weights that were still on the move.
"""


class Checkpoint(Protocol):
    """Where a training puts its model, see `checkpoint.Checkpoint`."""

    def rehearse(self, trained: Trained) -> None:
        """Find out before the first epoch whether the model can be saved."""

    def save(self, trained: Trained) -> None:
        """Put the model so far on the disk."""


@dataclass(frozen=True)
class Settings:
    """How to train; ``learning_rate`` is the highest of the one-cycle schedule."""

    architecture: str
    encoder: str
    epochs: int
    tile_size_px: int
    batch_size: int
    learning_rate: float
    patience: int | None
    device: str


@dataclass
class Trained:
    """What came of it: the weights that were kept (on the CPU), and how it went.

    ``history`` has every finished epoch; ``validation`` is that of the kept one. ``normalisation``
    and ``smoothing_px`` are what the network was taught with.
    """

    weights: dict[str, torch.Tensor]
    validation: Validation
    normalisation: Normalisation
    smoothing_px: float
    history: list[Epoch] = field(default_factory=list)


class Trainer:
    """Trains one network; `train` does all of it.

    Source of the schedule: Smith, Topin, Super-Convergence, 2018 (one cycle); of the optimiser:
    Loshchilov, Hutter, Decoupled Weight Decay Regularization, ICLR 2019 (AdamW).
    """

    def __init__(
        self,
        settings: Settings,
        training_set: TrainingSet,
        sampler: Sampler,
        checkpoint: Checkpoint,
        control: Control,
    ) -> None:
        self._settings, self._training_set = settings, training_set
        self._sampler, self._control, self._checkpoint = sampler, control, checkpoint
        self._countable = np.array(training_set.countable, dtype=bool)
        self._normalisation = sampling.measure(sampler)
        device = torch.device(choose_device(settings.device))
        self._bfloat16 = networks.has_fast_bfloat16(device)
        self._fabric = Fabric(
            accelerator=device.type,
            devices=1,
            precision="bf16-mixed" if self._bfloat16 else "32-true",
        )
        self._device = device
        self._smoothing_px = smoothing_for(training_set.labelled_rasters, self._countable)
        bands = training_set.labelled_rasters[0].raster.bands
        network = networks.build(
            settings.architecture,
            settings.encoder,
            bands,
            len(training_set.categories),
            objects=bool(self._countable.any()),
        )
        networks.check_takes(network, bands, settings.tile_size_px)
        self._optimiser: torch.optim.Optimizer
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            weight_decay=WEIGHT_DECAY,
            fused=device.type in ("cpu", "cuda"),
        )
        self._network, self._optimiser = self._fabric.setup(network, optimiser)
        self._steps = math.ceil(sampler.windows_per_epoch / settings.batch_size)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=settings.learning_rate,
            total_steps=self._steps * settings.epochs,
            pct_start=WARM_UP,
        )

    def train(self) -> Trained:
        """Train until all epochs are done, patience is over, or the user stops; keep one epoch.

        The last one that is nearly as good as the best, see `AS_GOOD`. What is kept so far is on
        the disk from then on; Stop in the first epoch puts the model there before its validation.

        Raises:
            ParameterError: the loss became infinite before there was anything to keep.
        """
        control, settings = self._control, self._settings
        keep_freed_memory()
        control.log(
            f"Training {settings.architecture}/{settings.encoder} on "
            f"{networks.describe_device(self._device)} in "
            f"{'bfloat16' if self._bfloat16 else 'float32'}: "
            f"{counted(settings.epochs, 'epoch')} of {self._steps * settings.batch_size} windows "
            f"of {settings.tile_size_px} px."
        )
        unproven = validation.unproven(self._countable)
        self._checkpoint.rehearse(self._trained(unproven, []))
        kept: Trained | None = None
        history: list[Epoch] = []
        for number in range(settings.epochs):
            started = time.monotonic()
            loss = self._epoch(number)
            if not math.isfinite(loss):
                if kept is None:
                    raise ParameterError(
                        f"Training came apart in epoch {number + 1}: the loss became infinite. "
                        f"Use a learning rate lower than {settings.learning_rate:g}."
                    )
                control.warn("The loss became infinite; the model from before is kept.")
                break
            if kept is None and control.stopped:
                self._checkpoint.save(self._trained(unproven, []))
            found = self._validate(number)
            highest = max([each.validation_score or 0.0 for each in history], default=0.0)
            good = (found.score or 0.0) >= AS_GOOD * highest
            seconds = time.monotonic() - started
            history.append(self._told(number, loss, found, good, seconds))
            if good or kept is None:
                kept = self._trained(found, history)
                self._checkpoint.save(kept)
            if control.stopped or self._tired(history):
                break
        assert kept is not None
        kept.history = history
        return kept

    def _epoch(self, number: int) -> float:
        """Learn from one epoch's batches; return the mean loss. Ends early when stopped."""
        self._network.train()
        losses = []
        for batch in self._batches():
            loss = self._step(batch)
            losses.append(loss)
            done = number + len(losses) / self._steps
            self._control.progress(
                done / self._settings.epochs,
                f"Epoch {number + 1} of {self._settings.epochs}, loss {loss:.3f}",
            )
            if self._control.stopped or not math.isfinite(loss):
                break
        return losses[-1] if not math.isfinite(losses[-1]) else float(np.mean(losses))

    def _step(self, batch: Batch) -> float:
        """Learn from one batch; return its loss."""
        images = self._sent(batch.values).contiguous(memory_format=torch.channels_last)
        logits = self._network(images).float()  # (N, channels, H, W)
        classes, weight = self._sent(batch.classes), self._sent(batch.weight)
        if batch.heights is None or batch.edges is None:
            loss = segmentation_loss(logits, classes, weight)
        else:
            heads = networks.OBJECT_HEADS
            wanted = self._sent(batch.heights), self._sent(batch.edges)
            loss = segmentation_loss(logits[:, :-heads], classes, weight)
            loss = loss + object_loss(logits[:, -heads:], *wanted, weight)
        self._optimiser.zero_grad()
        self._fabric.backward(loss)
        self._optimiser.step()
        self._schedule.step()
        return float(loss.detach())

    def _sent(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an array on the device that learns."""
        return torch.from_numpy(array).to(self._device)

    def _batches(self) -> Iterator[Batch]:
        draws = self._sampler.epoch(self._settings.batch_size)
        read = ([sampling.read(draw, self._countable) for draw in batch] for batch in draws)
        for samples in ahead(read, BATCHES_WAITING, "reader"):
            yield sampling.batch(samples, self._normalisation)

    def _validate(self, number: int) -> Validation:
        normalisation = self._normalisation
        backend = TorchBackend(
            self._module(),
            (normalisation.mean.tolist(), normalisation.std.tolist()),
            self._device,
            self._bfloat16,
            self._validation_batch(),
            smoothing_px=self._smoothing_px if self._countable.any() else None,
        )
        done = (number + 1) / self._settings.epochs
        return validate(
            backend,
            self._countable,
            self._training_set.labelled_rasters,
            self._settings.tile_size_px,
            self._control.part(done, done),
        )

    def _validation_batch(self) -> int:
        """Return how many of the larger tiles of validation make a batch like in training."""
        training_px = self._settings.batch_size * self._settings.tile_size_px**2
        return max(1, training_px // default_tile_size(self._settings.tile_size_px) ** 2)

    def _module(self) -> nn.Module:
        module: nn.Module = self._network.module
        return module

    def _trained(self, found: Validation, history: list[Epoch]) -> Trained:
        state = self._module().state_dict()
        weights = {name: each.detach().to("cpu", copy=True) for name, each in state.items()}
        return Trained(weights, found, self._normalisation, self._smoothing_px, history.copy())

    def _told(
        self, number: int, loss: float, found: Validation, kept: bool, seconds: float
    ) -> Epoch:
        names = [category.name for category in self._training_set.categories]
        epoch = Epoch(
            epoch=number + 1,
            epochs=self._settings.epochs,
            train_loss=loss,
            validation_loss=found.loss,
            validation_score=found.score,
            category_score=dict(zip(names, found.category_score, strict=True)),
            category_iou=dict(zip(names, found.category_iou, strict=True)),
            learning_rate=float(self._schedule.get_last_lr()[0]),
            seconds=seconds,
            kept=kept,
        )
        self._control.epoch(epoch)
        return epoch

    def _tired(self, history: list[Epoch]) -> bool:
        """Whether the score has not risen for ``patience`` epochs."""
        patience = self._settings.patience
        if not patience:
            return False
        scores = [epoch.validation_score or 0.0 for epoch in history]
        since_best = len(scores) - 1 - int(np.argmax(scores))
        if since_best >= patience:
            self._control.log(
                f"No better score for {counted(patience, 'epoch')}: training ends here."
            )
        return since_best >= patience


def keep_freed_memory() -> None:
    """Keep what a batch frees for the next one, until the process ends.

    glibc would give large blocks back to the system and have them filled with zeros anew, batch
    after batch: on a CPU a seventh of the time. Elsewhere than on Linux this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
