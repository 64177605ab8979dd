"""The training loop: fetch a batch, forward, backward, step.

Only Lightning Fabric's devices and precision are used, so that the loop stays readable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from deepseg_qgis.engine.backends.devices import choose_device
from deepseg_qgis.engine.learning.depthwise_gradients import DepthwiseGradients
from deepseg_qgis.engine.learning.losses import object_loss, segmentation_loss
from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.learning.training_dataset import TrainingDataset
from deepseg_qgis.engine.learning.training_sample import TrainingBatch, TrainingSample, collate
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.streams import ahead

BATCHES_WAITING = 1
"""So many batches wait in memory while the next one is read."""
WEIGHT_DECAY = 0.01
WARM_UP = 0.3
"""The share of all steps in which the learning rate of the one-cycle schedule rises."""
MAX_GRADIENT_NORM = 1.0
"""A single odd batch moves the weights no farther than others do."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; ``learning_rate`` is the highest of the one-cycle schedule."""

    design: NetworkDesign
    epochs: int
    tile_size_px: int
    batch_size: int
    learning_rate: float
    patience: int | None
    device: str


class Trainer:
    """Trains a network on a data set, epoch by epoch.

    ``device`` and ``bfloat16`` are what it computes on and in. ``steps`` is the number of batches
    in an epoch.

    Source of the schedule: Smith, Topin, Super-Convergence, 2018 (one cycle); of the optimiser:
    Loshchilov, Hutter, Decoupled Weight Decay Regularization, ICLR 2019 (AdamW); of clipping:
    Pascanu, Mikolov, Bengio, On the Difficulty of Training Recurrent Neural Networks, ICML 2013.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: TrainingDataset,
        normalisation: Normalisation,
        settings: TrainingSettings,
    ) -> None:
        self.device = torch.device(choose_device(settings.device))
        self.bfloat16 = networks.has_fast_bfloat16(self.device)
        self.steps = len(dataset) // settings.batch_size
        self._dataset, self._normalisation = dataset, normalisation
        self._batch_size = settings.batch_size
        self._fabric = Fabric(
            accelerator=self.device.type,
            devices=1,
            precision="bf16-mixed" if self.bfloat16 else "32-true",
        )
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            weight_decay=WEIGHT_DECAY,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self._optimiser: torch.optim.Optimizer
        self._network, self._optimiser = self._fabric.setup(network, optimiser)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=settings.learning_rate,
            total_steps=self.steps * settings.epochs,
            pct_start=WARM_UP,
        )

    @property
    def network(self) -> nn.Module:
        """The network as it is now, on the device."""
        module: nn.Module = self._network.module
        return module

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def train_epoch(self, epoch: int, on_step: Callable[[int, float], bool]) -> float:
        """Train on all batches of an epoch; return their mean loss.

        ``on_step`` hears how many steps are done and the loss of the last one; where it returns
        False the epoch ends. So it does where the loss is infinite, which is returned then.
        """
        self._network.train()
        losses: list[float] = []
        for batch in self._batches(epoch):
            loss = self._loss(batch)
            self._optimiser.zero_grad()
            self._fabric.backward(loss)
            self._fabric.clip_gradients(
                self._network,
                self._optimiser,
                max_norm=MAX_GRADIENT_NORM,
                error_if_nonfinite=False,  # the next loss tells
            )
            self._optimiser.step()
            self._schedule.step()
            losses.append(float(loss.detach()))
            wanted = on_step(len(losses), losses[-1])
            if not wanted or not math.isfinite(losses[-1]):
                break
        return float(np.mean(losses)) if math.isfinite(losses[-1]) else losses[-1]

    def _batches(self, epoch: int) -> Generator[TrainingBatch, None, None]:
        """Return the batches of an epoch, read by a thread ahead of their use."""
        loader = DataLoader(
            replace(self._dataset, epoch=epoch),
            self._batch_size,
            collate_fn=self._collate,
            generator=torch.Generator(),  # else it would draw from the network's
        )
        return ahead((batch for batch in loader), BATCHES_WAITING, "reader")

    def _collate(self, samples: Sequence[TrainingSample]) -> TrainingBatch:
        return collate(samples, self._normalisation)

    def _loss(self, batch: TrainingBatch) -> torch.Tensor:
        """Return the loss of a batch, a scalar."""
        images = self._to_device(batch.values).contiguous(memory_format=torch.channels_last)
        with DepthwiseGradients():
            logits = self._network(images).float()  # (N, channels, H, W)
        classes, weight = self._to_device(batch.classes), self._to_device(batch.weight)
        if batch.heights is None or batch.edges is None:
            return segmentation_loss(logits, classes, weight)
        heights, edges = self._to_device(batch.heights), self._to_device(batch.edges)
        heads = networks.OBJECT_HEADS
        return segmentation_loss(logits[:, :-heads], classes, weight) + object_loss(
            logits[:, -heads:], heights, edges, weight
        )

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)
