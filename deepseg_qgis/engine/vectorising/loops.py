"""From fragments of outlines to simple loops, each object's own. No I/O.

Fragments of several blocks are joined where one ends and the next starts; then each ring is parted
where it touches itself, since OGC Simple Features (06-103r4, 6.1.11) wants rings that do not. The
result depends on the pixels alone: loops start at their topmost, then leftmost vertex.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepseg_qgis.engine.kernels import Flags, Ints, kernel
from deepseg_qgis.engine.vectorising.vertices import (
    COLUMN_SHIFT,
    LATTICE,
    SEAM,
    TOUCH,
    clearance_of,
    column_of,
    corner_of,
    row_of,
    with_clearance,
)


class Loops(NamedTuple):
    """Simple loops; vertices of loop i are ``vertices[offsets[i]:offsets[i + 1]]``.

    ``owners`` says whose they are; ``areas`` are in pixels, negative for holes.
    """

    vertices: Ints
    offsets: Ints
    owners: Ints
    areas: Ints


def joined(
    vertices: Ints,
    offsets: Ints,
    owners: Ints,
    closed: Flags,
) -> tuple[Ints, Ints, Ints]:
    """Return vertices, offsets and owners of the rings that fragments make together.

    Fragments are ragged: ``offsets`` has one entry more than ``owners`` and ``closed``.
    """
    if closed.all():
        return vertices, offsets, owners
    starts = vertices[offsets[:-1]] >> COLUMN_SHIFT
    openings = np.flatnonzero(~closed)
    order = openings[np.lexsort((starts[openings], owners[openings]))]
    return _joined(vertices, offsets, owners, closed, order)


@kernel
def _joined(
    vertices: Ints, offsets: Ints, owners: Ints, closed: Flags, order: Ints
) -> tuple[Ints, Ints, Ints]:
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


@kernel
def _following(vertices: Ints, offsets: Ints, owners: Ints, order: Ints, at: int) -> int:
    """Return the fragment of the same owner that starts where this one ends."""
    owner, end = owners[at], corner_of(vertices[offsets[at + 1] - 1])
    low, high = 0, len(order)
    while high - low > 1:
        middle = (low + high) // 2
        i = order[middle]
        start = corner_of(vertices[offsets[i]])
        if owners[i] < owner or (owners[i] == owner and start <= end):
            low = middle
        else:
            high = middle
    return order[low]


@kernel
def without_lattice(
    vertices: Ints, offsets: Ints, owners: Ints, closed: Flags
) -> tuple[Ints, Ints, Ints, Flags]:
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


@kernel
def simple(vertices: Ints, offsets: Ints, owners: Ints) -> Loops:
    """Return the simple loops of rings, parted where a ring touches itself."""
    capacity, longest = len(owners), 0
    for vertex in vertices:
        capacity += vertex & TOUCH != 0
    for i in range(len(owners)):
        longest = max(longest, offsets[i + 1] - offsets[i])
    stack = np.empty(longest, dtype=np.int64)
    loops = Loops(
        np.empty(len(vertices), dtype=np.int64),
        np.zeros(capacity + 1, dtype=np.int64),
        np.empty(capacity, dtype=np.int64),
        np.empty(capacity, dtype=np.int64),
    )
    count = 0
    for i in range(len(owners)):
        ring = vertices[offsets[i] : offsets[i + 1]]
        twin = _twins(ring)
        if len(twin) == 0:
            count = _add(loops, count, ring, owners[i])
            continue
        seen = np.full(len(ring), -1, dtype=np.int64)
        top = 0
        for k in range(len(ring)):
            if twin[k] >= 0 and seen[twin[k]] >= 0:
                bottom = seen[twin[k]]
                count = _add(loops, count, stack[bottom:top], owners[i])
                top = bottom
            seen[k] = top
            stack[top] = ring[k]
            top += 1
        count = _add(loops, count, stack[:top], owners[i])
    n = loops.offsets[count]
    return Loops(
        loops.vertices[:n].copy(),
        loops.offsets[: count + 1].copy(),
        loops.owners[:count],
        loops.areas[:count],
    )


@kernel
def _add(loops: Loops, count: int, loop: Ints, owner: int) -> int:
    """Put a loop behind the others, for which there is room; return how many there are now."""
    n, area = _put(loop, loops.vertices, loops.offsets[count])
    loops.offsets[count + 1], loops.areas[count], loops.owners[count] = n, area, owner
    return count + 1


@kernel
def _twins(ring: Ints) -> Ints:
    """Return for each vertex the other one at the same corner or -1; nothing if there is none."""
    count = 0
    for vertex in ring:
        count += vertex & TOUCH != 0
    if count < 2:
        return np.empty(0, dtype=np.int64)
    at = np.empty(count, dtype=np.int64)
    corners = np.empty(count, dtype=np.int64)
    count = 0
    for k in range(len(ring)):
        if ring[k] & TOUCH:
            at[count], corners[count] = k, corner_of(ring[k])
            count += 1
    order = np.argsort(corners)
    twin = np.full(len(ring), -1, dtype=np.int64)
    found = False
    for k in range(1, count):
        one, other = order[k - 1], order[k]
        if corners[one] == corners[other]:
            twin[at[one]], twin[at[other]] = at[other], at[one]
            found = True
    return twin if found else np.empty(0, dtype=np.int64)


@kernel
def _put(loop: Ints, out: Ints, n: int) -> tuple[int, int]:
    """Append a loop without its seams, from its topmost, leftmost vertex; return its area too."""
    first = 0
    for k in range(1, len(loop)):
        if corner_of(loop[k]) < corner_of(loop[first]):
            first = k
    twice = 0
    y0, x0 = row_of(loop[first]), column_of(loop[first])
    y, x = 0, 0
    for k in range(len(loop)):
        vertex = loop[(first + k) % len(loop)]
        if vertex & SEAM:
            clear = min(clearance_of(out[n - 1]), clearance_of(vertex))
            out[n - 1] = with_clearance(out[n - 1], clear)
            continue
        v, u = row_of(vertex) - y0, column_of(vertex) - x0
        twice += x * v - u * y
        y, x = v, u
        out[n] = vertex
        n += 1
    return n, twice // 2


@kernel
def ragged(vertices: Ints, offsets: Ints, which: Ints) -> tuple[Ints, Ints]:
    """Return the vertices and offsets of some of the loops or fragments."""
    ends = np.zeros(len(which) + 1, dtype=np.int64)
    for k in range(len(which)):
        ends[k + 1] = ends[k] + offsets[which[k] + 1] - offsets[which[k]]
    out = np.empty(ends[-1], dtype=np.int64)
    for k in range(len(which)):
        out[ends[k] : ends[k + 1]] = vertices[offsets[which[k]] : offsets[which[k] + 1]]
    return out, ends
