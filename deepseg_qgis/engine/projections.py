"""Coordinates and geometries under projections, without leaving their true course. No I/O.

Geometries are shapely polygons or multipolygons in one-dimensional object arrays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

WGS84 = pyproj.CRS.from_epsg(4326)

MOST_PIECES = 4096
"""An edge is never cut into more pieces than this, however wild the projection."""

Geometries = NDArray[np.object_]
Coordinates = NDArray[np.float64]
"""An array of shape (n, 2): x and y."""
Project = Callable[[Coordinates], Coordinates]


def metres_per_unit(crs: pyproj.CRS) -> float:
    """Return roughly how many metres a unit of the CRS is (a degree: 111,320)."""
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return factor * 6_378_137.0 if crs.is_geographic else factor


def reprojected(geometries: Geometries, project: Project, tolerance: float) -> Geometries:
    """Return geometries under ``project``, edges cut to stay within ``tolerance`` of their course.

    The distance of an edge's projected middle from the middle of its projected ends tells how far
    it is bent; it falls with the square of the number of pieces. Both polygons along a shared
    edge cut it alike. ``tolerance`` is in target units.
    """
    if len(geometries) == 0:
        return geometries
    kind, source, offsets = shapely.to_ragged_array(geometries)
    source = source[:, :2]
    target = project(source)
    middle = project((source[:-1] + source[1:]) / 2.0)
    with np.errstate(invalid="ignore"):
        bend = np.hypot(*(middle - (target[:-1] + target[1:]) / 2.0).T)
    bend[offsets[0][1:-1] - 1] = 0.0  # from the end of a ring to the start of the next
    pieces = np.ones(len(source), dtype=np.int64)
    bent = np.isfinite(bend) & (bend > tolerance)
    pieces[:-1][bent] = np.minimum(np.ceil(np.sqrt(bend[bent] / tolerance)), MOST_PIECES)
    if not bent.any():
        result = shapely.from_ragged_array(kind, target, offsets)
        return np.asarray(_as_single(result, geometries), dtype=object)
    cut = project(_subdivided(source, pieces))
    ring_starts = np.concatenate([[0], np.cumsum(pieces)])[offsets[0]]
    result = shapely.from_ragged_array(kind, cut, (ring_starts, *offsets[1:]))
    return np.asarray(_as_single(result, geometries), dtype=object)


def _as_single(result: Geometries, source: Geometries) -> Geometries:
    """Return polygons for what were polygons before a mixed array made multipolygons of them."""
    single = shapely.get_type_id(source) == shapely.GeometryType.POLYGON
    multiple = shapely.get_type_id(result) == shapely.GeometryType.MULTIPOLYGON
    return np.where(single & multiple, shapely.get_geometry(result, 0), result)


def _subdivided(points: Coordinates, pieces: NDArray[np.int64]) -> Coordinates:
    """Return the points with each step to the next point cut into so many equal pieces."""
    first = np.repeat(np.arange(len(points)), pieces)
    step = np.arange(len(first)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    share = (step / pieces[first])[:, None]
    following = np.minimum(first + 1, len(points) - 1)
    return points[first] * (1.0 - share) + points[following] * share


def mapped(geometries: Geometries, project: Project) -> Geometries:
    """Return geometries under ``project``, vertex by vertex."""
    return np.asarray(shapely.transform(geometries, project), dtype=object)


def affine(transform: Affine, xy: Coordinates) -> Coordinates:
    """Return coordinates under an affine transformation."""
    a, b, c, d, e, f = transform[:6]
    x, y = xy[:, 0], xy[:, 1]
    return np.column_stack([a * x + b * y + c, d * x + e * y + f])


def projection(source: pyproj.CRS, target: pyproj.CRS) -> Project:
    """Return the function that takes coordinates of one CRS to another; x is always east."""
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)

    def project(xy: Coordinates) -> Coordinates:
        return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))

    return project
