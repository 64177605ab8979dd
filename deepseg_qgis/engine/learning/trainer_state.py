"""What the next steps of a training hang on, as tensors by name: copied, checked, put back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from deepseg_qgis.engine.learning.schedule import Schedule

NETWORK, AVERAGE, OPTIMISER, RANDOM = "network.", "average.", "optimiser.", "random."
"""Prefixes of the names of tensors."""


@dataclass(frozen=True)
class TrainerState:
    """All that a trainer needs to go on as if it had never stopped.

    ``tensors``, on the CPU, are the network's weights and buffers, their averages, the optimiser's
    moments and the states of torch's random generators. ``step`` is the number of steps done;
    ``rate_share`` the share of the learning rate that is used; ``parts`` how many a batch is
    computed in.
    """

    tensors: Mapping[str, torch.Tensor]
    step: int
    schedule: Schedule
    rate_share: float
    parts: int


def copied(
    network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Return the tensors of a `TrainerState`; as much memory as four times the weights."""
    tensors = {NETWORK + name: each for name, each in network.state_dict().items()}
    tensors |= {AVERAGE + name: each for name, each in average.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"{OPTIMISER}{number}.{name}": each for name, each in moments.items()}
    tensors[RANDOM + "cpu"] = torch.get_rng_state()
    if _device(network).type == "cuda":
        tensors[RANDOM + "cuda"] = torch.cuda.get_rng_state(_device(network))
    return {name: each.detach().to("cpu", copy=True) for name, each in tensors.items()}


def put_back(
    tensors: Mapping[str, torch.Tensor],
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Give network, average, optimiser and random generators the state that `copied` returned.

    Raises:
        ValueError: they are of another network or device.
    """
    moments = _moments(tensors, optimiser)
    try:
        network.load_state_dict(named(tensors, NETWORK))
        average.load_state_dict(named(tensors, AVERAGE))
        torch.set_rng_state(tensors[RANDOM + "cpu"])
        if _device(network).type == "cuda":
            torch.cuda.set_rng_state(tensors[RANDOM + "cuda"], _device(network))
    except (RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"not the state of this network: {error}") from error
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})


def named(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {
        name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)
    }


def _moments(
    tensors: Mapping[str, torch.Tensor], optimiser: torch.optim.Optimizer
) -> dict[int, dict[str, torch.Tensor]]:
    """Return the optimiser's moments by the number of their parameter; none before the first step.

    Raises:
        ValueError: a parameter has another shape.
    """
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, each in tensors.items():
        if not name.startswith(OPTIMISER):
            continue
        number, moment = name.removeprefix(OPTIMISER).split(".", 1)
        parameter = parameters[int(number)] if int(number) < len(parameters) else None
        if parameter is None or (each.dim() and each.shape != parameter.shape):
            raise ValueError(f"not the state of this optimiser: {name}")
        if each.dim():  # fused kernels run over memory, so moments lie there as their parameter
            each = torch.empty_like(parameter, dtype=each.dtype).copy_(each)
        moments.setdefault(int(number), {})[moment] = each
    return moments


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
