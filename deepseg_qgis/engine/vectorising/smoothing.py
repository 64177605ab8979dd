"""Arcs without stairs, rounded as natural things are. No I/O.

The corners of the pixels' edges are averaged along the arc with binomial weights, close to a
Gaussian of `SIGMA_PX`, twice: what the first round took away is averaged and given back (twicing,
J. W. Tukey, Exploratory Data Analysis, 1977), so that curves do not shrink. Nodes stay, and each
corner moves less than half of the way to the next outline.
"""

from __future__ import annotations

import numpy as np

from deepseg_qgis.engine.kernels import Floats, kernel
from deepseg_qgis.engine.vectorising.arcs import Path, edges_nearby, meets_itself, reduced

BOUND_PX = 2.0
"""How far an outline may be from the pixels' edges."""

SIGMA_PX = 2.0
_PASSES = int(2 * SIGMA_PX**2)  # one with the weights ¼, ½, ¼ has a variance of ½ px²
_STEPS_PER_PASS = 12  # short arcs and small rings are smoothed less, or they would vanish
_MOVED = 0.8  # the share of the freedom that averaging may take; thinning has the rest
_AT_ONCE = 256  # steps are thinned together: the time of thinning grows faster than their number
_THINNED = 0.15  # of SIMPLIFY


@kernel
def smoothed(path: Path, tolerance_px: float) -> tuple[Floats, Floats]:
    """Return columns and rows of an arc's rounded line; nothing where it would meet itself.

    ``tolerance_px`` is that of simplification.
    """
    nothing = np.empty(0, dtype=np.float64)
    us, vs, room = _in_steps(path)
    passes = min(_PASSES, (len(us) - 1) // _STEPS_PER_PASS)
    ps = _twiced(us, passes, path.ring)
    qs = _twiced(vs, passes, path.ring)
    for k in range(len(us)):
        dx, dy = ps[k] - us[k], qs[k] - vs[k]
        moved, most = np.sqrt(dx * dx + dy * dy), _MOVED * room[k]
        if moved > most:
            ps[k], qs[k] = us[k] + dx * most / moved, vs[k] + dy * most / moved
            moved = most
        room[k] = max(min(_THINNED * tolerance_px, room[k] - moved), 1e-6)
    stay = np.zeros(len(us), dtype=np.bool_)
    for low in range(0, len(us) - 1, _AT_ONCE):
        high = min(low + _AT_ONCE, len(us) - 1) + 1
        stay[low:high] |= reduced(ps[low:high], qs[low:high], room[low:high])
    at = np.flatnonzero(stay)
    if meets_itself(ps[at], qs[at], at, edges_nearby(BOUND_PX)):
        return nothing, nothing
    return ps[at], qs[at]


@kernel
def _in_steps(path: Path) -> tuple[Floats, Floats, Floats]:
    """Return the arc pixel by pixel, and how far each of the points may move."""
    xs, ys, free, _ = path
    steps = 0
    for k in range(len(xs) - 1):
        steps += int(abs(xs[k + 1] - xs[k]) + abs(ys[k + 1] - ys[k]))
    us = np.empty(steps + 1, dtype=np.float64)
    vs = np.empty(steps + 1, dtype=np.float64)
    room = np.empty(steps + 1, dtype=np.float64)
    n = 0
    for k in range(len(xs) - 1):
        length = int(abs(xs[k + 1] - xs[k]) + abs(ys[k + 1] - ys[k]))
        for i in range(length):
            share = i / length
            us[n] = xs[k] + share * (xs[k + 1] - xs[k])
            vs[n] = ys[k] + share * (ys[k + 1] - ys[k])
            room[n] = min(free[k], free[k + 1])
            n += 1
    us[n], vs[n], room[n] = xs[-1], ys[-1], free[-1]
    return us, vs, room


@kernel
def _twiced(values: Floats, passes: int, ring: bool) -> Floats:
    """Return averages along an arc, given back once what they took away."""
    once = _averaged(values, passes, ring)
    return once + _averaged(values - once, passes, ring)


@kernel
def _averaged(values: Floats, passes: int, ring: bool) -> Floats:
    """Return values averaged with ¼, ½, ¼ so many times; the ends of an arc stay, but of a ring."""
    one, other = values.copy(), values.copy()
    last = len(values) - 1
    for _ in range(passes):
        for k in range(1, last):
            other[k] = 0.25 * one[k - 1] + 0.5 * one[k] + 0.25 * one[k + 1]
        if ring:
            other[0] = 0.25 * one[last - 1] + 0.5 * one[0] + 0.25 * one[1]
            other[last] = other[0]
        one, other = other, one
    return one
