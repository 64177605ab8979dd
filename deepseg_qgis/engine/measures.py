"""True sizes on the ellipsoid, whatever the projection. No I/O."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

LONGEST_EDGE_DEG = 1e-3
"""Edges in degrees are cut to this (about 111 m) before they are measured as geodesics: a straight
edge along a parallel is none, but within this length the two differ by less than a millimetre."""


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
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)

    def project(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1]))

    parts, owners = shapely.get_parts(geometries, return_index=True)
    rings, ring_parts = shapely.get_rings(parts, return_index=True)
    outer = np.ones(len(rings), dtype=bool)
    outer[1:] = ring_parts[1:] != ring_parts[:-1]
    lines = shapely.transform(rings, project)
    finite = np.isfinite(shapely.bounds(lines)).all(axis=1)
    areas[:] = perimeters[:] = 0.0
    for ring, owner, is_outer, known in zip(lines, owners[ring_parts], outer, finite, strict=True):
        if not known:
            areas[owner] = perimeters[owner] = np.nan
            continue
        lon, lat = shapely.get_coordinates(shapely.segmentize(ring, LONGEST_EDGE_DEG)).T
        area, length = geod.polygon_area_perimeter(lon, lat)
        areas[owner] += abs(area) if is_outer else -abs(area)
        perimeters[owner] += length
    return areas, perimeters
