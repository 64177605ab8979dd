"""Dividing an arc into stretches, each drawn as one straight edge, at the lowest cost. No I/O.

An edge is *squared*, along or across one of some directions; *slanted*, a long one at any other
angle; or *as it is*, from a vertex of the simplified arc to the next.

Edges lie where they leave as much area on one side as on the other, and neighbouring ones end where
their lines cross. Of all divisions the cheapest is taken, by dynamic programming: the squared
distance from the pixels' edges, plus a price for each edge (a description as short as possible, as
by J. Rissanen, Modeling by shortest data description, Automatica 14, 1978). An edge counts only
where the arc is within reach of it.

Arrays are parameters of their own here: taken from tuples, they made all of this 40 % slower.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepseg_qgis.engine.kernels import Floats, Ints, inlined, kernel

MOST_DIRECTIONS = 3
SLANTED, AS_IS = 2 * MOST_DIRECTIONS, 2 * MOST_DIRECTIONS + 1
"""Kinds of edges. Kinds 2i and 2i + 1 below them are squared, along and across direction i."""

_SQUARED_PRICE, _SLANTED_PRICE, _AS_IS_PRICE = 30.0, 80.0, 100.0
"""What an edge costs, in px³: the squared distance summed along the edge."""

LEAST_ANGLE = 0.05
"""The sine of it, between lines that cross."""

_SHORTEST_SLANTED_PX = 8.0
_MOST_VERTICES = 48
"""An edge takes up so many vertices of the lightly simplified arc; that bounds the time."""

_KINDS = AS_IS + 1
_NEVER = np.inf


class Moments(NamedTuple):
    """Integrals along a stretch of an arc, in powers of px: its length, u, v, uu, uv, vv."""

    length: float
    u: float
    v: float
    uu: float
    uv: float
    vv: float


class Line(NamedTuple):
    """A line with the unit normal (nu, nv): nu·u + nv·v = c."""

    nu: float
    nv: float
    c: float


class Division(NamedTuple):
    """Where stretches begin and end, the kind of each, and its line (nu, nv, c); may be empty."""

    stops: Ints
    kinds: Ints
    lines: Floats


class Ends(NamedTuple):
    """Whether an arc is a ring without nodes, and the kinds of its first and last edge.

    Kinds are free where they are -1; then the ends of a ring need not fit together.
    """

    ring: bool
    first_kind: int
    last_kind: int


class _Stretch(NamedTuple):
    """What one edge stands for: from stop i to stop j, which are vertices ``low`` and ``high``.

    Ends that are ``held`` are nodes, which the edge must go through.
    """

    i: int
    j: int
    low: int
    high: int
    moments: Moments
    held_low: bool
    held_high: bool


class _Edge(NamedTuple):
    """A straight edge and what it costs."""

    kind: int
    line: Line
    cost: float


@kernel
def moment_sums(us: Floats, vs: Floats) -> Floats:
    """Return (n, 6) the moments from the first vertex to each."""
    sums = np.zeros((len(us), 6), dtype=np.float64)
    for k in range(len(us) - 1):
        du, dv = us[k + 1] - us[k], vs[k + 1] - vs[k]
        u, v = 0.5 * (us[k] + us[k + 1]), 0.5 * (vs[k] + vs[k + 1])
        length = np.sqrt(du * du + dv * dv)
        sums[k + 1, 0] = sums[k, 0] + length
        sums[k + 1, 1] = sums[k, 1] + length * u
        sums[k + 1, 2] = sums[k, 2] + length * v
        sums[k + 1, 3] = sums[k, 3] + length * (u * u + du * du / 12.0)
        sums[k + 1, 4] = sums[k, 4] + length * (u * v + du * dv / 12.0)
        sums[k + 1, 5] = sums[k, 5] + length * (v * v + dv * dv / 12.0)
    return sums


@inlined
def moments_between(sums: Floats, low: int, high: int) -> Moments:
    """Return the moments of a stretch."""
    return Moments(
        sums[high, 0] - sums[low, 0],
        sums[high, 1] - sums[low, 1],
        sums[high, 2] - sums[low, 2],
        sums[high, 3] - sums[low, 3],
        sums[high, 4] - sums[low, 4],
        sums[high, 5] - sums[low, 5],
    )


@kernel
def _normals(angles: Floats) -> Floats:
    """Return (2 n, 2) the normals of lines along and across each direction."""
    normals = np.empty((2 * len(angles), 2), dtype=np.float64)
    for i in range(len(angles)):
        nu, nv = -np.sin(angles[i]), np.cos(angles[i])
        normals[2 * i, 0], normals[2 * i, 1] = nu, nv
        normals[2 * i + 1, 0], normals[2 * i + 1, 1] = nv, -nu
    return normals


@kernel
def divided(us: Floats, vs: Floats, room: Floats, at: Ints, angles: Floats, ends: Ends) -> Division:
    """Return the cheapest division; an empty one where nothing fits.

    Args:
        us: the arc's columns.
        vs: its rows.
        room: how far each vertex may be from its edge.
        at: the vertices where it may be divided.
        angles: the directions, at most `MOST_DIRECTIONS`, in radians.
        ends: what holds there.
    """
    ring, first_kind, last_kind = ends
    normals = _normals(angles)
    count = len(at)
    sums = moment_sums(us, vs)
    stops = np.empty((count, 3), dtype=np.float64)
    stops[:, 0], stops[:, 1], stops[:, 2] = us[at], vs[at], room[at]
    # the best division up to each stop whose last edge is of each kind: what it costs, the stop and
    # kind before, as kinds · stop + kind, and the edge's line and where its first corner is
    costs = np.full((count, _KINDS), _NEVER)
    origins = np.full((count, _KINDS), -1, dtype=np.int64)
    lines = np.zeros((count, _KINDS, 5), dtype=np.float64)
    for i in range(count - 1):
        misses = 0
        for j in range(i + 1, min(count, i + 1 + _MOST_VERTICES)):
            moments = moments_between(sums, at[i], at[j])
            held_low, held_high = not ring and i == 0, not ring and j == count - 1
            stretch = _Stretch(i, j, at[i], at[j], moments, held_low, held_high)
            fits = False
            for kind in range(_KINDS):
                if len(normals) <= kind < SLANTED or (kind == AS_IS and j > i + 1):
                    continue
                if (i == 0 and 0 <= first_kind != kind) or (
                    j == count - 1 and 0 <= last_kind != kind
                ):
                    continue
                line, exists = _line(us, vs, stretch, kind, normals)
                if not exists:
                    continue
                price = _AS_IS_PRICE
                if kind != AS_IS:
                    if not _within(us, vs, room, at[i], at[j], line):
                        continue
                    price = _SLANTED_PRICE if kind == SLANTED else _SQUARED_PRICE
                fits = True
                edge = _Edge(kind, line, price + _strays(moments, line))
                _extend(stops, stretch, edge, costs, origins, lines)
            misses = 0 if fits else misses + 1
            if misses > 1:
                break
    return _traced_back(at, costs, origins, lines)


@kernel
def _line(
    us: Floats, vs: Floats, stretch: _Stretch, kind: int, normals: Floats
) -> tuple[Line, bool]:
    """Return the line of an edge, and whether there is one."""
    low, high, part = stretch.low, stretch.high, stretch.moments
    squared = kind < SLANTED
    du, dv = us[high] - us[low], vs[high] - vs[low]
    square = du * du + dv * dv
    if kind == AS_IS or (stretch.held_low and stretch.held_high):
        if square == 0.0 or squared:
            return Line(0.0, 0.0, 0.0), False
        size = np.sqrt(square)
        nu, nv = -dv / size, du / size
        return Line(nu, nv, nu * us[low] + nv * vs[low]), True
    u, v = part.u / part.length, part.v / part.length
    if stretch.held_low:
        u, v = us[low], vs[low]
    elif stretch.held_high:
        u, v = us[high], vs[high]
    if squared:
        nu, nv = normals[kind, 0], normals[kind, 1]
        return Line(nu, nv, nu * u + nv * v), True
    if square < _SHORTEST_SLANTED_PX**2:
        return Line(0.0, 0.0, 0.0), False
    return _main_axis(part, u, v)


@kernel
def _main_axis(part: Moments, u: float, v: float) -> tuple[Line, bool]:
    """Return the line through a point along which moments are largest, and whether there is one.

    Its angle is half of the one whose tangent is 2 uv / (uu - vv).
    """
    along = part.uu - part.vv - 2.0 * (u * part.u - v * part.v) + (u * u - v * v) * part.length
    both = 2.0 * (part.uv - u * part.v - v * part.u + u * v * part.length)
    size = np.sqrt(along * along + both * both)
    if size == 0.0:
        return Line(0.0, 0.0, 0.0), False
    nv = np.sqrt(max(0.5 + 0.5 * along / size, 0.0))
    nu = np.sqrt(max(0.5 - 0.5 * along / size, 0.0))
    if both > 0.0:
        nu = -nu
    return Line(nu, nv, nu * u + nv * v), True


@kernel
def _strays(part: Moments, line: Line) -> float:
    """Return the squared distance from a line, summed along a stretch."""
    nu, nv, c = line
    return (
        nu * nu * part.uu
        + 2.0 * nu * nv * part.uv
        + nv * nv * part.vv
        - 2.0 * c * (nu * part.u + nv * part.v)
        + c * c * part.length
    )


@kernel
def _within(us: Floats, vs: Floats, room: Floats, low: int, high: int, line: Line) -> bool:
    """Return whether all vertices of a stretch are no farther from a line than they may move."""
    nu, nv, c = line
    for k in (high, low, (low + high) // 2):  # where most lines fail
        if abs(nu * us[k] + nv * vs[k] - c) > room[k]:
            return False
    for k in range(low + 1, high):  # noqa: SIM110
        if abs(nu * us[k] + nv * vs[k] - c) > room[k]:
            return False
    return True


@kernel
def crossing(one: Line, other: Line, u: float, v: float, room: float) -> tuple[float, float, bool]:
    """Return where two lines cross, and whether that is within ``room`` of a point."""
    det = one.nu * other.nv - one.nv * other.nu
    if abs(det) < LEAST_ANGLE:
        return u, v, False
    p = (one.c * other.nv - other.c * one.nv) / det
    q = (one.nu * other.c - other.nu * one.c) / det
    return p, q, (p - u) ** 2 + (q - v) ** 2 <= room * room


@inlined
def line_of(lines: Floats, i: int) -> Line:
    """Return a row (nu, nv, c…) of an array as a line."""
    return Line(lines[i, 0], lines[i, 1], lines[i, 2])


@kernel
def _extend(
    stops: Floats, stretch: _Stretch, edge: _Edge, costs: Floats, origins: Ints, lines: Floats
) -> None:
    """Take an edge for the end of the best division up to its start, if it is the cheapest.

    ``stops`` (n, 3) are u, v and the room.
    """
    i, j, kind = stretch.i, stretch.j, edge.kind
    u, v, room = stops[i, 0], stops[i, 1], stops[i, 2]
    if i == 0:
        if edge.cost < costs[j, kind]:
            costs[j, kind], origins[j, kind] = edge.cost, -1
            _put(lines, j, edge, u, v)
        return
    for before in range(_KINDS):
        total = costs[i, before] + edge.cost
        if total >= costs[j, kind]:
            continue
        other = Line(lines[i, before, 0], lines[i, before, 1], lines[i, before, 2])
        p, q, meet = crossing(other, edge.line, u, v, room)
        if not meet and before != AS_IS and kind != AS_IS:
            continue
        # the edge before must not run backwards
        start = max(origins[i, before] // _KINDS, 0)
        du, dv = u - stops[start, 0], v - stops[start, 1]
        if meet and (p - lines[i, before, 3]) * du + (q - lines[i, before, 4]) * dv <= 0.0:
            continue
        costs[j, kind], origins[j, kind] = total, _KINDS * i + before
        _put(lines, j, edge, p, q)


@kernel
def _put(lines: Floats, j: int, edge: _Edge, p: float, q: float) -> None:
    """Note the line of the edge that ends at stop ``j``, and where its first corner is."""
    kind = edge.kind
    lines[j, kind, 0], lines[j, kind, 1], lines[j, kind, 2] = edge.line
    lines[j, kind, 3], lines[j, kind, 4] = p, q


@kernel
def _traced_back(at: Ints, costs: Floats, origins: Ints, lines: Floats) -> Division:
    """Return the best division, from the start on."""
    last = len(at) - 1
    kind = np.argmin(costs[last])
    stops = np.empty(last + 1, dtype=np.int64)
    kinds = np.empty(last, dtype=np.int64)
    chosen = np.empty((last, 3), dtype=np.float64)
    if costs[last, kind] == _NEVER:
        return Division(stops[:0], kinds[:0], chosen[:0])
    n = 0
    j = last
    stops[0] = at[last]
    while True:
        kinds[n], chosen[n] = kind, lines[j, kind, :3]
        back = origins[j, kind]
        n += 1
        if back < 0:
            stops[n] = at[0]
            break
        j, kind = back // _KINDS, back % _KINDS
        stops[n] = at[j]
    return Division(stops[: n + 1][::-1].copy(), kinds[:n][::-1].copy(), chosen[:n][::-1].copy())
