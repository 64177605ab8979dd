"""Where a raster's pixels lie on the ground. No I/O.

Pixel coordinates are (x, y) = (column, row) with the origin at the outer corner of the first
pixel, so the pixel in row 0 and column 0 covers the unit square and whole numbers are corners.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from affine import Affine

from deepseg_qgis.engine.measures import area_and_perimeter_m
from deepseg_qgis.engine.projections import (
    Geometries,
    affine,
    mapped,
    metres_per_unit,
    projection,
    reprojected,
)
from deepseg_qgis.engine.tiling import Window

UNREFERENCED = Affine(1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""x = column, y = -row: how QGIS draws a raster without georeference."""

STRAIGHT_WITHIN_M = 1e-4
STRAIGHT_WITHIN_PX = 1e-2
"""How far a reprojected edge may leave its true course: on the ground, and on a pixel grid."""


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
            return mapped(geometries, lambda xy: affine(self.transform, xy))
        project = projection(self.crs, crs)
        return reprojected(
            geometries,
            lambda xy: project(affine(self.transform, xy)),
            STRAIGHT_WITHIN_M / metres_per_unit(crs),
        )

    def from_crs(self, geometries: Geometries, crs: pyproj.CRS | None) -> Geometries:
        """Return geometries in ``crs`` as geometries in pixel coordinates.

        Edges are cut where straight ones would leave their course by more than 1/100 px.
        Coordinates that the projection cannot take become infinite.
        """
        inverse = ~self.transform
        if self.crs is None or crs is None or crs == self.crs:
            return mapped(geometries, lambda xy: affine(inverse, xy))
        project = projection(crs, self.crs)
        return reprojected(geometries, lambda xy: affine(inverse, project(xy)), STRAIGHT_WITHIN_PX)
