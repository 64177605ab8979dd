"""From fragments of outlines to simple loops, each object's own. No I/O.

Fragments of several blocks are joined where one ends and the next starts; then each ring is parted
where it touches itself, since OGC Simple Features (06-103r4, 6.1.11) wants rings that do not. The
result depends on the pixels alone: loops start at their topmost, then leftmost vertex.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.vectorising.vertices import (
    COLUMN_SHIFT,
    LATTICE,
    SEAM,
    TOUCH,
    clearance,
    column,
    place,
    row,
    with_clearance,
)


class Loops(NamedTuple):
    """Simple loops; vertices of loop i are ``vertices[offsets[i]:offsets[i + 1]]``.

    ``owners`` says whose they are; ``areas`` are in pixels, negative for holes.
    """

    vertices: NDArray[np.int64]
    offsets: NDArray[np.int64]
    owners: NDArray[np.int64]
    areas: NDArray[np.int64]


def joined(
    vertices: NDArray[np.int64],
    offsets: NDArray[np.int64],
    owners: NDArray[np.int64],
    closed: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return vertices, offsets and owners of the rings that fragments make together.

    Fragments are ragged: ``offsets`` has one entry more than ``owners`` and ``closed``.
    """
    if closed.all():
        return vertices, offsets, owners
    starts = vertices[offsets[:-1]] >> COLUMN_SHIFT
    openings = np.flatnonzero(~closed)
    order = openings[np.lexsort((starts[openings], owners[openings]))]
    return _joined(vertices, offsets, owners, closed, order)


@njit(cache=True, nogil=True)
def _joined(vertices, offsets, owners, closed, order):
    """Join fragments; ``order`` lists the open ones by owner and place of start."""
    out = np.empty(len(vertices), dtype=np.int64)
    ends = np.zeros(len(owners) + 1, dtype=np.int64)
    whose = np.empty(len(owners), dtype=np.int64)
    used = closed.copy()
    n = count = 0
    for i in range(len(owners)):
        if closed[i]:
            length = offsets[i + 1] - offsets[i]
            out[n : n + length] = vertices[offsets[i] : offsets[i + 1]]
            n += length
            whose[count] = owners[i]
            count += 1
            ends[count] = n
    for i in order:
        if used[i]:
            continue
        at = i
        while not used[at]:
            used[at] = True
            length = offsets[at + 1] - offsets[at] - 1  # the end is the next one's start
            out[n : n + length] = vertices[offsets[at] : offsets[at + 1] - 1]
            n += length
            at = _following(vertices, offsets, owners, order, at)
        whose[count] = owners[i]
        count += 1
        ends[count] = n
    return out[:n].copy(), ends[: count + 1].copy(), whose[:count].copy()


@njit(cache=True, nogil=True)
def _following(vertices, offsets, owners, order, at):
    """Return the fragment of the same owner that starts where this one ends."""
    owner, end = owners[at], place(vertices[offsets[at + 1] - 1])
    low, high = 0, len(order)
    while high - low > 1:
        middle = (low + high) // 2
        i = order[middle]
        start = place(vertices[offsets[i]])
        if owners[i] < owner or (owners[i] == owner and start <= end):
            low = middle
        else:
            high = middle
    return order[low]


@njit(cache=True, nogil=True)
def without_lattice(vertices, offsets, owners, closed):
    """Return vertices, offsets, owners and closed of the fragments less their lattice edges."""
    out = np.empty(2 * len(vertices), dtype=np.int64)
    ends = np.zeros(len(vertices) + len(owners) + 1, dtype=np.int64)
    whose = np.empty(len(vertices) + len(owners), dtype=np.int64)
    rings = np.empty(len(vertices) + len(owners), dtype=np.bool_)
    n = count = 0
    for i in range(len(owners)):
        start, length = offsets[i], offsets[i + 1] - offsets[i]
        edges = length if closed[i] else length - 1
        first = 0
        if closed[i]:
            while first < length and vertices[start + first] & LATTICE == 0:
                first += 1
            if first == length:  # a ring without any
                out[n : n + length] = vertices[start : start + length]
                n += length
                whose[count], rings[count] = owners[i], True
                count += 1
                ends[count] = n
                continue
        going = False
        for k in range(edges + 1):
            vertex = vertices[start + (first + k) % length]
            if going:
                out[n] = vertex
                n += 1
            if k == edges or vertex & LATTICE:
                if going:
                    whose[count], rings[count] = owners[i], False
                    count += 1
                    ends[count] = n
                going = False
            elif not going:
                out[n] = vertex
                n += 1
                going = True
    return out[:n].copy(), ends[: count + 1].copy(), whose[:count].copy(), rings[:count].copy()


@njit(cache=True, nogil=True)
def simple(vertices, offsets, owners):
    """Return the simple loops of rings, parted where a ring touches itself."""
    capacity = len(owners)
    for vertex in vertices:
        capacity += vertex & TOUCH != 0
    out = np.empty(len(vertices), dtype=np.int64)
    ends = np.zeros(capacity + 1, dtype=np.int64)
    whose = np.empty(capacity, dtype=np.int64)
    areas = np.empty(capacity, dtype=np.int64)
    n = count = 0
    longest = 0
    for i in range(len(owners)):
        longest = max(longest, offsets[i + 1] - offsets[i])
    stack = np.empty(longest, dtype=np.int64)
    for i in range(len(owners)):
        ring = vertices[offsets[i] : offsets[i + 1]]
        twin = _twins(ring)
        if len(twin) == 0:
            n, areas[count] = _put(ring, out, n)
            whose[count] = owners[i]
            count += 1
            ends[count] = n
            continue
        seen = np.full(len(ring), -1, dtype=np.int64)
        top = 0
        for k in range(len(ring)):
            if twin[k] >= 0 and seen[twin[k]] >= 0:
                bottom = seen[twin[k]]
                n, areas[count] = _put(stack[bottom:top], out, n)
                whose[count] = owners[i]
                count += 1
                ends[count] = n
                top = bottom
            seen[k] = top
            stack[top] = ring[k]
            top += 1
        n, areas[count] = _put(stack[:top], out, n)
        whose[count] = owners[i]
        count += 1
        ends[count] = n
    return Loops(out[:n].copy(), ends[: count + 1].copy(), whose[:count], areas[:count])


@njit(cache=True, nogil=True)
def _twins(ring):
    """Return for each vertex the other one at the same corner or -1; nothing if there is none."""
    count = 0
    for vertex in ring:
        count += vertex & TOUCH != 0
    if count < 2:
        return np.empty(0, dtype=np.int64)
    at = np.empty(count, dtype=np.int64)
    places = np.empty(count, dtype=np.int64)
    count = 0
    for k in range(len(ring)):
        if ring[k] & TOUCH:
            at[count], places[count] = k, place(ring[k])
            count += 1
    order = np.argsort(places)
    twin = np.full(len(ring), -1, dtype=np.int64)
    found = False
    for k in range(1, count):
        one, other = order[k - 1], order[k]
        if places[one] == places[other]:
            twin[at[one]], twin[at[other]] = at[other], at[one]
            found = True
    return twin if found else np.empty(0, dtype=np.int64)


@njit(cache=True, nogil=True)
def _put(loop, out, n):
    """Append a loop without its seams, from its topmost, leftmost vertex; return its area too."""
    first = 0
    for k in range(1, len(loop)):
        if place(loop[k]) < place(loop[first]):
            first = k
    twice = 0
    y0, x0 = row(loop[first]), column(loop[first])
    y, x = 0, 0
    for k in range(len(loop)):
        vertex = loop[(first + k) % len(loop)]
        if vertex & SEAM:
            clear = min(clearance(out[n - 1]), clearance(vertex))
            out[n - 1] = with_clearance(out[n - 1], clear)
            continue
        v, u = row(vertex) - y0, column(vertex) - x0
        twice += x * v - u * y
        y, x = v, u
        out[n] = vertex
        n += 1
    return n, twice // 2


@njit(cache=True, nogil=True)
def ragged(vertices, offsets, which):
    """Return the vertices and offsets of some of the loops or fragments."""
    ends = np.zeros(len(which) + 1, dtype=np.int64)
    for k in range(len(which)):
        ends[k + 1] = ends[k] + offsets[which[k] + 1] - offsets[which[k]]
    out = np.empty(ends[-1], dtype=np.int64)
    for k in range(len(which)):
        out[ends[k] : ends[k + 1]] = vertices[offsets[which[k]] : offsets[which[k] + 1]]
    return out, ends
