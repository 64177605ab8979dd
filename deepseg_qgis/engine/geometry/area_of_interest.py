"""An area of interest in the CRS of the polygons that it is laid over, and its size. No I/O."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.local_crs import are_one_plane
from deepseg_qgis.engine.geometry.measures import area_and_perimeter_m
from deepseg_qgis.engine.geometry.neighbourhood import near
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.repair import repair
from deepseg_qgis.engine.geometry.reprojection import to_crs
from deepseg_qgis.engine.geometry.round_world import turned_to
from deepseg_qgis.engine.geometry.world import World


def area_of_interest(
    geometries: Geometries,
    own: pyproj.CRS | None,
    crs: pyproj.CRS | None,
    place: NDArray[np.float64],
) -> tuple[shapely.Geometry, float]:
    """Return valid polygons in their ``own`` CRS as one in ``crs``, and its size in m².

    ``place`` is (xmin, ymin, xmax, ymax) of what it is laid over, in ``crs``; of an area that
    reaches far around it only that matters. The size is NaN where it is unknown.
    """
    world = None if crs is None else World.of(crs)
    if own is None or crs is None or are_one_plane(own, crs):
        area = shapely.union_all(geometries)
        return _turned_to(area, world, place), _size_m2(area, crs)
    reached = near(geometries, own, place, crs) if world is None else geometries
    parts, usable, _ = repair(to_crs(reached, own, crs))
    area = shapely.union_all(parts[usable])
    if reached is geometries:
        return _turned_to(area, world, place), _size_m2(area, crs)
    return area, _size_m2(shapely.union_all(geometries), own)


def _turned_to(
    area: shapely.Geometry, world: World | None, place: NDArray[np.float64]
) -> shapely.Geometry:
    """Return an area also where polygons lie a whole turn around the world away from it."""
    if world is None or area.is_empty or not np.isfinite(place).all():
        return area
    return turned_to(area, world, place[0], place[2])


def _size_m2(area: shapely.Geometry, crs: pyproj.CRS | None) -> float:
    return float(area_and_perimeter_m(np.array([area], dtype=object), crs)[0][0])
