"""The training losses, over pixels that are known: of categories, and of single objects.

Source of the soft Dice loss: Milletari, Navab, Ahmadi, V-Net, 3DV 2016 (with plain sums, not
squares, in the denominator).
"""

from __future__ import annotations

import torch
from torch.nn import functional

SMOOTH = 1.0
"""Pixels added to both sides of Dice, so that an absent category gives no wild gradient."""


def segmentation_loss(
    logits: torch.Tensor, classes: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Return cross entropy plus Dice, a scalar.

    Args:
        logits: (N, channels, H, W) float; one channel for a single category.
        classes: (N, H, W) int64, 0 for background.
        weight: (N, H, W) bool or float, how much a pixel counts for the cross entropy; where it is
            0 the pixel is not known, and counts for nothing.
    """
    weight, known = weight.float(), (weight > 0).float()
    count = known.sum().clamp(min=1.0)
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
    return (entropy * weight).sum() / count + _dice(share, wanted, known[:, None])


def object_loss(
    logits: torch.Tensor, heights: torch.Tensor, edges: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Return cross entropy of heights and edges, plus Dice of edges, a scalar.

    Args:
        logits: (N, 2, H, W) float, of heights and of edges.
        heights: (N, H, W) float from 0 to 1.
        edges: (N, H, W) bool.
        weight: as for `segmentation_loss`.
    """
    weight, known = weight.float()[:, None], (weight > 0).float()[:, None]
    wanted = torch.stack([heights, edges.float()], dim=1)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    mean = (entropy * weight).sum() / known.sum().clamp(min=1.0)
    return mean + _dice(logits[:, 1:].sigmoid(), wanted[:, 1:], known)


def _dice(share: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return 1 - Dice of (N, k, H, W), as a mean over the categories that occur in the batch."""
    axes = (0, 2, 3)
    common = (share * wanted * weight).sum(axes)
    total = ((share + wanted) * weight).sum(axes)
    dice = (2.0 * common + SMOOTH) / (total + SMOOTH)
    occurs = ((wanted * weight).sum(axes) > 0).float()
    return ((1.0 - dice) * occurs).sum() / occurs.sum().clamp(min=1.0)
