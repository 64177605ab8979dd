"""Outlines in another style than plain: right-angled or smooth. No I/O.

Arc by arc, like simplification, and with the same two safeguards: nodes stay where they are, and no
point of an outline moves by half of the way to the next one. So neighbours keep their border and
nothing overlaps, though no arc looks at another one. An arc that a style does not suit is
simplified, or stays along the pixels' edges where nothing is to be simplified.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.vectorising import right_angles, smoothing
from deepseg_qgis.engine.vectorising.arcs import ends_of_arcs, nearby, runs_forward, unpacked
from deepseg_qgis.engine.vectorising.right_angles import right_angled
from deepseg_qgis.engine.vectorising.simplification import plain, reach
from deepseg_qgis.engine.vectorising.smoothing import smoothed
from deepseg_qgis.engine.vectorising.vertices import NODE

"""The styles of outlines."""

_BOUNDS_PX = {
    "plain": 0.0,
    "right_angles": right_angles.BOUND_PX,
    "smooth": smoothing.BOUND_PX,
}
_MARGIN_PX = 2


def reach_of(outlines: str, simplify_px: float) -> int:
    """Return up to how many pixels clearances must be known for a style.

    That is a little more than twice its bound: an outline that leaves the square around a corner
    and comes back, as at sharp corners, is known for the same only within the largest square.
    """
    if outlines == "plain":
        return reach(simplify_px)
    return max(reach(_BOUNDS_PX[outlines]) + _MARGIN_PX, reach(simplify_px))


def styled(
    vertices: NDArray[np.int64], offsets: NDArray[np.int64], outlines: str, simplify_px: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return coordinates (n, 2) of closed rings in a style, and their offsets.

    Rings start at their topmost, leftmost point.
    """
    limit = _BOUNDS_PX[outlines]
    return _styled(vertices, offsets, outlines == "smooth", limit, simplify_px)


@njit(cache=True, nogil=True)
def _styled(vertices, offsets, smooth, limit, tolerance):
    out = np.empty((len(vertices) + len(offsets), 2), dtype=np.float64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    n = 0
    for i in range(len(offsets) - 1):
        loop = vertices[offsets[i] : offsets[i + 1]]
        out, n = _ring(loop, smooth, limit, tolerance, out, n)
        ends[i + 1] = n
    return out[:n].copy(), ends


@njit(cache=True, nogil=True)
def _ring(loop, smooth, limit, tolerance, out, n):
    """Append a loop's ring; return the coordinates and their number."""
    size = len(loop)
    nodes = ends_of_arcs(loop)
    first = np.argmax(nodes)
    start, begin = first, n
    while True:
        length = 1
        while not nodes[(start + length) % size]:
            length += 1
        forward = runs_forward(loop, start, length)
        xs, ys = _line(loop, start, length, forward, smooth, limit, tolerance)
        while n + len(xs) > len(out):
            longer = np.empty((2 * len(out), 2), dtype=np.float64)
            longer[:n] = out[:n]
            out = longer
        for k in range(len(xs) - 1):  # the last one is the next arc's first
            at = k if forward else len(xs) - 1 - k
            out[n, 0], out[n, 1] = xs[at], ys[at]
            n += 1
        start = (start + length) % size
        if start == first:
            break
    lowest = begin
    for k in range(begin, n):
        if (out[k, 1], out[k, 0]) < (out[lowest, 1], out[lowest, 0]):
            lowest = k
    if lowest > begin:
        rolled = np.concatenate((out[lowest:n], out[begin:lowest]))
        out[begin:n] = rolled
    out[n] = out[begin]
    return out, n + 1


@njit(cache=True, nogil=True)
def _line(loop, start, length, forward, smooth, limit, tolerance):
    """Return columns and rows of the line that an arc becomes, its ends included."""
    xs, ys, free = unpacked(loop, start, length, forward, limit)
    ring = length == len(loop) and loop[start] & NODE == 0
    if smooth:
        us, vs = smoothed(xs, ys, free, ring, tolerance)
    else:
        us, vs = right_angled(xs, ys, free, ring)
    if len(us) > 0:
        return us, vs
    if tolerance <= 0.0:
        return xs, ys
    xs, ys, free = unpacked(loop, start, length, forward, tolerance)
    at = np.flatnonzero(plain(xs, ys, free, nearby(tolerance)))
    return xs[at], ys[at]
