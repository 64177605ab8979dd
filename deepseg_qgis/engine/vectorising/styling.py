"""Outlines in another style than plain: right-angled or smooth. No I/O.

Arc by arc, like simplification, and with the same two safeguards: nodes stay where they are, and no
point of an outline moves by half of the way to the next one. So neighbours keep their border and
nothing overlaps, though no arc looks at another one. An arc that a style does not suit is
simplified, or stays along the pixels' edges where nothing is to be simplified.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepseg_qgis.engine.kernels import Floats, Ints, kernel
from deepseg_qgis.engine.vectorising import right_angles, smoothing
from deepseg_qgis.engine.vectorising.arcs import Arc, arc_from, ends_of_arcs, path_of
from deepseg_qgis.engine.vectorising.right_angles import right_angled
from deepseg_qgis.engine.vectorising.simplification import clearance_needed_px, kept_vertices
from deepseg_qgis.engine.vectorising.smoothing import smoothed

"""The styles of outlines."""

_BOUNDS_PX = {
    "plain": 0.0,
    "right_angles": right_angles.BOUND_PX,
    "smooth": smoothing.BOUND_PX,
}
_MARGIN_PX = 2


class _Style(NamedTuple):
    """Whether arcs are smooth or right-angled, how far both may stray, and simplified ones."""

    smooth: bool
    bound_px: float
    tolerance_px: float


def clearance_limit_px(outlines: str, simplify_px: float) -> int:
    """Return up to how many pixels clearances must be known for a style.

    That is a little more than twice its bound: an outline that leaves the square around a corner
    and comes back, as at sharp corners, is known for the same only within the largest square.
    """
    if outlines == "plain":
        return clearance_needed_px(simplify_px)
    own = clearance_needed_px(_BOUNDS_PX[outlines]) + _MARGIN_PX
    return max(own, clearance_needed_px(simplify_px))


def styled(vertices: Ints, offsets: Ints, outlines: str, simplify_px: float) -> tuple[Floats, Ints]:
    """Return coordinates (n, 2) of closed rings in a style, and their offsets.

    Rings start at their topmost, leftmost point.
    """
    style = _Style(outlines == "smooth", _BOUNDS_PX[outlines], float(simplify_px))
    return _styled(vertices, offsets, style)


@kernel
def _styled(vertices: Ints, offsets: Ints, style: _Style) -> tuple[Floats, Ints]:
    out = np.empty((len(vertices) + len(offsets), 2), dtype=np.float64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    n = 0
    for i in range(len(offsets) - 1):
        loop = vertices[offsets[i] : offsets[i + 1]]
        out, n = _ring(loop, style, out, n)
        ends[i + 1] = n
    return out[:n].copy(), ends


@kernel
def _ring(loop: Ints, style: _Style, out: Floats, n: int) -> tuple[Floats, int]:
    """Append a loop's ring; return the coordinates and their number."""
    nodes = ends_of_arcs(loop)
    first = int(np.argmax(nodes))
    start, begin = first, n
    while True:
        arc = arc_from(loop, nodes, start)
        xs, ys = _line(loop, arc, style)
        while n + len(xs) > len(out):
            longer = np.empty((2 * len(out), 2), dtype=np.float64)
            longer[:n] = out[:n]
            out = longer
        for k in range(len(xs) - 1):  # the last one is the next arc's first
            at = k if arc.forward else len(xs) - 1 - k
            out[n, 0], out[n, 1] = xs[at], ys[at]
            n += 1
        start = (start + arc.length) % len(loop)
        if start == first:
            break
    _roll_to_topmost(out[begin:n])
    out[n] = out[begin]
    return out, n + 1


@kernel
def _roll_to_topmost(ring: Floats) -> None:
    """Let a ring start at its topmost, leftmost point."""
    first = 0
    for k in range(len(ring)):
        if (ring[k, 1], ring[k, 0]) < (ring[first, 1], ring[first, 0]):
            first = k
    if first > 0:
        ring[:] = np.concatenate((ring[first:], ring[:first]))


@kernel
def _line(loop: Ints, arc: Arc, style: _Style) -> tuple[Floats, Floats]:
    """Return columns and rows of the line that an arc becomes, its ends included."""
    path = path_of(loop, arc, style.bound_px)
    if style.smooth:
        us, vs = smoothed(path, style.tolerance_px)
    else:
        us, vs = right_angled(path.xs, path.ys, path.free, path.ring)
    if len(us) > 0:
        return us, vs
    if style.tolerance_px <= 0.0:
        return path.xs, path.ys
    path = path_of(loop, arc, style.tolerance_px)
    at = np.flatnonzero(kept_vertices(path, style.tolerance_px))
    return path.xs[at], path.ys[at]
