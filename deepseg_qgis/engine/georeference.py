"""Where pixels lie on the ground: grids and transformations. No I/O.

Pixel coordinates are (x, y) = (column, row) with the origin at the outer corner of the first
pixel, so the pixel in row 0 and column 0 covers the unit square and whole numbers are corners.
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

from deepseg_qgis.engine.measures import area_and_perimeter_m
from deepseg_qgis.engine.tiling import Window

WGS84 = pyproj.CRS.from_epsg(4326)
UNREFERENCED = Affine(1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""x = column, y = -row: how QGIS draws a raster without georeference."""

STRAIGHT_WITHIN_M = 1e-4
STRAIGHT_WITHIN_PX = 1e-2
"""How far a reprojected edge may leave its true course: on the ground, and on a pixel grid."""

MOST_PIECES = 4096
"""An edge is never cut into more pieces than this, however wild the projection."""

Geometries = NDArray[np.object_]
Coordinates = NDArray[np.float64]
"""An array of shape (n, 2): x and y."""


@dataclass(frozen=True)
class Grid:
    """A raster's pixel grid: its size in pixels, its transform and its CRS (None: unknown)."""

    width: int
    height: int
    transform: Affine
    crs: pyproj.CRS | None

    @property
    def window(self) -> Window:
        """The whole grid as a window."""
        return Window(0, 0, self.height, self.width)

    @functools.cached_property
    def resolution_m(self) -> float | None:
        """Ground sample distance in metres: a pixel's side at the grid's centre; None if unknown.

        Measured on the ellipsoid (a unit of EPSG:3857 is no metre): the square root of the ground
        area of the central 10 × 10 px, over 10.
        """
        if self.crs is None:
            return None
        x, y = self.width / 2.0, self.height / 2.0
        square = np.array([shapely.box(x - 5, y - 5, x + 5, y + 5)], dtype=object)
        area, _ = area_and_perimeter_m(self.to_crs(square, self.crs), self.crs)
        return float(np.sqrt(area[0]) / 10.0) if np.isfinite(area[0]) else None

    def to_crs(self, geometries: Geometries, crs: pyproj.CRS | None) -> Geometries:
        """Return geometries in pixel coordinates as geometries in ``crs``.

        Edges are cut where straight ones would leave their true course by more than 0.1 mm. Where
        the grid has no CRS its own coordinates are returned, whatever ``crs`` is.
        """
        if self.crs is None or crs is None or crs == self.crs:
            return _mapped(geometries, lambda xy: _affine(self.transform, xy))
        project = _projection(self.crs, crs)
        return reprojected(
            geometries,
            lambda xy: project(_affine(self.transform, xy)),
            STRAIGHT_WITHIN_M / metres_per_unit(crs),
        )

    def from_crs(self, geometries: Geometries, crs: pyproj.CRS | None) -> Geometries:
        """Return geometries in ``crs`` as geometries in pixel coordinates.

        Edges are cut where straight ones would leave their course by more than 1/100 px.
        Coordinates that the projection cannot take become infinite.
        """
        inverse = ~self.transform
        if self.crs is None or crs is None or crs == self.crs:
            return _mapped(geometries, lambda xy: _affine(inverse, xy))
        project = _projection(crs, self.crs)
        return reprojected(geometries, lambda xy: _affine(inverse, project(xy)), STRAIGHT_WITHIN_PX)


def metres_per_unit(crs: pyproj.CRS) -> float:
    """Return roughly how many metres a unit of the CRS is (a degree: 111,320)."""
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return factor * 6_378_137.0 if crs.is_geographic else factor


def reprojected(
    geometries: Geometries, project: Callable[[Coordinates], Coordinates], tolerance: float
) -> Geometries:
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


def _mapped(geometries: Geometries, project: Callable[[Coordinates], Coordinates]) -> Geometries:
    return np.asarray(shapely.transform(geometries, project), dtype=object)


def _affine(transform: Affine, xy: Coordinates) -> Coordinates:
    a, b, c, d, e, f = transform[:6]
    x, y = xy[:, 0], xy[:, 1]
    return np.column_stack([a * x + b * y + c, d * x + e * y + f])


def _projection(source: pyproj.CRS, target: pyproj.CRS) -> Callable[[Coordinates], Coordinates]:
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)

    def project(xy: Coordinates) -> Coordinates:
        return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))

    return project
