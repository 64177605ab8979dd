"""How a score grows with the number of annotations, and what twice as many would give. No I/O.

Sources: of the power law, Hestness and others, Deep Learning Scaling is Predictable, Empirically,
2017, and Viering, Loog, The Shape of Learning Curves: A Review, TPAMI 2023; of the intervals,
Efron, Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
INTERVAL = (0.05, 0.95)
"""Nine of ten draws lie between these."""
TRAINING_NOISE = 0.02
"""The standard deviation of a score from training to training of the same ground."""
LEAST_ERROR = 0.01
"""No score is taken to be nearer to 1."""
STEEPEST = 1.0
"""Errors fall no faster than the number of annotations grows."""
FEWEST_OBJECTS = 20
"""With fewer objects on the validation ground nothing is said of what more would bring."""
SOME_GAIN = 0.01
"""A gain below is none that anybody would notice."""

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number, and between what it lies in nine of ten cases."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """Scores (0 to 1) of models that learned from growing numbers of annotations.

    ``expected`` is the score with twice the last of ``annotations``, ``gain`` how much that is
    above the last score; ``objects`` is how many the scores were taken on. ``is_f1`` tells F1 of
    objects from mean IoU.
    """

    annotations: tuple[int, ...]
    scores: tuple[Estimate, ...]
    expected: Estimate
    gain: Estimate
    objects: int
    is_f1: bool

    @property
    def verdict(self) -> str:
        """What it says to whoever might draw more: ``more``, ``enough`` or ``unknown``."""
        if self.objects < FEWEST_OBJECTS:
            return "unknown"
        if self.gain.low >= SOME_GAIN:
            return "more"
        return "enough" if self.gain.high < 2 * SOME_GAIN else "unknown"


def learning_curve(
    annotations: Sequence[int],
    places: Sequence[NDArray[np.int64]],
    objects: int,
    is_f1: bool,
    rng: np.random.Generator,
) -> LearningCurve:
    """Return the curve of some trainings, with its uncertainty.

    Places are drawn again and again (what lies side by side is alike), the same ones for all
    trainings, and each score is moved by as much as trainings differ; the spread of what follows is
    the uncertainty.

    Args:
        annotations: (trainings,) how many each learned from.
        places: for each training (places, categories, 3), the true positives, false positives and
            false negatives at each place of the validation ground: objects, or pixels.
        objects: how many annotations lie there.
        is_f1: whether the score is F1, over all categories together, else the mean IoU of the
            categories.
        rng: draws the places.
    """
    number = np.array(annotations, dtype=np.float64)
    counts = np.stack(places).astype(np.float64)  # (trainings, places, categories, 3)
    weights = rng.multinomial(
        counts.shape[1], np.full(counts.shape[1], 1 / counts.shape[1]), size=DRAWS
    )
    once = np.ones((1, counts.shape[1]))
    scores = _scores(np.concatenate([once, weights]), counts, is_f1)  # (1 + draws, trainings)
    noise = rng.normal(scale=TRAINING_NOISE, size=scores.shape)
    gains = _gains(number, scores + np.where(np.arange(len(scores))[:, None] > 0, noise, 0.0))
    return LearningCurve(
        tuple(annotations),
        tuple(_estimate(each) for each in scores.T),
        _estimate(np.minimum(scores[:, -1] + gains, 1.0)),
        _estimate(gains),
        objects,
        is_f1,
    )


def _scores(weights: Floats, counts: Floats, is_f1: bool) -> Floats:
    """Return (draws, trainings) the scores, with ``weights`` (draws, places) on the places."""
    summed = np.einsum("dp,tpck->dtck", weights, counts)
    if is_f1:
        right, false, missed = np.moveaxis(summed.sum(axis=2), -1, 0)
        return _share(2.0 * right, 2.0 * right + false + missed)
    right, false, missed = np.moveaxis(summed, -1, 0)
    there = right + false + missed > 0
    each = _share(right, right + false + missed)
    return _share((each * there).sum(axis=-1), there.sum(axis=-1).astype(np.float64))


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _gains(number: Floats, scores: Floats) -> Floats:
    """Return (draws,) what twice as many annotations would add, by the power law 1 − s = b·n⁻ᶜ."""
    errors = np.clip(1.0 - scores, LEAST_ERROR, 1.0)
    x, y = np.log(number), np.log(errors)
    centred = x - x.mean()
    slopes = (centred * (y - y.mean(axis=1, keepdims=True))).sum(axis=1) / (centred**2).sum()
    slopes = np.clip(slopes, -STEEPEST, 0.0)
    last = np.exp(y.mean(axis=1) + slopes * centred[-1])
    gains: Floats = last * (1.0 - 2.0**slopes)
    return gains


def _estimate(draws: Floats) -> Estimate:
    """Return the first as the value, and the interval of the others."""
    low, high = np.quantile(draws[1:], INTERVAL)
    value = float(draws[0])
    return Estimate(value, min(float(low), value), max(float(high), value))
