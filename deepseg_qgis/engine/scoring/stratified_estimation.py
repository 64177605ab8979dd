"""Accuracies and areas from a stratified random sample, with standard errors and intervals. No I/O.

Equations: P. Olofsson, G. M. Foody, M. Herold, S. V. Stehman, C. E. Woodcock and M. A. Wulder, Good
practices for estimating area and assessing accuracy of land change, Remote Sensing of Environment
148 (2014), 42-57. The strata are the categories of the map, in the order of those of the reference.

Their intervals (± 1.96 standard errors) are too short where errors are rare: a stratum in which no
error was met gets an error of 0 for certain. `Estimate.low` and `Estimate.high` are therefore made
of intervals of the single proportions. docs/areas.md tells how often each holds the truth.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Z = 1.96
"""Standard errors on either side in a 95 % interval, as the paper has it."""
OUTSIDE = 0.025
"""The probability beyond each end of a 95 % interval."""
FEWEST_POINTS = 2
"""Of each stratum: from one point no variance can be told."""

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


class Estimate(NamedTuple):
    """A share from 0 to 1 with its standard error, and the 95 % interval from low to high."""

    value: float
    standard_error: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """The half of the paper's interval, value ± 1.96 standard errors (eq. 12)."""
        return Z * self.standard_error


class _Bounds(NamedTuple):
    """A sum or share with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class StratifiedSample:
    """Points by stratum (rows) and reference category (columns), both in the same order.

    ``counts`` has shape (categories, categories), ``weights`` (categories,) is the share of each
    stratum of the map's ground, and sums to 1.

    Raises:
        ValueError: the shapes do not fit, or a stratum has fewer than two points.
    """

    counts: Counts
    weights: Shares

    def __post_init__(self) -> None:
        categories = len(self.weights)
        if self.counts.shape != (categories, categories):
            raise ValueError(f"counts {self.counts.shape} do not fit {categories} weights")
        if (self.sizes < FEWEST_POINTS).any():
            raise ValueError(f"a stratum has fewer than {FEWEST_POINTS} points: {self.sizes}")

    @property
    def sizes(self) -> Counts:
        """Return (categories,) the number of points of each stratum."""
        return np.asarray(self.counts.sum(axis=1))

    @functools.cached_property
    def shares(self) -> Shares:
        """(strata, categories): the share of each stratum's points that are of each category."""
        return np.asarray(self.counts / self.sizes[:, None])

    @property
    def error_matrix(self) -> Shares:
        """(strata, categories): the shares of the map's ground (eq. 4), which sum to 1."""
        return np.asarray(self.weights[:, None] * self.shares)

    @property
    def overall_accuracy(self) -> Estimate:
        """The share of the ground that the map is right about (eq. 1 and 5)."""
        right = np.diagonal(self.counts)
        return self._sum_over_strata(right)

    def area_share(self, category: int) -> Estimate:
        """Return the share of the ground that is of a category (eq. 9 and 10)."""
        return self._sum_over_strata(self.counts[:, category])

    def users_accuracy(self, category: int) -> Estimate:
        """Return the share of what the map calls a category that is of it (eq. 2 and 6)."""
        share = float(self.shares[category, category])
        size = int(self.sizes[category])
        error = math.sqrt(share * (1.0 - share) / (size - 1))
        bounds = _proportion(int(self.counts[category, category]), size)
        return Estimate(share, error, bounds.low, bounds.high)

    def producers_accuracy(self, category: int) -> Estimate | None:
        """Return the share of a category's ground that the map calls so (eq. 3 and 7).

        None where no point is of the category. The interval comes from the ratio of what was
        overlooked to what was found, which are of different strata and thus independent.
        """
        found = self._sum_over_strata(self.counts[:, category], [category])
        others = [number for number in range(len(self.weights)) if number != category]
        overlooked = self._sum_over_strata(self.counts[:, category], others)
        area = found.value + overlooked.value
        if area == 0.0:
            return None
        share = found.value / area
        variance = (
            ((1.0 - share) * found.standard_error) ** 2 + (share * overlooked.standard_error) ** 2
        ) / area**2
        low, high = _ratio_ends(
            _Bounds(overlooked.value, overlooked.low, overlooked.high),
            _Bounds(found.value, found.low, found.high),
        )
        return Estimate(share, math.sqrt(variance), 1.0 / (1.0 + high), 1.0 / (1.0 + low))

    def _sum_over_strata(self, counts: Counts, strata: list[int] | None = None) -> Estimate:
        """Return the weighed sum of one share of each stratum, with the ends by `_combined`."""
        chosen = range(len(self.weights)) if strata is None else strata
        value = variance = below = above = 0.0
        for number in chosen:
            weight, size = float(self.weights[number]), int(self.sizes[number])
            share, low, high = _proportion(int(counts[number]), size)
            value += weight * share
            variance += weight**2 * share * (1.0 - share) / (size - 1)
            # Zou, Huang and Zhang, Comput. Stat. Data Anal. 53 (2009), 1080-1085
            below += (weight * (share - low)) ** 2
            above += (weight * (high - share)) ** 2
        low, high = value - math.sqrt(below), value + math.sqrt(above)
        return Estimate(value, math.sqrt(variance), max(low, 0.0), min(high, 1.0))


@functools.lru_cache(maxsize=4096)
def _proportion(count: int, size: int) -> _Bounds:
    """Return a share of points with Jeffreys' interval.

    Brown, Cai and DasGupta, Interval estimation for a binomial proportion, Statistical Science 16
    (2001), 101-133.
    """
    a, b = count + 0.5, size - count + 0.5
    low = 0.0 if count == 0 else float(betaincinv(a, b, OUTSIDE))
    high = 1.0 if count == size else float(betaincinv(a, b, 1.0 - OUTSIDE))
    return _Bounds(count / size, low, high)


def _ratio_ends(above: _Bounds, below: _Bounds) -> tuple[float, float]:
    """Return the ends of the interval of a ratio of two independent estimates, infinite at most.

    Donner and Zou, Closed-form confidence intervals for functions of the normal mean and standard
    deviation, Stat. Methods Med. Res. 21 (2012), 347-359; written so that nothing cancels out.
    """
    product = above.value * below.value
    low = _end(product, above.low * (2.0 * above.value - above.low), below.high, below.value)
    divisor = below.low * (2.0 * below.value - below.low)
    if divisor <= 0.0:
        return low, math.inf
    wide = product**2 - above.high * (2.0 * above.value - above.high) * divisor
    return low, (product + math.sqrt(max(wide, 0.0))) / divisor


def _end(product: float, numerator: float, high: float, value: float) -> float:
    if numerator <= 0.0:
        return 0.0
    root = math.sqrt(max(product**2 - numerator * high * (2.0 * value - high), 0.0))
    return numerator / (product + root)
