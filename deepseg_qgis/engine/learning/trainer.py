"""The training loop: fetch a batch, forward, backward, step.

Only Lightning Fabric's devices and precision are used, so that the loop stays readable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from deepseg_qgis.engine.backends.devices import choose_device
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.faults import is_out_of_memory
from deepseg_qgis.engine.learning import trainer_state
from deepseg_qgis.engine.learning.averaged_network import AveragedNetwork
from deepseg_qgis.engine.learning.losses import object_loss, segmentation_loss
from deepseg_qgis.engine.learning.micro_batches import MicroBatches
from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.learning.ordered_batches import OrderedBatches
from deepseg_qgis.engine.learning.process_group import FEWEST_TILES, ProcessGroup
from deepseg_qgis.engine.learning.schedule import Schedule
from deepseg_qgis.engine.learning.several_processes import SeveralProcesses
from deepseg_qgis.engine.learning.trainer_state import TrainerState
from deepseg_qgis.engine.learning.training_dataset import TrainingDataset
from deepseg_qgis.engine.learning.training_sample import TrainingBatch, TrainingSample, collate
from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.streams import ahead

BATCHES_WAITING = 1
"""So many batches wait in memory while the next one is read."""
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
"""A single odd batch moves the weights no farther than others do."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; ``learning_rate`` is the highest of the schedule.

    ``tile_size_px`` is what the network sees: of a raster so many times less as it is magnified.
    ``processes`` are those that share the work.
    """

    design: NetworkDesign
    epochs: int
    tile_size_px: int
    batch_size: int
    learning_rate: float
    patience: int | None
    max_minutes: float | None
    device: str
    processes: ProcessGroup = field(default_factory=ProcessGroup)

    @property
    def window_px(self) -> int:
        """The side of the training windows, in the raster's pixels."""
        return self.tile_size_px // self.design.magnification


class Trainer:
    """Trains a network on a data set, epoch by epoch.

    ``device`` and ``bfloat16`` are what it computes on and in. ``steps`` is the number of batches
    in an epoch, ``step`` how many steps are done. What it has learned is ``network``, the average
    of the weights over the last steps, on the device. ``schedule`` and ``rate_share``, the share of
    the learning rate that is used, may be changed at any time.

    Source of the optimiser: Loshchilov, Hutter, Decoupled Weight Decay Regularization, ICLR 2019
    (AdamW); of clipping: Pascanu, Mikolov, Bengio, On the Difficulty of Training Recurrent Neural
    Networks, ICML 2013.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: TrainingDataset,
        normalisation: Normalisation,
        settings: TrainingSettings,
        control: Control,
    ) -> None:
        self._processes = settings.processes
        self.device = self._processes.device(choose_device(settings.device))
        self.bfloat16 = networks.has_fast_bfloat16(self.device)
        self.steps = len(dataset) // settings.batch_size
        self.step, self.rate_share = 0, 1.0
        self.schedule = Schedule.planned(self.steps * settings.epochs)
        self._dataset, self._normalisation = dataset, normalisation
        self._batch_size, self._learning_rate = settings.batch_size, settings.learning_rate
        self._fabric = Fabric(
            accelerator=self.device.type,
            devices=1 if self.device.index is None else [self.device.index],
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
        self._averaged = AveragedNetwork(self._module)
        self._micro_batches = MicroBatches(self._fabric, self._network, control, self._processes)
        self._processes.compare(self._facts())

    @property
    def network(self) -> nn.Module:
        """What is learned so far."""
        return self._averaged.network

    @property
    def _module(self) -> nn.Module:
        """The network with the weights of the last step."""
        module: nn.Module = self._network.module
        return module

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return self._learning_rate * self.rate_share * self.schedule.factor(self.step)

    def train_epoch(self, epoch: int, on_step: Callable[[int, float], bool]) -> float:
        """Train on the batches of an epoch; return their mean loss.

        ``on_step`` hears how many steps are done and the loss of the last one, and says whether
        there is to be another one. Where a loss or a weight is not finite the epoch ends, and
        infinity is returned.
        """
        self._network.train()
        losses: list[float] = []
        for number, batch in enumerate(self._batches(epoch)):
            losses.append(self._train_step(epoch, number, batch))
            if not math.isfinite(losses[-1]) or not on_step(len(losses), losses[-1]):
                break
        return float(np.mean(losses)) if self._is_finite(losses) else math.inf

    def follow(self, processes: SeveralProcesses) -> None:
        """Compute the gradients that the first of the processes asks for, until it is done.

        Raises:
            DeepSegError: another process has failed, or is gone.
        """
        self._network.train()
        batches = OrderedBatches(self._batches)
        for order in processes.orders(self._network):
            torch.manual_seed(hash((self._dataset.seed, order.epoch, order.batch, processes.place)))
            batch = batches.get(order.epoch, order.batch)
            images = self._images(batch)
            self._micro_batches.parts = min(order.parts, max(1, len(images) // FEWEST_TILES))
            self._optimiser.zero_grad()
            try:
                self._micro_batches.add(images, partial(self._loss, batch=batch))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # the leader asks again, with more parts

    def state(self) -> TrainerState:
        """Return a copy of all that the next steps hang on."""
        return TrainerState(
            trainer_state.copied(self._module, self.network, self._optimiser),
            self.step,
            self.schedule,
            self.rate_share,
            self._micro_batches.parts,
        )

    def restore(self, state: TrainerState) -> None:
        """Go back to a state, or on from it.

        Raises:
            ValueError: it is of another network.
        """
        trainer_state.put_back(state.tensors, self._module, self.network, self._optimiser)
        self.step, self.schedule, self.rate_share = state.step, state.schedule, state.rate_share
        self._micro_batches.parts = state.parts

    def _train_step(self, epoch: int, number: int, batch: TrainingBatch) -> float:
        """Return the loss of a batch; the weights are a step further."""
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate
        self._optimiser.zero_grad()
        loss = self._micro_batches.backward(
            self._images(batch), partial(self._loss, batch=batch), epoch, number
        )
        self._fabric.clip_gradients(
            self._network,
            self._optimiser,
            max_norm=MAX_GRADIENT_NORM,
            error_if_nonfinite=False,  # the next loss tells
        )
        self._optimiser.step()
        self.step += 1
        self._averaged.update(self._module, self.step)
        return loss

    def _is_finite(self, losses: Sequence[float]) -> bool:
        weights = self._module.parameters()
        return all(map(math.isfinite, losses)) and all(each.isfinite().all() for each in weights)

    def _batches(self, epoch: int) -> Generator[TrainingBatch, None, None]:
        """Return the batches of an epoch, read by a thread ahead of their use."""
        numbers = range(self.steps * self._batch_size)
        loader = DataLoader(
            replace(self._dataset, epoch=epoch),
            batch_sampler=[
                self._processes.part(numbers[start : start + self._batch_size])
                for start in numbers[:: self._batch_size]
            ],
            collate_fn=self._collate,
            generator=torch.Generator(),  # else it would draw from the network's
        )
        return ahead((batch for batch in loader), BATCHES_WAITING, "reader")

    def _collate(self, samples: Sequence[TrainingSample]) -> TrainingBatch:
        return collate(samples, self._normalisation)

    def _images(self, batch: TrainingBatch) -> torch.Tensor:
        return self._to_device(batch.values).contiguous(memory_format=torch.channels_last)

    def _loss(self, logits: torch.Tensor, batch: TrainingBatch) -> torch.Tensor:
        """Return the loss of a batch, a scalar, from its logits (N, channels, H, W).

        Where processes share the batch, it is that of all of it.
        """
        total = self._processes.total
        classes, weight = self._to_device(batch.classes), self._to_device(batch.weight)
        if batch.heights is None or batch.edges is None:
            return segmentation_loss(logits, classes, weight, total)
        heights, edges = self._to_device(batch.heights), self._to_device(batch.edges)
        heads = networks.OBJECT_HEADS
        return segmentation_loss(logits[:, :-heads], classes, weight, total) + object_loss(
            logits[:, -heads:], heights, edges, weight, total
        )

    def _facts(self) -> torch.Tensor:
        """Return numbers that tell this training from another one, as good as always."""
        normalisation = torch.from_numpy(
            np.concatenate([self._normalisation.mean, self._normalisation.std]).astype(np.float64)
        )
        facts = [
            len(self._dataset),
            self._dataset.sampler.training_px,
            self._batch_size,
            sum(each.numel() for each in self.network.parameters()),
            self.bfloat16,
            self.device.type == "cuda",
            float(normalisation @ torch.arange(1.0, len(normalisation) + 1, dtype=torch.float64)),
        ]
        return torch.tensor(facts, dtype=torch.float64)

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)
