"""The gradients of a batch, in parts where the memory is short.

The loss is that of the whole batch, whatever it sums or divides by: the network runs once without
gradients for the logits, the loss gives the gradient at these, and the network runs again part by
part to carry it on to the weights. Source: Gao, Zhang, Han, Callan, Scaling Deep Contrastive
Learning Batch Size under Memory Limited Setup, RepL4NLP 2021 (gradient caching). Only batch
normalisation sees the parts instead of the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import nn

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.faults import is_out_of_memory
from deepseg_qgis.engine.learning.depthwise_gradients import DepthwiseGradients
from deepseg_qgis.engine.learning.process_group import FEWEST_TILES, Order, ProcessGroup
from deepseg_qgis.errors import ResourceError

Loss = Callable[[torch.Tensor], torch.Tensor]
"""From the logits of a whole batch to its loss, a scalar."""


class MicroBatches:
    """Runs a network forward and backward; ``parts`` grows when the memory runs out.

    Memory: with one part all activations of a batch; with k parts a k-th of them, and the logits.
    With several ``processes`` each has its share of a batch, and may cut that into parts.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        control: Control,
        processes: ProcessGroup | None = None,
    ) -> None:
        self._fabric, self._network, self._control = fabric, network, control
        self._processes = processes or ProcessGroup()
        self.parts = 1

    def backward(self, images: torch.Tensor, loss: Loss, epoch: int = 0, batch: int = 0) -> float:
        """Add the gradients of a batch (N, bands, H, W) to the weights'; return its loss.

        Other processes do the same with their share of that batch of that epoch.

        Raises:
            ResourceError: the memory is not enough for `FEWEST_TILES`.
            DeepSegError: another process has failed.
        """
        while True:
            self._processes.begin(Order(epoch, batch, self.parts), self._network)
            try:
                return self.add(images, loss)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._use_more_parts(images, error)
            self._network.zero_grad()  # out here, where the error holds no activations any more
            if images.is_cuda:
                torch.cuda.empty_cache()

    def add(self, images: torch.Tensor, loss: Loss) -> float:
        """Do `backward` once, with as many parts as it takes by now."""
        with DepthwiseGradients(), self._processes.together():
            found = self._added(images, loss)
        self._processes.add_gradients(self._network)
        return found

    def _added(self, images: torch.Tensor, loss: Loss) -> float:
        return self._whole(images, loss) if self.parts == 1 else self._parts(images, loss)

    def _whole(self, images: torch.Tensor, loss: Loss) -> float:
        found = loss(self._network(images).float())  # of (N, channels, H, W)
        self._fabric.backward(found)
        return float(found.detach())

    def _parts(self, images: torch.Tensor, loss: Loss) -> float:
        parts = images.tensor_split(self.parts)
        devices = [images.device] if images.is_cuda else []
        with torch.random.fork_rng(devices), torch.no_grad():  # what dropout draws is drawn again
            logits = torch.cat([self._network(part).float() for part in parts])
        found = loss(logits.requires_grad_())
        found.backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None  # it was asked for
        for part, gradient in zip(parts, logits.grad.tensor_split(self.parts), strict=True):
            self._fabric.backward(self._network(part).float(), gradient)
        return float(found.detach())

    def _use_more_parts(self, images: torch.Tensor, error: Exception) -> None:
        tiles, side = images.shape[0], images.shape[-1]
        before, parts = -(-tiles // self.parts), min(2 * self.parts, tiles // FEWEST_TILES)
        if parts <= self.parts:
            raise ResourceError(
                f"The memory is not enough to train this network on tiles of {side} px, even on "
                f"{before} at a time. Choose a smaller tile size or a smaller model, or close "
                "other programs."
            ) from error
        self.parts = parts
        self._control.log(
            f"The memory was not enough for {before} tiles at a time. Training goes on with "
            f"{-(-tiles // parts)} at a time; batches stay as large as they were, and take about "
            "a third longer."
        )
