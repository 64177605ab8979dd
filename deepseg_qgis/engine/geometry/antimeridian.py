"""Polygons on rasters in degrees, where 179.9° and −180.1° are one place. No I/O."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.projections import Project, affine, mapped, period_of, projection

HALF_A_TURN = 1.0 + 1e-12
"""A share of half a turn: what lies exactly opposite stays on its side."""


def near_grid(geometries: Geometries, crs: pyproj.CRS | None, grid: Grid) -> Geometries:
    """Return valid geometries in ``crs`` in the pixel coordinates of a grid in degrees.

    A part that the antimeridian would tear is kept together around its centre, and parts are moved
    by whole turns to where the grid is (to both sides, where it reaches so far). Parts that hold a
    pole are not taken care of.
    """
    assert grid.crs is not None
    turn = period_of(grid.crs)
    parts, owners = shapely.get_parts(geometries, return_index=True)
    if turn is None or len(parts) == 0:
        return grid.from_crs(geometries, crs)
    degrees = mapped(grid.from_crs(parts, crs), lambda xy: affine(grid.transform, xy))
    degrees = _kept_together(degrees, _centres(parts, crs, grid), turn)
    low, _, high, _ = shapely.bounds(degrees).T
    around = mapped(np.array([box(grid.window)]), lambda xy: affine(grid.transform, xy))
    west, _, east, _ = shapely.bounds(around[0])
    moved, whose = [], []
    reached = np.zeros(len(parts), dtype=bool)
    for turns in (-1, 0, 1):
        shift = turns * turn
        there = (high + shift > west) & (low + shift < east)
        reached |= there
        moved.append(mapped(degrees[there], _shifted(turns * turn)))
        whose.append(owners[there])
    moved.append(degrees[~reached])
    whose.append(owners[~reached])
    pixels = mapped(np.concatenate(moved), lambda xy: affine(~grid.transform, xy))
    return _together(pixels, np.concatenate(whose), len(geometries))


def cut_at_antimeridian(geometries: Geometries) -> Geometries:
    """Return polygons in degrees with those that cross ±180° cut there (RFC 7946, 3.1.9).

    A polygon more than 180° wide is taken for one that crosses: its western half is moved east by
    360°, cut at 180°, and moved back.
    """
    bounds = shapely.bounds(geometries)
    crossing = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > 180.0)
    result: Geometries = geometries.copy()
    for i in crossing:
        turned = shapely.transform(
            geometries[i], lambda xy: np.column_stack([xy[:, 0] % 360.0, xy[:, 1]])
        )
        west = shapely.intersection(turned, shapely.box(0, -90, 180, 90))
        east = shapely.intersection(turned, shapely.box(180, -90, 360, 90))
        back = shapely.transform(east, lambda xy: xy - [360.0, 0.0])
        result[i] = shapely.union(west, back)
    return result


def _centres(parts: Geometries, crs: pyproj.CRS | None, grid: Grid) -> NDArray[np.float64]:
    """Return the longitude of each part's centre."""
    xmin, ymin, xmax, ymax = shapely.bounds(parts).T
    centres = np.column_stack([(xmin + xmax) / 2.0, (ymin + ymax) / 2.0])
    if crs is not None and grid.crs is not None and crs != grid.crs:
        centres = projection(crs, grid.crs)(centres)
    return np.asarray(centres[:, 0], dtype=np.float64)


def _kept_together(degrees: Geometries, centres: NDArray[np.float64], turn: float) -> Geometries:
    xy, owners = shapely.get_coordinates(degrees, return_index=True)
    off = xy[:, 0] - centres[owners]
    far = np.isfinite(off) & (np.abs(off) > turn / 2.0 * HALF_A_TURN)
    xy[far, 0] -= turn * np.rint(off[far] / turn)
    result: Geometries = shapely.set_coordinates(degrees.copy(), xy)
    return result


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
