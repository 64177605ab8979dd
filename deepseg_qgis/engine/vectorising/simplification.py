"""Outlines with fewer vertices, alike on both sides of every border. No I/O.

An *arc* is the stretch of an outline from one node to the next. Each is simplified for itself, by
D. H. Douglas and T. K. Peucker, Algorithms for the reduction of the number of points (The Canadian
Cartographer 10, 1973), its ends fixed, always from the end that comes first row by row: so the two
objects along it get the same line. A vertex may be left by less than the tolerance, and by less
than half of the way to the next outline (its clearance): lines cannot meet.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepseg_qgis.engine.vectorising.vertices import NODE, clearance, column, place, row


def reach(tolerance_px: float) -> int:
    """Return up to how many pixels clearances must be known for a tolerance."""
    return int(np.ceil(2.0 * tolerance_px))


@njit(cache=True, nogil=True)
def simplified(vertices, offsets, tolerance):
    """Return vertices and offsets of loops with fewer vertices; tolerance in pixels.

    Loops start at their topmost, leftmost vertex, before and after. An arc that would meet itself
    stays as it is.
    """
    # Parts of an arc can meet only within a clearance, a square of so many edges at most.
    near = 8 * int(np.ceil(2.0 * tolerance)) ** 2
    out = np.empty(len(vertices), dtype=np.int64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    n = 0
    for i in range(len(offsets) - 1):
        loop = vertices[offsets[i] : offsets[i + 1]]
        kept = _kept(loop, tolerance, near)
        start = n
        for k in range(len(loop)):
            if kept[k]:
                out[n] = loop[k]
                n += 1
        lowest = start
        for k in range(start, n):
            if place(out[k]) < place(out[lowest]):
                lowest = k
        if lowest > start:
            out[start:n] = np.roll(out[start:n].copy(), start - lowest)
        ends[i + 1] = n
    return out[:n].copy(), ends


@njit(cache=True, nogil=True)
def _kept(loop, tolerance, near):
    """Return which vertices of a loop stay."""
    size = len(loop)
    kept = np.zeros(size, dtype=np.bool_)
    first = -1
    for k in range(size):
        if loop[k] & NODE:
            kept[k] = True
            if first < 0:
                first = k
    if first < 0:
        first = 0
        kept[0] = True
    start = first
    while True:
        length = 1
        while not kept[(start + length) % size]:
            length += 1
        _arc(loop, start, length, tolerance, near, kept)
        start = (start + length) % size
        if start == first:
            return kept


@njit(cache=True, nogil=True)
def _arc(loop, start, length, tolerance, near, kept):
    """Choose the vertices that stay between a vertex and the one ``length`` edges further on."""
    if length < 2:
        return
    size = len(loop)
    forward = _forward(loop, start, length)
    xs = np.empty(length + 1, dtype=np.float64)
    ys = np.empty(length + 1, dtype=np.float64)
    free = np.empty(length + 1, dtype=np.float64)
    for k in range(length + 1):
        at = k if forward else length - k
        vertex = loop[(start + at) % size]
        xs[k], ys[k] = column(vertex), row(vertex)
        after = clearance(vertex)
        before = clearance(loop[(start + at - 1) % size])
        free[k] = min(tolerance, 0.5 * min(after, before))
    stay = np.zeros(length + 1, dtype=np.bool_)
    stay[0] = stay[length] = True
    if xs[0] == xs[length] and ys[0] == ys[length]:
        far = _farthest(xs, ys)
        stay[far] = True
        _reduce(xs, ys, free, stay, 0, far)
        _reduce(xs, ys, free, stay, far, length)
        if stay.sum() < 4:  # a ring of two edges
            stay[:] = True
    else:
        _reduce(xs, ys, free, stay, 0, length)
    if _meets_itself(xs, ys, stay, near):
        stay[:] = True
    for k in range(1, length):
        at = k if forward else length - k
        if stay[k]:
            kept[(start + at) % size] = True


@njit(cache=True, nogil=True)
def _forward(loop, start, length):
    """Return whether an arc is taken as it runs; its mirror image must answer the opposite."""
    size = len(loop)
    one, other = place(loop[start]), place(loop[(start + length) % size])
    if one == other:
        one, other = place(loop[(start + 1) % size]), place(loop[(start + length - 1) % size])
    return one < other


@njit(cache=True, nogil=True)
def _farthest(xs, ys):
    """Return the vertex that is farthest from the first."""
    far, most = 0, 0.0
    for k in range(1, len(xs)):
        distance = (xs[k] - xs[0]) ** 2 + (ys[k] - ys[0]) ** 2
        if distance > most:
            far, most = k, distance
    return far


@njit(cache=True, nogil=True)
def _reduce(xs, ys, free, stay, low, high):
    """Keep what strays too far from the straight line between two vertices, again and again."""
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
def _meets_itself(xs, ys, stay, near):
    """Return whether edges of an arc meet that are near each other along it."""
    at = np.flatnonzero(stay)
    for i in range(len(at) - 1):
        for j in range(i + 1, len(at) - 1):
            if at[j] - at[i + 1] > near:
                break
            a, b, c, d = at[i], at[i + 1], at[j], at[j + 1]
            if j == i + 1:  # they share b; do they fold back?
                cross = (xs[b] - xs[a]) * (ys[d] - ys[b]) - (ys[b] - ys[a]) * (xs[d] - xs[b])
                along = (xs[b] - xs[a]) * (xs[d] - xs[b]) + (ys[b] - ys[a]) * (ys[d] - ys[b])
                if cross == 0.0 and along < 0.0:
                    return True
                continue
            if i == 0 and d == len(xs) - 1 and xs[a] == xs[d] and ys[a] == ys[d]:
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
