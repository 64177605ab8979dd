"""Dividing an arc into stretches, each drawn as one straight edge, at the lowest cost. No I/O.

An edge is *squared*, along or across one of some directions; *slanted*, a long one at any other
angle; or *as it is*, from a vertex of the simplified arc to the next. Kinds 2i and 2i + 1 are
squared, along and across direction i; then come slanted and as it is.

Edges lie where they leave as much area on one side as on the other, and neighbouring ones end where
their lines cross. Of all divisions the cheapest is taken, by dynamic programming: the squared
distance from the pixels' edges, plus a price for each edge (a description as short as possible, as
by J. Rissanen, Modeling by shortest data description, Automatica 14, 1978). An edge counts only
where the arc is within reach of it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_SQUARED, _SLANTED, _AS_IS = 30.0, 80.0, 100.0
"""What an edge costs, in px³: the squared distance summed along the edge."""

LEAST_ANGLE = 0.05
"""The sine of it, between lines that cross."""

_SHORTEST_SLANTED_PX = 8.0
_MOST_VERTICES = 48
"""An edge takes up so many vertices of the lightly simplified arc; that bounds the time."""

_NEVER = np.inf


@njit(cache=True, nogil=True)
def moments(us, vs):
    """Return (n + 1, 6) sums along the arc: length, u, v, uu, uv, vv."""
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


@njit(cache=True, nogil=True, inline="always")
def part_of(sums, low, high):
    """Return the moments of a stretch."""
    return (
        sums[high, 0] - sums[low, 0],
        sums[high, 1] - sums[low, 1],
        sums[high, 2] - sums[low, 2],
        sums[high, 3] - sums[low, 3],
        sums[high, 4] - sums[low, 4],
        sums[high, 5] - sums[low, 5],
    )


@njit(cache=True, nogil=True)
def _normals(angles):
    """Return (2 n, 2) the normals of lines along and across each direction."""
    normals = np.empty((2 * len(angles), 2), dtype=np.float64)
    for i in range(len(angles)):
        nu, nv = -np.sin(angles[i]), np.cos(angles[i])
        normals[2 * i, 0], normals[2 * i, 1] = nu, nv
        normals[2 * i + 1, 0], normals[2 * i + 1, 1] = nv, -nu
    return normals


@njit(cache=True, nogil=True)
def _fitted(us, vs, part, low, high, kind, normals, held_low, held_high):
    """Return a line as normal (nu, nv) and distance c: nu·u + nv·v = c; and whether there is one.

    ``held`` ends are nodes, which the line must go through.
    """
    length = part[0]
    squared = kind < len(normals)
    du, dv = us[high] - us[low], vs[high] - vs[low]
    square = du * du + dv * dv
    if kind == len(normals) + 1 or (held_low and held_high):
        if square == 0.0 or squared:
            return 0.0, 0.0, 0.0, False
        size = np.sqrt(square)
        nu, nv = -dv / size, du / size
        return nu, nv, nu * us[low] + nv * vs[low], True
    u, v = part[1] / length, part[2] / length
    if held_low:
        u, v = us[low], vs[low]
    elif held_high:
        u, v = us[high], vs[high]
    if squared:
        nu, nv = normals[kind, 0], normals[kind, 1]
        return nu, nv, nu * u + nv * v, True
    if square < _SHORTEST_SLANTED_PX**2:
        return 0.0, 0.0, 0.0, False
    # the axis of the largest moment, by half of the angle whose tangent is 2 uv / (uu - vv)
    along = part[3] - part[5] - 2.0 * (u * part[1] - v * part[2]) + (u * u - v * v) * length
    both = 2.0 * (part[4] - u * part[2] - v * part[1] + u * v * length)
    size = np.sqrt(along * along + both * both)
    if size == 0.0:
        return 0.0, 0.0, 0.0, False
    nv = np.sqrt(max(0.5 + 0.5 * along / size, 0.0))
    nu = np.sqrt(max(0.5 - 0.5 * along / size, 0.0))
    if both > 0.0:
        nu = -nu
    return nu, nv, nu * u + nv * v, True


@njit(cache=True, nogil=True)
def _strays(part, nu, nv, c):
    """Return the squared distance from a line, summed along a stretch."""
    return (
        nu * nu * part[3]
        + 2.0 * nu * nv * part[4]
        + nv * nv * part[5]
        - 2.0 * c * (nu * part[1] + nv * part[2])
        + c * c * part[0]
    )


@njit(cache=True, nogil=True)
def _within(us, vs, room, low, high, nu, nv, c):
    """Return whether all vertices of a stretch are within their room of a line."""
    for k in (high, low, (low + high) // 2):  # where most lines fail
        if abs(nu * us[k] + nv * vs[k] - c) > room[k]:
            return False
    for k in range(low + 1, high):  # noqa: SIM110
        if abs(nu * us[k] + nv * vs[k] - c) > room[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def corner(one, other, u, v, room):
    """Return where two lines (nu, nv, c) cross, and whether that is within room of a point."""
    det = one[0] * other[1] - one[1] * other[0]
    if abs(det) < LEAST_ANGLE:
        return u, v, False
    p = (one[2] * other[1] - other[2] * one[1]) / det
    q = (one[0] * other[2] - other[0] * one[2]) / det
    return p, q, (p - u) ** 2 + (q - v) ** 2 <= room * room


@njit(cache=True, nogil=True)
def divided(us, vs, room, at, ring, angles, first_kind, last_kind):
    """Return the cheapest division: where stretches begin and end, their kinds, and their lines.

    Kinds 2i and 2i + 1 are squared, along and across direction i; then come slanted and as it is.
    ``at`` are the vertices where the arc may be divided. The first and last kind are free where
    -1; then the ends of a ring need not fit together. Nothing is returned where nothing fits.
    """
    normals = _normals(angles)
    count, slanted = len(at), len(normals)
    sums = moments(us, vs)
    cost = np.full((count, slanted + 2), _NEVER)
    origin = np.full((count, slanted + 2), -1, dtype=np.int64)
    # a stretch's line, and where its first corner is
    lines = np.zeros((count, slanted + 2, 5), dtype=np.float64)
    for i in range(count - 1):
        misses = 0
        for j in range(i + 1, min(count, i + 1 + _MOST_VERTICES)):
            low, high = at[i], at[j]
            part = part_of(sums, low, high)
            held_low, held_high = not ring and i == 0, not ring and j == count - 1
            fits = False
            for kind in range(slanted + 2):
                if (kind == slanted + 1 and j > i + 1) or (
                    (i == 0 and 0 <= first_kind != kind)
                    or (j == count - 1 and 0 <= last_kind != kind)
                ):
                    continue
                nu, nv, c, there = _fitted(
                    us, vs, part, low, high, kind, normals, held_low, held_high
                )
                if not there:
                    continue
                price = _AS_IS
                if kind <= slanted:
                    if not _within(us, vs, room, low, high, nu, nv, c):
                        continue
                    price = _SQUARED if kind < slanted else _SLANTED
                fits = True
                price += _strays(part, nu, nv, c)
                _extend(us, vs, room, at, i, j, kind, (nu, nv, c), price, cost, origin, lines)
            misses = 0 if fits else misses + 1
            if misses > 1:
                break
    return _traced_back(at, cost, origin, lines)


@njit(cache=True, nogil=True)
def _extend(us, vs, room, at, i, j, kind, line, price, cost, origin, lines):
    """Take a stretch for the end of the best division up to its start, if it is the cheapest."""
    low, kinds = at[i], cost.shape[1]
    if i == 0:
        if price < cost[j, kind]:
            cost[j, kind], origin[j, kind] = price, -1
            _put(lines, j, kind, line, us[low], vs[low])
        return
    for before in range(kinds):
        total = cost[i, before] + price
        if total >= cost[j, kind]:
            continue
        other = lines[i, before, 0], lines[i, before, 1], lines[i, before, 2]
        p, q, meet = corner(other, line, us[low], vs[low], room[low])
        if not meet and before != kinds - 1 and kind != kinds - 1:
            continue
        # the edge before must not run backwards
        back = origin[i, before]
        start = at[back // kinds] if back >= 0 else at[0]
        du, dv = us[low] - us[start], vs[low] - vs[start]
        if meet and (p - lines[i, before, 3]) * du + (q - lines[i, before, 4]) * dv <= 0.0:
            continue
        cost[j, kind], origin[j, kind] = total, kinds * i + before
        _put(lines, j, kind, line, p, q)


@njit(cache=True, nogil=True)
def _put(lines, j, kind, line, p, q):
    lines[j, kind, 0], lines[j, kind, 1], lines[j, kind, 2] = line
    lines[j, kind, 3], lines[j, kind, 4] = p, q


@njit(cache=True, nogil=True)
def _traced_back(at, cost, origin, lines):
    """Return the best division's stops, kinds and lines, from the start on."""
    last, kinds = len(at) - 1, cost.shape[1]
    kind = np.argmin(cost[last])
    stops = np.empty(last + 1, dtype=np.int64)
    which = np.empty(last, dtype=np.int64)
    found = np.empty((last, 3), dtype=np.float64)
    if cost[last, kind] == _NEVER:
        return stops[:0], which[:0], found[:0]
    n = 0
    j = last
    stops[0] = at[last]
    while True:
        which[n], found[n] = kind, lines[j, kind, :3]
        back = origin[j, kind]
        n += 1
        if back < 0:
            stops[n] = at[0]
            break
        j, kind = back // kinds, back % kinds
        stops[n] = at[j]
    return stops[: n + 1][::-1].copy(), which[:n][::-1].copy(), found[:n][::-1].copy()
