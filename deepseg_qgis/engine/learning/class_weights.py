"""How much a pixel of each class counts in the loss, by how often it is drawn. No I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POWER = 0.5
"""Weights grow by the inverse frequency to this power: sampling has done its part before."""
MOST_WEIGHT = 10.0
"""A pixel of the rarest category counts at most so many times one of the most frequent category."""


def class_weights(drawn_px: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the weight (classes,) of a pixel of each class, background first.

    Categories are weighed against each other, the most frequent of them as background: with
    background weighed less than a category, every outline would grow beyond its object. The mean
    over the pixels drawn is 1, so that the learning rate means what it did.

    Args:
        drawn_px: (classes,), pixels of each class in training windows, background first.
    """
    counts = np.maximum(drawn_px, 1).astype(np.float64)
    weights = np.minimum((counts[1:].max() / counts[1:]) ** POWER, MOST_WEIGHT)
    weights = np.append(1.0, weights)
    mean = (weights * counts).sum() / counts.sum()
    result: NDArray[np.float32] = (weights / mean).astype(np.float32)
    return result
