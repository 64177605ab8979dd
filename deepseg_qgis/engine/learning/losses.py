"""The training losses, over pixels that are known: of categories, and of single objects.

Each is a function of sums over the pixels of a batch, so that processes that have a part of it each
need to exchange nothing but these.

Source of the soft Dice loss: Milletari, Navab, Ahmadi, V-Net, 3DV 2016 (with plain sums, not
squares, in the denominator).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

SMOOTH = 1.0
"""Pixels added to both sides of Dice, so that an absent category gives no wild gradient."""

Total = Callable[[torch.Tensor], torch.Tensor]
"""From sums over the pixels that are here, a vector, to those over the whole batch."""


def all_here(sums: torch.Tensor) -> torch.Tensor:
    """Return the sums as they are: the whole batch is here."""
    return sums


def segmentation_loss(
    logits: torch.Tensor,
    classes: torch.Tensor,
    weight: torch.Tensor,
    total: Total = all_here,
) -> torch.Tensor:
    """Return cross entropy plus Dice, a scalar.

    Args:
        logits: (N, channels, H, W) float; one channel for a single category.
        classes: (N, H, W) int64, 0 for background.
        weight: (N, H, W) bool or float, how much a pixel counts for the cross entropy; where it is
            0 the pixel is not known, and counts for nothing.
        total: adds what other processes have of the batch.
    """
    weight, known = weight.float(), (weight > 0).float()
    if logits.shape[1] == 1:
        reference = (classes == 1).float()
        entropy = functional.binary_cross_entropy_with_logits(
            logits[:, 0], reference, reduction="none"
        )
        share, wanted = logits.sigmoid(), reference[:, None]
    else:
        entropy = functional.cross_entropy(logits, classes, reduction="none")
        share = logits.softmax(dim=1)[:, 1:]
        wanted = functional.one_hot(classes, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:].float()
    means = torch.stack([(entropy * weight).sum(), known.sum()])
    return _mean_and_dice(total(torch.cat([means, _dice_sums(share, wanted, known[:, None])])))


def object_loss(
    logits: torch.Tensor,
    heights: torch.Tensor,
    edges: torch.Tensor,
    weight: torch.Tensor,
    total: Total = all_here,
) -> torch.Tensor:
    """Return cross entropy of heights and edges, plus Dice of edges, a scalar.

    Args:
        logits: (N, 2, H, W) float, of heights and of edges.
        heights: (N, H, W) float from 0 to 1.
        edges: (N, H, W) bool.
        weight: as for `segmentation_loss`.
        total: as for `segmentation_loss`.
    """
    weight, known = weight.float()[:, None], (weight > 0).float()[:, None]
    wanted = torch.stack([heights, edges.float()], dim=1)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    means = torch.stack([(entropy * weight).sum(), known.sum()])
    dice = _dice_sums(logits[:, 1:].sigmoid(), wanted[:, 1:], known)
    return _mean_and_dice(total(torch.cat([means, dice])))


def _dice_sums(share: torch.Tensor, wanted: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return (3 k,) of (N, k, H, W): what both share, both together, and what is wanted."""
    axes = (0, 2, 3)
    common = (share * wanted * known).sum(axes)
    both = ((share + wanted) * known).sum(axes)
    return torch.cat([common, both, (wanted * known).sum(axes)])


def _mean_and_dice(sums: torch.Tensor) -> torch.Tensor:
    """Return the first sum divided by the second, plus 1 - Dice of the others (`_dice_sums`).

    Of Dice it is the mean over the categories that occur in the batch.
    """
    common, both, wanted = sums[2:].chunk(3)
    dice = (2.0 * common + SMOOTH) / (both + SMOOTH)
    occurs = (wanted > 0).float()
    missed = ((1.0 - dice) * occurs).sum() / occurs.sum().clamp(min=1.0)
    return sums[0] / sums[1].clamp(min=1.0) + missed
