"""Annotations on rasters whose world is round, where 179.9° and -180.1° are one place. No I/O."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.geometry.georeference import STRAIGHT_WITHIN_PX, Grid
from deepseg_qgis.engine.geometry.local_crs import are_one_plane
from deepseg_qgis.engine.geometry.poles import Poles
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.projections import (
    Project,
    affine,
    mapped,
    projection,
    without_nan,
)
from deepseg_qgis.engine.geometry.round_world import project_and_cut
from deepseg_qgis.engine.geometry.world import World

MOST_TURNS = 3
"""So often a grid may go around the world, either way."""


def near_grid(
    geometries: Geometries, crs: pyproj.CRS | None, grid: Grid, world: World
) -> Geometries:
    """Return valid geometries in ``crs`` in the pixel coordinates of a grid on a round world.

    ``world`` is that of the grid's CRS. Parts are moved by whole turns to where the grid is, to
    several places where it reaches so far.
    """
    parts, owners = shapely.get_parts(geometries, return_index=True)
    if len(parts) == 0:
        return grid.from_crs(geometries, crs)
    if crs is not None and not are_one_plane(crs, grid.crs):
        assert grid.crs is not None
        project, back = projection(crs, grid.crs), projection(grid.crs, crs)
        tolerance = STRAIGHT_WITHIN_PX * float(np.sqrt(abs(grid.transform.determinant)))
        whole = project_and_cut(parts, without_nan(project), tolerance, Poles(project, back, world))
        parts, inner = shapely.get_parts(whole, return_index=True)
        owners = owners[inner]
    low, _, high, _ = shapely.bounds(parts).T
    around = mapped(np.array([box(grid.window)]), lambda xy: affine(grid.transform, xy))
    west, _, east, _ = shapely.bounds(around[0])
    moved, whose = [], []
    reached = np.zeros(len(parts), dtype=bool)
    for turns in range(-MOST_TURNS, MOST_TURNS + 1):
        shift = turns * world.period
        there = (high + shift > west) & (low + shift < east)
        reached |= there
        moved.append(mapped(parts[there], _shifted(shift)))
        whose.append(owners[there])
    moved.append(parts[~reached])
    whose.append(owners[~reached])
    pixels = mapped(np.concatenate(moved), lambda xy: affine(~grid.transform, xy))
    return _together(pixels, np.concatenate(whose), len(geometries))


def _together(parts: Geometries, owners: NDArray[np.int64], count: int) -> Geometries:
    """Return one geometry for each owner, of all its parts."""
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(count + 1))
    result: Geometries = np.full(count, shapely.Polygon(), dtype=object)
    for i in range(count):
        mine = parts[order[starts[i] : starts[i + 1]]]
        if len(mine) == 1:
            result[i] = mine[0]
        elif len(mine):
            result[i] = shapely.MultiPolygon(list(mine))
    return result


def _shifted(by: float) -> Project:
    return lambda xy: xy + np.array([by, 0.0])
