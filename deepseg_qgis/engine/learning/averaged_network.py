"""A network with the average of another one's weights over its last steps."""

from __future__ import annotations

import copy

import torch
from torch import nn

MEMORY = 0.98
"""So large a share of the average stays at each step: it is of about the last fifty."""


class AveragedNetwork:
    """The exponential moving average of a network's weights, and of its batch statistics.

    ``network`` is a copy on the same device that is never trained. While the weights still move
    about, their average is nearly where they would come to rest if the learning rate fell: so a
    training may end at any step. In the first steps the average is of fewer, since they are far
    from where it leads.

    Source: Polyak, Juditsky, Acceleration of Stochastic Approximation by Averaging, SIAM J. Control
    Optim. 30, 1992; of exponential weights, Tarvainen, Valpola, Mean Teachers, NeurIPS 2017.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take the weights after a step into the average; the first step is 1."""
        new_share = 1.0 - min(MEMORY, step / (step + 9.0)) if step > 1 else 1.0
        averages = self.network.state_dict().values()
        pairs = list(zip(averages, network.state_dict().values(), strict=True))
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([pair[0] for pair in moving], [pair[1] for pair in moving], new_share)
        for average, count in pairs:
            if not average.is_floating_point():
                average.copy_(count)
