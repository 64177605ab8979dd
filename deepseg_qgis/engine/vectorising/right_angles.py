"""Arcs whose edges follow a direction and its perpendicular, as buildings' do. No I/O.

The main directions are those of the arc's long edges modulo 90°: one, and others where much is left
slanted, as along a block of several houses. The arc is divided into straight edges along and across
them (`divisions`), the directions are fitted to these, and it is divided once more.
"""

from __future__ import annotations

import numpy as np

from deepseg_qgis.engine.kernels import Flags, Floats, Ints, kernel
from deepseg_qgis.engine.vectorising.arcs import edges_nearby, meets_itself, reduced
from deepseg_qgis.engine.vectorising.divisions import (
    AS_IS,
    LEAST_ANGLE,
    MOST_DIRECTIONS,
    SLANTED,
    Division,
    Ends,
    Line,
    crossing,
    divided,
    line_of,
    moment_sums,
    moments_between,
)

BOUND_PX = 3.0
"""How far an outline may be from the pixels' edges."""

_SLANTED_SHARE, _SLANTED_PX = 0.15, 20.0  # so much is worth a direction of its own
_RIGHT, _ROUGHLY = np.pi / 12, np.pi / 6  # how far right angles may be from 90°
_WRONG_SHARE = 0.2
_LIGHTLY_PX = 1.0
_SAFE = 0.98


@kernel
def right_angled(xs: Floats, ys: Floats, free: Floats, ring: bool) -> tuple[Floats, Floats]:
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
    angles, division = _directions(us, vs, room, at, ring)
    if len(division.kinds) == 0:
        return nothing, nothing
    after = before = -1
    if ring:
        chosen = _best_start(division.stops)
        if chosen < 0:
            return nothing, nothing
        first = division.stops[chosen]
        before, after = division.kinds[chosen - 1], division.kinds[chosen]
        us, vs, room = _from(us, first), _from(vs, first), _from(room, first)
        at = np.append(np.sort((at[:-1] - first) % last), last)
    division = divided(us, vs, room, at, angles, Ends(ring, after, before))
    if len(division.kinds) == 0:
        return nothing, nothing
    ps, qs, where = _drawn(us, vs, room, ring, division)
    if len(ps) == 0 or not _suits(ps, qs, ring, _RIGHT):
        return nothing, nothing
    if meets_itself(ps, qs, where, edges_nearby(BOUND_PX)):
        return nothing, nothing
    return ps + xs[0], qs + ys[0]


@kernel
def _directions(
    us: Floats, vs: Floats, room: Floats, at: Ints, ring: bool
) -> tuple[Floats, Division]:
    """Return the arc's directions, and its division by them; an empty one where it looks natural.

    Directions are fitted to the division that they lead to, until there is no more of them.
    """
    angles = np.array([_direction(us, vs, at, np.zeros(len(at), np.bool_))])
    while True:
        division = divided(us, vs, room, at, angles, Ends(ring, -1, -1))
        stops, kinds, lines = division
        if len(kinds) == 0 or not _suits(us[stops], vs[stops], ring, _ROUGHLY):
            return angles, Division(stops[:0], kinds[:0], lines[:0])
        _refine(us, vs, division, angles)
        more = _with_another(us, vs, division, angles)
        if len(more) == len(angles):
            return angles, division
        angles = more


@kernel
def _direction(us: Floats, vs: Floats, at: Ints, without: Flags) -> float:
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


@kernel
def _with_another(us: Floats, vs: Floats, division: Division, angles: Floats) -> Floats:
    """Return the directions, and one more where much is slanted."""
    stops, kinds, _ = division
    if len(angles) == MOST_DIRECTIONS:
        return angles
    slanted = total = 0.0
    for i in range(len(kinds)):
        length = np.hypot(us[stops[i + 1]] - us[stops[i]], vs[stops[i + 1]] - vs[stops[i]])
        total += length
        if kinds[i] == SLANTED:
            slanted += length
    if slanted < _SLANTED_PX or slanted < _SLANTED_SHARE * total:
        return angles
    angle = _direction(us, vs, stops, kinds != SLANTED)
    for other in angles:
        if abs(np.sin(2.0 * (angle - other))) < 2.0 * LEAST_ANGLE:
            return angles
    return np.append(angles, angle)


@kernel
def _from(values: Floats, first: int) -> Floats:
    """Return the values of a ring from another vertex on, closed again."""
    turned = np.concatenate((values[first:-1], values[:first]))
    return np.append(turned, turned[0])


@kernel
def _best_start(stops: Ints) -> int:
    """Return the inner division between the longest stretches; -1 where there is none."""
    best, most = -1, 0
    for i in range(1, len(stops) - 1):
        length = min(stops[i] - stops[i - 1], stops[i + 1] - stops[i])
        if length > most:
            best, most = i, length
    return best


@kernel
def _refine(us: Floats, vs: Floats, division: Division, angles: Floats) -> None:
    """Turn each direction to fit its edges best."""
    stops, kinds, _ = division
    sums = moment_sums(us, vs)
    for which in range(len(angles)):
        along = both = 0.0  # the edges' variances along u less along v, and the covariance
        for i in range(len(kinds)):
            if kinds[i] // 2 != which:
                continue
            part = moments_between(sums, stops[i], stops[i + 1])
            sign = 1.0 if kinds[i] % 2 == 0 else -1.0
            uu = part.uu - part.u * part.u / part.length
            uv = part.uv - part.u * part.v / part.length
            vv = part.vv - part.v * part.v / part.length
            along += sign * (uu - vv)
            both += sign * uv
        if along != 0.0 or both != 0.0:
            angle = 0.5 * np.arctan2(2.0 * both, along)
            # the edges along the direction stay so, whichever of the two ways it is given
            if np.cos(angle - angles[which]) ** 2 > 0.5:
                angles[which] = angle


@kernel
def _drawn(
    us: Floats, vs: Floats, room: Floats, ring: bool, division: Division
) -> tuple[Floats, Floats, Ints]:
    """Return the points of the divided arc, and at which vertices they are; nothing if it strays.

    Where a stretch that stays as it is does not meet its neighbour's line, a short step joins them.
    """
    stops, kinds, lines = division
    count = len(kinds)
    ps = np.empty(3 * count + 3, dtype=np.float64)
    qs = np.empty(3 * count + 3, dtype=np.float64)
    where = np.empty(3 * count + 3, dtype=np.int64)
    n = surplus = 0
    for i in range(count + 1):
        first, k = n, stops[i]
        u, v = us[k], vs[k]
        p, q, meet = u, v, not ring and (i == 0 or i == count)
        before, after = (i - 1) % count, i % count
        one, other = line_of(lines, before), line_of(lines, after)
        if not meet:
            p, q, meet = crossing(one, other, u, v, room[k])
        if meet:
            ps[n], qs[n], where[n] = p, q, k
            n += 1
        elif kinds[before] == AS_IS or kinds[after] == AS_IS:
            if kinds[before] != AS_IS:
                ps[n], qs[n] = _foot(one, u, v)
                where[n] = k
                n += 1
            ps[n], qs[n], where[n] = u, v, k
            n += 1
            if kinds[after] != AS_IS:
                ps[n], qs[n] = _foot(other, u, v)
                where[n] = k
                n += 1
        else:
            return ps[:0], qs[:0], where[:0]
        if i == 0:
            surplus = n - 1  # of a ring: the corner's points are at both ends
        else:
            # the edge of a stretch runs from the last point of a corner to the first of the next
            start, end = (ps[first - 1], qs[first - 1]), (ps[first], qs[first])
            if not _near_edge(us, vs, room, (stops[i - 1], k), start, end):
                return ps[:0], qs[:0], where[:0]
    if ring:
        n -= surplus
    return ps[:n].copy(), qs[:n].copy(), where[:n].copy()


@kernel
def _foot(line: Line, u: float, v: float) -> tuple[float, float]:
    """Return the point of a line that is next to a point."""
    away = line.nu * u + line.nv * v - line.c
    return u - away * line.nu, v - away * line.nv


@kernel
def _near_edge(
    us: Floats,
    vs: Floats,
    room: Floats,
    stretch: tuple[int, int],
    start: tuple[float, float],
    end: tuple[float, float],
) -> bool:
    """Return whether the vertices within a stretch are no farther from its edge than they may."""
    (low, high), (pa, qa), (pb, qb) = stretch, start, end
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


@kernel
def _suits(ps: Floats, qs: Floats, ring: bool, tolerance: float) -> bool:
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
