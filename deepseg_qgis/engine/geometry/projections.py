"""Coordinates and geometries under projections, without leaving their true course. No I/O.

Geometries are shapely polygons or multipolygons in one-dimensional object arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, PolygonArrays
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries as Geometries
from deepseg_qgis.errors import DeepSegError

WGS84 = pyproj.CRS.from_epsg(4326)

MOST_PIECES = 4096
"""An edge is never cut into more pieces than this, however wild the projection."""
MOST_ADDED = 1 << 21
"""Nor are all edges together cut into more pieces than this and four each: some 300 MB."""
SAMPLES = 5
"""Curvature is estimated on so many × so many places over the polygons…"""
SAFETY = 4.0
"""…and taken to be up to this many times larger in between."""
FULL_CIRCLE = 360.0
AT_POLE = 1e-11
"""What is nearer to a pole or to ±180° than this share of a turn (0.4 mm) lies on it."""
POLAR = 8.0 / 9.0
"""Of the way from the equator to a pole: beyond 80° nothing but polar projections goes."""
SOMEWHERE_DEG = 30.0
"""A latitude at which all longitudes tell whether a projection is a cylinder."""
ONE_PLACE = 1e-6
"""In units of a CRS: what is not farther apart is one place."""

Project = Callable[[Coordinates], Coordinates]


@dataclass(frozen=True)
class World:
    """Where coordinates close on themselves: x after ``period``, and y at the poles.

    For longitude and latitude in degrees that is 360, -90 and 90.
    """

    period: float
    south: float
    north: float

    @classmethod
    def of(cls, crs: pyproj.CRS) -> World | None:
        """Return the world of longitudes and of cylindrical projections; None of others."""
        period = period_of(crs)
        if period is not None:
            return cls(period, -period / 4.0, period / 4.0)
        geodetic = crs.geodetic_crs
        turn = None if geodetic is None else period_of(geodetic)
        if geodetic is None or turn is None:
            return None
        degree = turn / 360.0
        far = np.arange(-150.0, 180.0, 60.0)
        places = np.column_stack([np.append(far, far + 1.0), np.full(2 * len(far), SOMEWHERE_DEG)])
        poles = np.array([[0.0, -90.0], [0.0, 90.0]])
        project = projection(geodetic, crs)
        xy, (south, north) = project(places * degree), project(poles * degree)[:, 1]
        x, y = xy[:, 0], xy[:, 1]
        if (
            not np.isfinite(xy).all()
            or np.ptp(y) > ONE_PLACE
            or not np.isfinite([south, north]).all()
        ):
            return None
        wide = 6.0 * np.median(np.diff(x[: len(far)]))
        small = np.median(x[len(far) :] - x[: len(far)])
        return cls(wide, south, north) if abs(wide - 360.0 * small) < 1e-6 * wide else None

    @property
    def near(self) -> float:
        """What is not farther apart than this is one place."""
        return self.period * AT_POLE

    def at_pole(self, y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which y are a pole's."""
        return (y <= self.south + self.near) | (y >= self.north - self.near)


def metres_per_unit(crs: pyproj.CRS) -> float:
    """Return roughly how many metres a unit of the CRS is (a degree: 111,320)."""
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return factor * 6_378_137.0 if crs.is_geographic else factor


def reprojected(geometries: Geometries, project: Project, tolerance: float) -> Geometries:
    """Return geometries under ``project``; see `on_course`."""
    arrays = PolygonArrays.of(geometries)
    return on_course(arrays, project, tolerance).geometries()


def on_course(
    polygons: PolygonArrays,
    project: Project,
    tolerance: float,
    world: World | None = None,
    on_ground: bool = False,
) -> PolygonArrays:
    """Return polygons under ``project``, edges cut to stay within ``tolerance`` of their course.

    The distance of an edge's projected middle from the middle of its projected ends tells how far
    it is bent; it falls with the square of the number of pieces. Both polygons along a shared
    edge cut it alike. ``tolerance`` is in target units; ``world`` tells where those close on
    themselves; edges that end at a pole follow its meridians.
    ``on_ground`` says that the target is longitude and latitude and the tolerance one on the
    ground, so that around the poles, where degrees of longitude are short, edges are cut less.

    The middles are looked at of those edges alone that are long enough to bend, by the largest
    second derivative of the projection over the polygons.
    """
    source = polygons.coordinates
    if len(source) == 0:
        return polygons
    target = project(source)
    period = None if world is None else world.period
    inside = polygons.steps()
    square = np.square(np.diff(source, axis=0)).sum(axis=1)
    longest = _straight_within(source, project, tolerance, period)
    looked = np.flatnonzero(inside & ~(square <= longest * longest))
    if len(looked) == 0:
        return polygons.moved(target)
    middle = project((source[looked] + source[looked + 1]) / 2.0)
    start, end = target[looked], target[looked + 1]
    if world is not None:  # the longitude of a pole is any number
        from_pole, to_pole = world.at_pole(start[:, 1]), world.at_pole(end[:, 1])
        start[from_pole, 0], end[to_pole, 0] = end[from_pole, 0], start[to_pole, 0]
    with np.errstate(invalid="ignore"):
        half = _turned(end - start, period) / 2.0
        off = _turned(middle - start - half, period)
        if world is not None and on_ground:
            off[:, 0] *= _narrow(middle[:, 1] / world.north)
        bend = np.hypot(*off.T)
    bent = np.isfinite(bend) & (bend > tolerance)
    if not bent.any():
        return polygons.moved(target)
    pieces = np.ones(len(source), dtype=np.int64)
    most = np.minimum(np.ceil(np.sqrt(bend[bent] / tolerance)), MOST_PIECES)
    room = (MOST_ADDED + 4 * len(source)) / most.sum()
    pieces[looked[bent]] = np.maximum(most * min(room, 1.0), 1.0).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(pieces)])
    cut = np.empty((starts[-1], 2))
    cut[starts[:-1]] = target
    between = np.ones(len(cut), dtype=np.bool_)
    between[starts[:-1]] = False
    cut[between] = project(subdivided(source, pieces)[between])
    return polygons.moved(cut, starts[polygons.rings])


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


def mapped(geometries: Geometries, project: Project) -> Geometries:
    """Return geometries under ``project``, vertex by vertex."""
    return np.asarray(shapely.transform(geometries, without_nan(project)), dtype=object)


def without_nan(project: Project) -> Project:
    """Return a projection whose results are infinite where they are no numbers.

    That happens to infinite ones (0 × infinity), and a ring that begins with NaN is not closed.
    """

    def infinite(xy: Coordinates) -> Coordinates:
        with np.errstate(invalid="ignore", over="ignore"):
            result = project(xy)
        return np.where(np.isnan(result), np.inf, result)

    return infinite


def affine(transform: Affine, xy: Coordinates) -> Coordinates:
    """Return coordinates under an affine transformation."""
    a, b, c, d, e, f = transform[:6]
    x, y = xy[:, 0], xy[:, 1]
    result = np.empty((len(xy), 2))
    result[:, 0] = a * x + b * y + c
    result[:, 1] = d * x + e * y + f
    return result


def projection(source: pyproj.CRS, target: pyproj.CRS) -> Project:
    """Return the function that takes coordinates of one CRS to another; x is always east.

    Making one takes milliseconds: it is kept for the next call. Threads may share it.

    Raises:
        DeepSegError: there is no way between them, as from the Moon to the Earth.
    """
    if source == target:
        return _same
    try:
        transformer = _transformer(source, target)
    except pyproj.exceptions.ProjError as error:
        raise DeepSegError(
            f"Coordinates in '{source.name}' cannot be brought to '{target.name}'. Check that "
            "every layer has the CRS that it was made in. A GeoJSON is always in WGS 84: if that "
            "is not wanted, name the output .gpkg (GeoPackage)."
        ) from error

    def project(xy: Coordinates) -> Coordinates:
        result = np.empty((len(xy), 2))
        result[:, 0], result[:, 1] = transformer.transform(xy[:, 0], xy[:, 1])
        return result

    return project


@functools.lru_cache(maxsize=16)
def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _same(xy: Coordinates) -> Coordinates:
    return xy


def period_of(crs: pyproj.CRS) -> float | None:
    """Return what x jumps by where the world closes on itself; None for projected CRSs."""
    if not crs.is_geographic:
        return None
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 0.0
    return 2.0 * np.pi / factor if factor > 0.0 else FULL_CIRCLE
