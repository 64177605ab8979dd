"""Arcs, the stretches of an outline from one node to the next, alike from both sides. No I/O.

Two objects along an arc see it in opposite directions; here it always runs from the end that comes
first row by row, so whatever is computed of an arc alone is the same for both.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepseg_qgis.engine.vectorising.vertices import NODE, clearance, column, place, row


@njit(cache=True, nogil=True)
def ends_of_arcs(loop):
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


@njit(cache=True, nogil=True)
def runs_forward(loop, start, length):
    """Return whether an arc is taken as it runs; its mirror image must answer the opposite."""
    size = len(loop)
    one, other = place(loop[start]), place(loop[(start + length) % size])
    if one == other:
        one, other = place(loop[(start + 1) % size]), place(loop[(start + length - 1) % size])
    return one < other


@njit(cache=True, nogil=True)
def unpacked(loop, start, length, forward, bound):
    """Return columns and rows of an arc's vertices, and how far each may move.

    That is up to ``bound``, and up to half of the way to the next outline, along both of its edges.
    """
    size = len(loop)
    xs = np.empty(length + 1, dtype=np.float64)
    ys = np.empty(length + 1, dtype=np.float64)
    free = np.empty(length + 1, dtype=np.float64)
    for k in range(length + 1):
        at = k if forward else length - k
        vertex = loop[(start + at) % size]
        xs[k], ys[k] = column(vertex), row(vertex)
        after = clearance(vertex)
        before = clearance(loop[(start + at - 1) % size])
        free[k] = min(bound, 0.5 * min(after, before))
    return xs, ys, free


@njit(cache=True, nogil=True)
def is_ring(xs, ys):
    """Return whether an arc ends where it starts."""
    return xs[0] == xs[-1] and ys[0] == ys[-1]


@njit(cache=True, nogil=True)
def reduced(xs, ys, free):
    """Return which points of an arc stay: the others are less than ``free`` away from the line."""
    last = len(xs) - 1
    stay = np.zeros(last + 1, dtype=np.bool_)
    stay[0] = stay[last] = True
    if is_ring(xs, ys):
        far = _farthest(xs, ys)
        stay[far] = True
        _reduce(xs, ys, free, stay, 0, far)
        _reduce(xs, ys, free, stay, far, last)
        if stay.sum() < 4:  # a ring of two edges
            stay[:] = True
    else:
        _reduce(xs, ys, free, stay, 0, last)
    return stay


@njit(cache=True, nogil=True)
def _farthest(xs, ys):
    """Return the point that is farthest from the first."""
    far, most = 0, 0.0
    for k in range(1, len(xs)):
        distance = (xs[k] - xs[0]) ** 2 + (ys[k] - ys[0]) ** 2
        if distance > most:
            far, most = k, distance
    return far


@njit(cache=True, nogil=True)
def _reduce(xs, ys, free, stay, low, high):
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


@njit(cache=True, nogil=True)
def nearby(bound):
    """Return within how many edges of an arc its parts can meet, when points move that far.

    They can meet only within a clearance, a square of so many edges at most.
    """
    return 8 * int(np.ceil(2.0 * bound)) ** 2


@njit(cache=True, nogil=True)
def meets_itself(xs, ys, at, near):
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


@njit(cache=True, nogil=True)
def _side(xs, ys, a, b, c):
    return (xs[b] - xs[a]) * (ys[c] - ys[a]) - (ys[b] - ys[a]) * (xs[c] - xs[a])


@njit(cache=True, nogil=True)
def _meet(xs, ys, a, b, c, d):
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
