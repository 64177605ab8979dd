"""Arcs, the stretches of an outline from one node to the next, alike from both sides. No I/O.

Two objects along an arc see it in opposite directions; here it always runs from the end that comes
first row by row, so whatever is computed of an arc alone is the same for both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepseg_qgis.engine.kernels import Flags, Floats, Ints, kernel
from deepseg_qgis.engine.vectorising.vertices import (
    NODE,
    clearance_of,
    column_of,
    corner_of,
    row_of,
)


class Arc(NamedTuple):
    """A stretch of a loop: its first vertex, its number of edges, and whether it runs as taken."""

    start: int
    length: int
    forward: bool


class Path(NamedTuple):
    """The vertices of an arc: columns, rows, and how far each may move, in pixels.

    A ``ring`` has no node.
    """

    xs: Floats
    ys: Floats
    free: Floats
    ring: bool


@kernel
def ends_of_arcs(loop: Ints) -> Flags:
    """Return which vertices of a loop are nodes; the first is taken for one where none is."""
    ends = np.zeros(len(loop), dtype=np.bool_)
    found = False
    for k in range(len(loop)):
        if loop[k] & NODE:
            ends[k] = True
            found = True
    if not found:
        ends[0] = True
    return ends


@kernel
def arc_from(loop: Ints, ends: Flags, start: int) -> Arc:
    """Return the arc that starts at one of the ends."""
    size = len(loop)
    length = 1
    while not ends[(start + length) % size]:
        length += 1
    return Arc(start, length, _runs_forward(loop, start, length))


@kernel
def _runs_forward(loop: Ints, start: int, length: int) -> bool:
    """Return whether an arc is taken as it runs; its mirror image must answer the opposite."""
    size = len(loop)
    one, other = corner_of(loop[start]), corner_of(loop[(start + length) % size])
    if one == other:
        one = corner_of(loop[(start + 1) % size])
        other = corner_of(loop[(start + length - 1) % size])
    return one < other


@kernel
def path_of(loop: Ints, arc: Arc, bound_px: float) -> Path:
    """Return an arc's vertices; each may move by up to ``bound_px``.

    And by up to half of the way to the next outline, along both of its edges.
    """
    start, length, forward = arc
    size = len(loop)
    xs = np.empty(length + 1, dtype=np.float64)
    ys = np.empty(length + 1, dtype=np.float64)
    free = np.empty(length + 1, dtype=np.float64)
    for k in range(length + 1):
        at = k if forward else length - k
        vertex = loop[(start + at) % size]
        xs[k], ys[k] = column_of(vertex), row_of(vertex)
        after = clearance_of(vertex)
        before = clearance_of(loop[(start + at - 1) % size])
        free[k] = min(bound_px, 0.5 * min(after, before))
    return Path(xs, ys, free, length == size and loop[start] & NODE == 0)


@kernel
def reduced(xs: Floats, ys: Floats, free: Floats) -> Flags:
    """Return which points of an arc stay: the others are less than ``free`` away from the line."""
    last = len(xs) - 1
    stay = np.zeros(last + 1, dtype=np.bool_)
    stay[0] = stay[last] = True
    if xs[0] == xs[last] and ys[0] == ys[last]:
        far = _farthest(xs, ys)
        stay[far] = True
        _reduce(xs, ys, free, stay, 0, far)
        _reduce(xs, ys, free, stay, far, last)
        if stay.sum() < 4:  # a ring of two edges
            stay[:] = True
    else:
        _reduce(xs, ys, free, stay, 0, last)
    return stay


@kernel
def _farthest(xs: Floats, ys: Floats) -> int:
    """Return the point that is farthest from the first."""
    far, most = 0, 0.0
    for k in range(1, len(xs)):
        distance = (xs[k] - xs[0]) ** 2 + (ys[k] - ys[0]) ** 2
        if distance > most:
            far, most = k, distance
    return far


@kernel
def _reduce(xs: Floats, ys: Floats, free: Floats, stay: Flags, low: int, high: int) -> None:
    """Keep what strays too far from the straight line between two points, again and again."""
    pending = [(low, high)]
    while len(pending) > 0:
        low, high = pending.pop()
        if high - low < 2:
            continue
        worst, most = low, 0.0
        dx, dy = xs[high] - xs[low], ys[high] - ys[low]
        square = dx * dx + dy * dy
        for k in range(low + 1, high):
            x, y = xs[k] - xs[low], ys[k] - ys[low]
            share = min(max((x * dx + y * dy) / square, 0.0), 1.0) if square > 0 else 0.0
            away = (x - share * dx) ** 2 + (y - share * dy) ** 2
            strays = away / (free[k] * free[k])
            if strays > most:
                worst, most = k, strays
        if most >= 1.0:
            stay[worst] = True
            pending.append((low, worst))
            pending.append((worst, high))


@kernel
def edges_nearby(bound_px: float) -> int:
    """Return within how many edges of an arc its parts can meet, when points move that far.

    They can meet only within a clearance, a square of so many edges at most.
    """
    return 8 * int(np.ceil(2.0 * bound_px)) ** 2


@kernel
def meets_itself(xs: Floats, ys: Floats, at: Ints, near: int) -> bool:
    """Return whether edges of a line meet that are near each other along it.

    ``at`` (ascending) says at which of the arc's vertices the line's points are, and ``near`` how
    many of those apart edges can meet.
    """
    last = len(at) - 1
    for i in range(last):
        a, b = i, i + 1
        for j in range(i + 1, last):
            if at[j] - at[i + 1] > near:
                break
            c, d = j, j + 1
            if j == i + 1:  # they share b; do they fold back?
                cross = (xs[b] - xs[a]) * (ys[d] - ys[b]) - (ys[b] - ys[a]) * (xs[d] - xs[b])
                along = (xs[b] - xs[a]) * (xs[d] - xs[b]) + (ys[b] - ys[a]) * (ys[d] - ys[b])
                if cross == 0.0 and along < 0.0:
                    return True
                continue
            if i == 0 and d == last and xs[a] == xs[d] and ys[a] == ys[d]:
                continue  # the ends of a ring
            if _meet(xs, ys, a, b, c, d):
                return True
    return False


@kernel
def _side(xs: Floats, ys: Floats, a: int, b: int, c: int) -> float:
    return (xs[b] - xs[a]) * (ys[c] - ys[a]) - (ys[b] - ys[a]) * (xs[c] - xs[a])


@kernel
def _meet(xs: Floats, ys: Floats, a: int, b: int, c: int, d: int) -> bool:
    """Return whether the segments a-b and c-d share a point."""
    if max(xs[a], xs[b]) < min(xs[c], xs[d]) or max(xs[c], xs[d]) < min(xs[a], xs[b]):
        return False
    if max(ys[a], ys[b]) < min(ys[c], ys[d]) or max(ys[c], ys[d]) < min(ys[a], ys[b]):
        return False
    one, other = _side(xs, ys, a, b, c), _side(xs, ys, a, b, d)
    if (one > 0 and other > 0) or (one < 0 and other < 0):
        return False
    one, other = _side(xs, ys, c, d, a), _side(xs, ys, c, d, b)
    return not ((one > 0 and other > 0) or (one < 0 and other < 0))
