"""How many points a stratified random sample needs, and how they are shared out. No I/O.

Equations: Olofsson et al. (2014), see `stratified_estimation`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.scoring.stratified_estimation import Z
from deepseg_qgis.errors import ParameterError

Shares = NDArray[np.float64]
Sizes = NDArray[np.int64]


def advised_size(weights: Shares, accuracies: Shares, half_width: float) -> int:
    """Return how many points give the overall accuracy to within ± ``half_width`` (eq. 13).

    ``weights`` are the strata's shares of the ground, ``accuracies`` the user's accuracies that are
    expected. The map has far more places than points.
    """
    spread = float((weights * np.sqrt(accuracies * (1.0 - accuracies))).sum())
    return math.ceil((spread / (half_width / Z)) ** 2)


def expected_half_width(weights: Shares, accuracies: Shares, sizes: Sizes) -> float:
    """Return the half of the 95 % interval of the overall accuracy that is expected (eq. 5)."""
    variances = weights**2 * accuracies * (1.0 - accuracies) / (sizes - 1)
    return Z * math.sqrt(float(variances.sum()))


def allocated(total: int, weights: Shares, least: int) -> Sizes:
    """Return (strata,) the points of each stratum: by its share of the ground, at least ``least``.

    What the small ones get beyond their share, the others give (section 5.1.2 of the paper).

    Raises:
        ParameterError: there are too few points.
    """
    if total < least * len(weights):
        raise ParameterError(
            f"{total:,} points are too few for {len(weights):,} categories with at least {least:,} "
            f"each. Choose a sample size of {least * len(weights):,} or more, or fewer points for "
            "each category."
        )
    small = np.zeros(len(weights), dtype=bool)
    while True:
        rest = total - least * int(small.sum())
        exact = np.where(small, float(least), 0.0)
        exact[~small] = rest * weights[~small] / weights[~small].sum() if (~small).any() else 0.0
        short = ~small & (exact < least)
        if not short.any():
            return _rounded(exact, total)
        small |= short


def _rounded(exact: Shares, total: int) -> Sizes:
    """Return whole numbers of the same sum: those with the largest remainders are rounded up."""
    whole = np.floor(exact).astype(np.int64)
    missing = min(max(total - int(whole.sum()), 0), len(whole))
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole
