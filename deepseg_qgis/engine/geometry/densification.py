"""Edges of polygons cut where a projection bends them, so that they keep their true course. No I/O.

The distance of an edge's projected middle from the middle of its projected ends tells how far it is
bent; it falls with the square of the number of pieces. Both polygons along a shared edge cut it
alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, Geometries, PolygonArrays
from deepseg_qgis.engine.geometry.projections import Project
from deepseg_qgis.engine.geometry.world import World

MOST_PIECES = 4096
"""An edge is never cut into more pieces than this, however wild the projection."""
MOST_ADDED = 1 << 21
"""Nor are all edges together cut into more pieces than this and four each: some 300 MB."""
SAMPLES = 5
"""Curvature is estimated on so many × so many places over the polygons…"""
SAFETY = 4.0
"""…and taken to be up to this many times larger in between."""
POLAR = 8.0 / 9.0
"""Of the way from the equator to a pole: beyond 80° nothing but polar projections goes."""


def reprojected(geometries: Geometries, project: Project, tolerance: float) -> Geometries:
    """Return geometries under ``project``; see `project_densified`."""
    arrays = PolygonArrays.of(geometries)
    return project_densified(arrays, project, tolerance).geometries()


def project_densified(
    polygons: PolygonArrays,
    project: Project,
    tolerance: float,
    world: World | None = None,
    on_ground: bool = False,
) -> PolygonArrays:
    """Return polygons under ``project``, edges cut to stay within ``tolerance`` of their course.

    ``tolerance`` is in target units; ``world`` tells where those close on themselves; edges that
    end at a pole follow its meridians. ``on_ground`` says that the target is longitude and latitude
    and the tolerance one on the ground, so that around the poles, where degrees of longitude are
    short, edges are cut less.
    """
    if len(polygons.coordinates) == 0:
        return polygons
    target = project(polygons.coordinates)
    looked = _long_edges(polygons, project, tolerance, world)
    if len(looked) == 0:
        return polygons.moved(target)
    bends = _bends(polygons.coordinates, target, looked, project, world, on_ground)
    bent = np.isfinite(bends) & (bends > tolerance)
    if not bent.any():
        return polygons.moved(target)
    pieces = np.ones(len(target), dtype=np.int64)
    pieces[looked[bent]] = _piece_counts(bends[bent] / tolerance, len(target))
    starts = np.concatenate([[0], np.cumsum(pieces)])
    cut = np.empty((starts[-1], 2))
    cut[starts[:-1]] = target
    between = np.ones(len(cut), dtype=np.bool_)
    between[starts[:-1]] = False
    cut[between] = project(subdivided(polygons.coordinates, pieces)[between])
    return polygons.moved(cut, starts[polygons.rings])


def _long_edges(
    polygons: PolygonArrays, project: Project, tolerance: float, world: World | None
) -> NDArray[np.int64]:
    """Return the edges that are long enough to bend by more than ``tolerance``.

    That is told by the largest second derivative of the projection over the polygons.
    """
    source = polygons.coordinates
    square = np.square(np.diff(source, axis=0)).sum(axis=1)
    period = None if world is None else world.period
    longest = _straight_within(source, project, tolerance, period)
    return np.flatnonzero(polygons.steps() & ~(square <= longest * longest))


def _bends(
    source: Coordinates,
    target: Coordinates,
    edges: NDArray[np.int64],
    project: Project,
    world: World | None,
    on_ground: bool,
) -> NDArray[np.float64]:
    """Return how far the middles of edges are off those of their ends, in target units."""
    middle = project((source[edges] + source[edges + 1]) / 2.0)
    start, end = target[edges], target[edges + 1]
    if world is not None:  # the longitude of a pole is any number
        from_pole, to_pole = world.at_pole(start[:, 1]), world.at_pole(end[:, 1])
        start[from_pole, 0], end[to_pole, 0] = end[from_pole, 0], start[to_pole, 0]
    period = None if world is None else world.period
    with np.errstate(invalid="ignore"):
        half = _turned(end - start, period) / 2.0
        off = _turned(middle - start - half, period)
        if world is not None and on_ground:
            off[:, 0] *= _narrow(middle[:, 1] / world.north)
        return np.asarray(np.hypot(*off.T))


def _piece_counts(bends: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return into how many pieces edges are cut, of ``count`` in all; bends in tolerances."""
    most = np.minimum(np.ceil(np.sqrt(bends)), MOST_PIECES)
    room = (MOST_ADDED + 4 * count) / most.sum()
    counts: NDArray[np.int64] = np.maximum(most * min(room, 1.0), 1.0).astype(np.int64)
    return counts


def _narrow(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how short a degree of longitude is around the poles, 1 elsewhere; latitudes to 1."""
    return np.where(np.abs(latitude) > POLAR, np.cos(latitude * np.pi / 2.0), 1.0)


def _straight_within(
    source: Coordinates, project: Project, tolerance: float, period: float | None
) -> float:
    """Return a length up to which no edge bends by more than ``tolerance``; 0 if not known.

    A chord of length L over a curve of second derivative D is off by L² D / 8.
    """
    if len(source) < 4 * SAMPLES * SAMPLES:
        return 0.0
    low, high = source.min(axis=0), source.max(axis=0)
    share = np.linspace(0.0, 1.0, SAMPLES)
    x, y = np.meshgrid(*(low + share[:, None] * (high - low)).T, indexing="ij")
    step = (high - low) / (SAMPLES - 1)
    if not np.isfinite(step).all() or (step <= 0.0).any():
        return 0.0
    places = project(np.column_stack([x.ravel(), y.ravel()])).reshape(SAMPLES, SAMPLES, 2)
    if not np.isfinite(places).all():
        return 0.0
    along_x = _turned(np.diff(places, axis=0), period)
    along_y = _turned(np.diff(places, axis=1), period)
    most = max(
        float(np.abs(np.diff(along_x, axis=0)).max()) / step[0] ** 2,
        float(np.abs(np.diff(along_y, axis=1)).max()) / step[1] ** 2,
        float(np.abs(np.diff(along_x, axis=1)).max()) / (step[0] * step[1]),
    )
    # 3: two components and the mixed term add up to at most so many times the largest
    return float(np.sqrt(8.0 * tolerance / (3.0 * SAFETY * most))) if most > 0.0 else np.inf


def _turned(difference: Coordinates, period: float | None) -> Coordinates:
    """Return differences with x the short way round the world."""
    if period is None:
        return difference
    result: Coordinates = difference.copy()
    far = np.abs(result[..., 0]) > period / 2.0
    result[far, 0] -= period * np.rint(result[far, 0] / period)
    return result


def subdivided(points: Coordinates, pieces: NDArray[np.int64]) -> Coordinates:
    """Return the points with each step to the next point cut into so many equal pieces."""
    first = np.repeat(np.arange(len(points)), pieces)
    share = shares(pieces)[:, None]
    following = np.minimum(first + 1, len(points) - 1)
    return points[first] * (1.0 - share) + points[following] * share


def shares(pieces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 0, 1/n, 2/n … (n - 1)/n for each number of pieces n, one after the other."""
    starts = np.cumsum(pieces) - pieces
    number = np.arange(int(pieces.sum())) - np.repeat(starts, pieces)
    return np.asarray(number / np.repeat(pieces, pieces))
