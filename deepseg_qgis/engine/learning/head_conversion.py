"""The last convolution of a network, rewritten for other categories. No I/O.

Its channels are one logit where there is one category (against background, through a sigmoid), else
those of background and of each category (through a softmax), then `OBJECT_HEADS` where objects are
separated. Whatever becomes of the categories, those that stay are decided as before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from deepseg_qgis.engine.models.networks import OBJECT_HEADS

NEW_SHARE = 0.02
"""A category that is new gets so large a share of what was background until it is learned."""


class HeadLayout(NamedTuple):
    """What the channels of a head mean: so many categories, and whether it has object heads."""

    categories: int
    objects: bool


def head_name(network: nn.Module) -> str:
    """Return the name of a network's last convolution, as in 'segmentation_head.0'."""
    last = ""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and name.startswith("segmentation_head"):
            last = name
    return last


def converted(
    old: torch.Tensor,
    layout: HeadLayout,
    sources: Sequence[int | None],
    fresh_objects: torch.Tensor,
) -> torch.Tensor:
    """Return the weight or bias of a head for other categories.

    Args:
        old: (channels, …), laid out as ``layout`` says.
        layout: of ``old``.
        sources: for each category which one of the old categories it is, None for a new one.
        fresh_objects: (`OBJECT_HEADS` or 0, …), taken where the old head has none of them; its
            length says whether there are to be any.

    A softmax takes differences of logits alone, so a sigmoid's logit z is the same as the two
    logits 0 and z; and of several categories one that is left has its logit less the background's.
    A new category's logit is the background's less log(1/`NEW_SHARE`).
    """
    background, categories = _rows(old, layout)
    # a bias has one axis, a weight has more: only the bias makes a category rare
    offset = math.log(NEW_SHARE) if old.dim() == 1 else 0.0
    rows = [background + offset if i is None else categories[i] for i in sources]
    wanted = torch.stack([rows[0] - background] if len(rows) == 1 else [background, *rows])
    objects = old[-OBJECT_HEADS:] if layout.objects else fresh_objects
    return torch.cat([wanted, objects[: len(fresh_objects)]])


def _rows(old: torch.Tensor, layout: HeadLayout) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the background's row and those of the categories."""
    if layout.categories == 1:
        return torch.zeros_like(old[0]), old[:1]
    return old[0], old[1 : 1 + layout.categories]
