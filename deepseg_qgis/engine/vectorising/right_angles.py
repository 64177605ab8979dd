"""Arcs whose edges follow a direction and its perpendicular, as buildings' do. No I/O.

The main directions are those of the arc's long edges modulo 90°: one, and others where much is left
slanted, as along a block of several houses. The arc is divided into straight edges along and across
them (`divisions`), the directions are fitted to these, and it is divided once more.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepseg_qgis.engine.vectorising.arcs import meets_itself, nearby, reduced
from deepseg_qgis.engine.vectorising.divisions import (
    LEAST_ANGLE,
    corner,
    divided,
    moments,
    part_of,
)

BOUND_PX = 3.0
"""How far an outline may be from the pixels' edges."""

_MOST_DIRECTIONS = 3
_SLANTED_SHARE, _SLANTED_PX = 0.15, 20.0  # so much is worth a direction of its own
_RIGHT, _ROUGHLY = np.pi / 12, np.pi / 6  # how far right angles may be from 90°
_WRONG_SHARE = 0.2
_LIGHTLY_PX = 1.0
_SAFE = 0.98


@njit(cache=True, nogil=True)
def right_angled(xs, ys, free, ring):
    """Return columns and rows of an arc's right-angled line; nothing where there is none.

    ``free`` is how far each of the arc's vertices may move; a ``ring`` has no node.
    """
    nothing = np.empty(0, dtype=np.float64)
    last = len(xs) - 1
    if last < 2:
        return nothing, nothing
    if ring and last == 4:  # a rectangle of pixels
        return xs, ys
    us, vs, room = xs - xs[0], ys - ys[0], _SAFE * free
    at = np.flatnonzero(reduced(us, vs, np.minimum(room, _LIGHTLY_PX)))
    angles = np.array([_direction(us, vs, at, np.zeros(len(at), np.bool_))])
    while True:
        stops, kinds, lines = divided(us, vs, room, at, ring, angles, -1, -1)
        if len(kinds) == 0 or not _suits(us[stops], vs[stops], ring, _ROUGHLY):
            return nothing, nothing
        _refine(us, vs, stops, kinds, angles)
        more = _another(us, vs, stops, kinds, angles)
        if len(more) == len(angles):
            break
        angles = more
    first = after = before = -1
    if ring:
        chosen = _best_start(stops)
        if chosen < 0:
            return nothing, nothing
        first, before, after = stops[chosen], kinds[chosen - 1], kinds[chosen]
        us, vs, room = _from(us, first), _from(vs, first), _from(room, first)
        at = np.append(np.sort((at[:-1] - first) % last), last)
    stops, kinds, lines = divided(us, vs, room, at, ring, angles, after, before)
    if len(kinds) == 0:
        return nothing, nothing
    ps, qs, where = _drawn(us, vs, room, stops, kinds, lines, ring, 2 * len(angles) + 1)
    if len(ps) == 0 or not _suits(ps, qs, ring, _RIGHT):
        return nothing, nothing
    if meets_itself(ps, qs, where, nearby(BOUND_PX)):
        return nothing, nothing
    return ps + xs[0], qs + ys[0]


@njit(cache=True, nogil=True)
def _direction(us, vs, at, without):
    """Return the main direction of edges modulo 90°, in radians; long edges count most."""
    real = imaginary = 0.0
    for k in range(len(at) - 1):
        du, dv = us[at[k + 1]] - us[at[k]], vs[at[k + 1]] - vs[at[k]]
        square = du * du + dv * dv
        if square == 0.0 or without[k]:
            continue
        # the fourth power of the unit vector is alike for all four directions
        a, b = (du * du - dv * dv) / square, 2.0 * du * dv / square
        real += square * (a * a - b * b)
        imaginary += square * 2.0 * a * b
    return np.arctan2(imaginary, real) / 4.0


@njit(cache=True, nogil=True)
def _another(us, vs, stops, kinds, angles):
    """Return the directions, and one more where much is slanted."""
    count = len(angles)
    if count == _MOST_DIRECTIONS:
        return angles
    slanted = total = 0.0
    for i in range(len(kinds)):
        length = np.hypot(us[stops[i + 1]] - us[stops[i]], vs[stops[i + 1]] - vs[stops[i]])
        total += length
        if kinds[i] == 2 * count:
            slanted += length
    if slanted < _SLANTED_PX or slanted < _SLANTED_SHARE * total:
        return angles
    squared = kinds != 2 * count
    angle = _direction(us, vs, stops, squared)
    for other in angles:
        if abs(np.sin(2.0 * (angle - other))) < 2.0 * LEAST_ANGLE:
            return angles
    return np.append(angles, angle)


@njit(cache=True, nogil=True)
def _from(values, first):
    """Return the values of a ring from another vertex on, closed again."""
    turned = np.concatenate((values[first:-1], values[:first]))
    return np.append(turned, turned[0])


@njit(cache=True, nogil=True)
def _best_start(stops):
    """Return the inner division between the longest stretches; -1 where there is none."""
    best, most = -1, 0
    for i in range(1, len(stops) - 1):
        length = min(stops[i] - stops[i - 1], stops[i + 1] - stops[i])
        if length > most:
            best, most = i, length
    return best


@njit(cache=True, nogil=True)
def _refine(us, vs, stops, kinds, angles):
    """Turn each direction to fit its edges best."""
    sums = moments(us, vs)
    for which in range(len(angles)):
        along = both = 0.0  # the edges' variances along u less along v, and the covariance
        for i in range(len(kinds)):
            if kinds[i] // 2 != which:
                continue
            part = part_of(sums, stops[i], stops[i + 1])
            sign = 1.0 if kinds[i] % 2 == 0 else -1.0
            uu = part[3] - part[1] * part[1] / part[0]
            uv = part[4] - part[1] * part[2] / part[0]
            vv = part[5] - part[2] * part[2] / part[0]
            along += sign * (uu - vv)
            both += sign * uv
        if along != 0.0 or both != 0.0:
            angle = 0.5 * np.arctan2(2.0 * both, along)
            # the edges along the direction stay so, whichever of the two ways it is given
            if np.cos(angle - angles[which]) ** 2 > 0.5:
                angles[which] = angle


@njit(cache=True, nogil=True)
def _drawn(us, vs, room, stops, kinds, lines, ring, as_is):
    """Return the points of the divided arc, and at which vertices they are; nothing if it strays.

    Where a stretch that stays as it is does not meet its neighbour's line, a short step joins them.
    """
    count = len(kinds)
    ps = np.empty(3 * count + 3, dtype=np.float64)
    qs = np.empty(3 * count + 3, dtype=np.float64)
    where = np.empty(3 * count + 3, dtype=np.int64)
    heads = np.empty(count + 1, dtype=np.int64)  # the last point of each corner
    n = 0
    for i in range(count + 1):
        k = stops[i]
        u, v = us[k], vs[k]
        p, q, meet = u, v, not ring and (i == 0 or i == count)
        before, after = (i - 1) % count, i % count
        if not meet:
            p, q, meet = corner(lines[before], lines[after], u, v, room[k])
        if meet:
            ps[n], qs[n], where[n] = p, q, k
            n += 1
        elif kinds[before] == as_is or kinds[after] == as_is:
            if kinds[before] != as_is:
                ps[n], qs[n] = _foot(lines[before], u, v)
                where[n] = k
                n += 1
            ps[n], qs[n], where[n] = u, v, k
            n += 1
            if kinds[after] != as_is:
                ps[n], qs[n] = _foot(lines[after], u, v)
                where[n] = k
                n += 1
        else:
            return ps[:0], qs[:0], where[:0]
        heads[i] = n - 1
        if i > 0:
            # the edge of a stretch runs from the last point of a corner to the first of the next
            a, b = heads[i - 1], heads[i - 1] + 1
            if not _near_edge(us, vs, room, stops[i - 1], k, ps[a], qs[a], ps[b], qs[b]):
                return ps[:0], qs[:0], where[:0]
    if ring and heads[0] > 0:  # the corner's points are at both ends
        n -= heads[0]
    return ps[:n].copy(), qs[:n].copy(), where[:n].copy()


@njit(cache=True, nogil=True)
def _foot(line, u, v):
    """Return the point of a line that is next to a point."""
    away = line[0] * u + line[1] * v - line[2]
    return u - away * line[0], v - away * line[1]


@njit(cache=True, nogil=True)
def _near_edge(us, vs, room, low, high, pa, qa, pb, qb):
    """Return whether the vertices within a stretch are within their room of its edge."""
    dp, dq = pb - pa, qb - qa
    square = dp * dp + dq * dq
    if dp * (us[high] - us[low]) + dq * (vs[high] - vs[low]) <= 0.0:
        return False
    for k in range(low + 1, high):
        share = ((us[k] - pa) * dp + (vs[k] - qa) * dq) / square
        share = min(max(share, 0.0), 1.0)
        away = (us[k] - pa - share * dp) ** 2 + (vs[k] - qa - share * dq) ** 2
        if away > room[k] * room[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def _suits(ps, qs, ring, tolerance):
    """Return whether a line looks built: straight, or with corners that mostly are right angles.

    A corner counts as much as the shorter of its edges is long, and is right within a tolerance in
    radians. Those of a disc are all wrong.
    """
    last = len(ps) - 1
    total = right = wrong = 0.0
    for k in range(last):
        c, d = ps[k + 1] - ps[k], qs[k + 1] - qs[k]
        length = np.hypot(c, d)
        total += length
        if k == 0 and not ring:
            continue
        before = k - 1 if k > 0 else last - 1
        a, b = ps[k] - ps[before], qs[k] - qs[before]
        turn = abs(np.arctan2(a * d - b * c, a * c + b * d))
        weight = min(length, np.hypot(a, b))
        if abs(turn - np.pi / 2) < tolerance:
            right += weight
        elif turn > np.pi / 8:
            wrong += weight
    return wrong <= max(right, _WRONG_SHARE * total)
