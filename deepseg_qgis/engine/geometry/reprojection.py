"""Polygons from one CRS in another, and a plane in which areas are true. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import LambertAzimuthalEqualAreaConversion

from deepseg_qgis.engine.geometry.densification import reprojected
from deepseg_qgis.engine.geometry.local_crs import are_comparable, are_one_plane, is_local
from deepseg_qgis.engine.geometry.measures import STRAIGHT_WITHIN_M
from deepseg_qgis.engine.geometry.poles import Poles
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.projections import metres_per_unit, period_of, projection
from deepseg_qgis.engine.geometry.round_world import project_and_cut
from deepseg_qgis.engine.geometry.world import World

CENTRE_DECIMALS = 3
"""Of the degrees of a plane's centre: the order of the polygons must not move it."""


def to_crs(geometries: Geometries, own: pyproj.CRS | None, crs: pyproj.CRS | None) -> Geometries:
    """Return valid polygons in their ``own`` CRS as polygons in ``crs``, edges on their course.

    Where it is not known how the two lie to each other, coordinates stay as they are. On a round
    world polygons are cut at ±180°. What the projection cannot take gets infinite coordinates.
    """
    if own is None or crs is None or are_one_plane(own, crs):
        return geometries
    project, world = projection(own, crs), World.of(crs)
    tolerance = STRAIGHT_WITHIN_M / metres_per_unit(crs)
    if world is None:
        return reprojected(geometries, project, tolerance)
    return project_and_cut(
        geometries, project, tolerance, Poles(project, projection(crs, own), world)
    )


def equal_area_plane(
    layers: Sequence[tuple[Geometries, pyproj.CRS | None]],
) -> pyproj.CRS | None:
    """Return a projection, in metres, in which all areas of some layers are true.

    It is Lambert's azimuthal one (Snyder, Map Projections: A Working Manual, 1987, chapter 24),
    centred on the polygons. Where a layer has no known place on the ground there is none, and the
    CRS of the first layer that has one is returned: coordinates are taken as they are.
    """
    given = [crs for _, crs in layers if crs is not None]
    first = given[0] if given else None
    if first is None or not all(are_comparable(first, crs) for _, crs in layers):
        return first
    ground = first.geodetic_crs
    if is_local(first) or ground is None:
        return first
    ground = ground.to_2d()
    turn = period_of(ground)
    assert turn is not None
    centre = _centre([_radians(shapes, crs, ground, turn) for shapes, crs in layers if crs])
    longitude, latitude = np.round(np.degrees(centre), CENTRE_DECIMALS).tolist()
    conversion = LambertAzimuthalEqualAreaConversion(latitude, longitude)
    return ProjectedCRS(conversion, "Equal-area plane", geodetic_crs=ground)


def _radians(
    shapes: Geometries, crs: pyproj.CRS, ground: pyproj.CRS, turn: float
) -> NDArray[np.float64]:
    """Return (n, 2) longitudes and latitudes of the middles of polygons."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    middles = (bounds[:, :2] + bounds[:, 2:]) / 2.0
    radians = projection(crs, ground)(middles) * (2.0 * np.pi / turn)
    return radians[np.isfinite(radians).all(axis=1)]


def _centre(places: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the middle of places on a sphere: of those at ±180° it lies there, too."""
    longitude, latitude = np.concatenate([np.empty((0, 2)), *places]).T
    if not len(longitude):
        return np.zeros(2)
    x = (np.cos(latitude) * np.cos(longitude)).mean()
    y = (np.cos(latitude) * np.sin(longitude)).mean()
    return np.array([np.arctan2(y, x), np.arctan2(np.sin(latitude).mean(), np.hypot(x, y))])
