"""Coordinates and geometries under projections, vertex by vertex. No I/O.

Geometries are shapely polygons or multipolygons in one-dimensional object arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pyproj
import shapely
from affine import Affine

from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, Geometries
from deepseg_qgis.errors import DeepSegError

WGS84 = pyproj.CRS.from_epsg(4326)

FULL_CIRCLE = 360.0

Project = Callable[[Coordinates], Coordinates]


def metres_per_unit(crs: pyproj.CRS) -> float:
    """Return roughly how many metres a unit of the CRS is (a degree: 111,320)."""
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return factor * 6_378_137.0 if crs.is_geographic else factor


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
