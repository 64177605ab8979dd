"""Polygons cut to the surroundings of a place, before a projection folds the rest. No I/O."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.projections import metres_per_unit, projection
from deepseg_qgis.engine.geometry.repair import repair

REACH_M = 2_000_000.0
"""So far around a place all projections are well-behaved that anybody would use for it."""
SIDE_POINTS = 21


def near(
    geometries: Geometries,
    crs: pyproj.CRS,
    place: NDArray[np.float64],
    place_crs: pyproj.CRS,
) -> Geometries:
    """Return valid polygons in ``crs``, of which those that reach far around a place are cut.

    ``place`` is (xmin, ymin, xmax, ymax) in ``place_crs``. The transverse Mercator of UTM, as an
    example, takes the poles and other continents to nowhere, or back to where they are not. What
    does not reach there is empty.
    """
    around = _around(place, place_crs, crs)
    bounds = shapely.bounds(geometries)
    reaches = (bounds[:, :2] < around[:2]) | (bounds[:, 2:] > around[2:])
    far = reaches.any(axis=1)
    if not far.any():
        return geometries
    low, high = bounds[far, :2].min(axis=0), bounds[far, 2:].max(axis=0)
    window = np.clip(around, [*low, *low], [*high, *high])  # a box has no infinite sides
    result: Geometries = geometries.copy()
    cut, usable, _ = repair(shapely.intersection(geometries[far], shapely.box(*window)))
    result[far] = np.where(usable, cut, shapely.Polygon())
    return result


def _around(
    place: NDArray[np.float64], place_crs: pyproj.CRS, crs: pyproj.CRS
) -> NDArray[np.float64]:
    """Return the bounds of the surroundings in ``crs``, infinite where nobody can tell."""
    everywhere = np.array([-np.inf, -np.inf, np.inf, np.inf])
    xmin, ymin, xmax, ymax = place
    share = np.linspace(0.0, 1.0, SIDE_POINTS)
    x, y = np.meshgrid(xmin + share * (xmax - xmin), ymin + share * (ymax - ymin))
    there = projection(place_crs, crs)(np.column_stack([x.ravel(), y.ravel()]))
    if not np.isfinite(there).all():
        return everywhere
    reach = REACH_M / metres_per_unit(crs)
    around = np.concatenate([there.min(axis=0) - reach, there.max(axis=0) + reach])
    half_turn = np.pi * 6_378_137.0 / metres_per_unit(crs)
    if crs.is_geographic and np.ptp(there[:, 0]) + 2.0 * reach > half_turn:
        around[[0, 2]] = everywhere[[0, 2]]  # at 180° or around a pole
    return around
