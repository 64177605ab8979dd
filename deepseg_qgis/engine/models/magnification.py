"""Networks that see a raster larger than it is, and answer on its own grid.

An encoder halves the picture as its first step, so an object of a few pixels is hardly there any
more where shapes are recognised. Magnified, it covers as many pixels as others do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


def magnify(network: nn.Module, factor: int) -> None:
    """Have a network (N, bands, H, W) → (N, channels, H, W) look at its input magnified.

    The input is enlarged bilinearly, and each pixel's logits are the mean over the factor² that it
    became. Hooks do it, not a network around this one: so all weights keep their names, and one
    magnification can begin with another's.
    """

    def enlarge(_: nn.Module, inputs: tuple[Any, ...]) -> torch.Tensor:
        enlarged: torch.Tensor = functional.interpolate(
            inputs[0], scale_factor=float(factor), mode="bilinear"
        )
        return enlarged.contiguous(memory_format=torch.channels_last)

    def reduce(_: nn.Module, __: tuple[Any, ...], logits: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(logits, factor)

    if factor > 1:
        network.register_forward_pre_hook(enlarge)
        network.register_forward_hook(reduce)
