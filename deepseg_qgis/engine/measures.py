"""True sizes on the ellipsoid, whatever the projection. No I/O."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.projections import metres_per_unit, projection, reprojected

STRAIGHT_WITHIN_M = 1e-4
"""Edges are measured along their course in the CRS to within this."""
LONGEST_EDGE_DEG = 1e-3
"""Edges are also cut to this (about 111 m) before they are measured as geodesics: an edge along a
parallel is none, but within this length the two differ by less than a millimetre."""


def area_and_perimeter_m(
    geometries: NDArray[np.object_], crs: pyproj.CRS | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return areas (m²) and perimeters (m, holes included) of polygons on the CRS's ellipsoid.

    Source: C. F. F. Karney, Algorithms for geodesics, J. Geodesy 87 (2013), as pyproj has it.
    Arrays are as long as ``geometries``; NaN where the CRS is unknown or coordinates fall outside
    of its domain.
    """
    areas = np.full(len(geometries), np.nan)
    perimeters = np.full(len(geometries), np.nan)
    if crs is None or crs.geodetic_crs is None or len(geometries) == 0:
        return areas, perimeters
    geod = crs.get_geod()
    assert geod is not None
    degrees = crs.geodetic_crs
    on_course = reprojected(
        geometries, projection(crs, degrees), STRAIGHT_WITHIN_M / metres_per_unit(degrees)
    )
    parts, owners = shapely.get_parts(on_course, return_index=True)
    rings, ring_parts = shapely.get_rings(parts, return_index=True)
    outer = np.ones(len(rings), dtype=bool)
    outer[1:] = ring_parts[1:] != ring_parts[:-1]
    known = np.isfinite(shapely.bounds(rings)).all(axis=1)
    areas[:] = perimeters[:] = 0.0
    for i, owner in enumerate(owners[ring_parts]):
        if not known[i]:
            areas[owner] = perimeters[owner] = np.nan
            continue
        lon, lat = shapely.get_coordinates(shapely.segmentize(rings[i], LONGEST_EDGE_DEG)).T
        area, length = geod.polygon_area_perimeter(lon, lat)
        areas[owner] += abs(area) if outer[i] else -abs(area)
        perimeters[owner] += length
    return areas, perimeters
