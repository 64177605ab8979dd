"""The processes that train one network together: what a training asks of them.

The first process leads, the others follow it (`several_processes`); most trainings have one alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from deepseg_qgis.engine.torchrun import ProcessPlace

FEWEST_TILES = 2
"""Batch normalisation needs two tiles in each process."""


class Order(NamedTuple):
    """What the leader wants next: the gradients of a batch of an epoch, in so many parts.

    In epoch `NO_EPOCH` there is nothing left to do.
    """

    epoch: int
    batch: int
    parts: int


NO_EPOCH = -1


class ProcessGroup:
    """The processes that train together; this one is alone, and has nobody to talk to."""

    place = ProcessPlace()

    def part(self, items: range) -> list[int]:
        """Return the part of a batch that is this process's, of nearly the same size in each."""
        return list(items)

    def device(self, kind: str) -> torch.device:
        """Return the device of a kind for this process."""
        return torch.device(kind)

    def compare(self, facts: torch.Tensor) -> None:
        """Check that all processes have the same facts of the training, a float64 vector.

        Raises:
            ParameterError: they have not.
        """

    def begin(self, order: Order, network: nn.Module) -> None:
        """Have the others compute gradients, too, with the weights of now."""

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Do in the block what all processes do, and leave it when all have done it.

        Raises:
            OutOfMemoryElsewhereError: one has not, for want of memory.
            DeepSegError: one has failed, or is gone.
        """
        yield

    def total(self, sums: torch.Tensor) -> torch.Tensor:
        """Return the sum over all processes of a vector, whose gradient stays this process's.

        Raises:
            OutOfMemoryElsewhereError: one did not get here, for want of memory.
            DeepSegError: one has failed, or is gone.
        """
        return sums

    def add_gradients(self, network: nn.Module) -> None:
        """Give the leader's network the sum of all gradients."""
