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
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.densification import project_densified, reprojected
from deepseg_qgis.engine.geometry.local_crs import are_comparable, are_one_plane
from deepseg_qgis.engine.geometry.measures import (
    STRAIGHT_WITHIN_M,
    Ruler,
    Sizes,
    area_and_perimeter_m,
)
from deepseg_qgis.engine.geometry.poles import Enclosed, Poles, projected_with_poles
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, Geometries, PolygonArrays
from deepseg_qgis.engine.geometry.projections import (
    Project,
    affine,
    mapped,
    metres_per_unit,
    projection,
    without_nan,
)
from deepseg_qgis.engine.geometry.round_world import cut_at_antimeridian, without_long_edges
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.geometry.world import World

UNREFERENCED = Affine(1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""x = column, y = -row: how QGIS draws a raster without georeference."""

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

    def pixel_areas_m2(self, xy: Coordinates) -> NDArray[np.float64]:
        """Return (n,) the ground area in m² of a pixel centred on each of (n, 2) pixel coordinates.

        Measured on the CRS's ellipsoid, to 1e-6 of itself for pixels of a centimetre and more. NaN
        without a CRS, and where the projection does not reach.
        """
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) - 0.5
        squares = (xy[:, None, :] + corners).reshape(-1, 2)
        offsets = np.arange(len(xy) + 1)
        polygons = PolygonArrays(squares, 5 * offsets, offsets)
        areas, _ = Placing(self, self.crs).placed(polygons).sizes()
        return areas

    def to_crs(self, geometries: Geometries, crs: pyproj.CRS | None) -> Geometries:
        """Return geometries in pixel coordinates as geometries in ``crs``.

        Edges are cut where straight ones would leave their true course by more than 0.1 mm. Where
        the grid has no CRS, or a local one, its own coordinates are returned, whatever ``crs`` is.
        """
        return Placing(self, crs).placed(geometries).polygons.geometries()

    def from_crs(self, geometries: Geometries, crs: pyproj.CRS | None) -> Geometries:
        """Return geometries in ``crs`` as geometries in pixel coordinates.

        Edges are cut where straight ones would leave their course by more than 1/100 px.
        Coordinates that the projection cannot take become infinite.
        """
        inverse = ~self.transform
        if self.crs is None or crs is None or are_one_plane(crs, self.crs):
            return mapped(geometries, lambda xy: affine(inverse, xy))
        project = projection(crs, self.crs)
        to_pixels = without_nan(lambda xy: affine(inverse, project(xy)))
        return reprojected(geometries, to_pixels, STRAIGHT_WITHIN_PX)


class Placing:
    """Takes polygons from a raster's pixel grid to ``crs``; made once for many batches.

    Where the grid has no CRS, or a local one, its own coordinates are kept, as in `Grid.to_crs`.
    """

    def __init__(self, grid: Grid, crs: pyproj.CRS | None) -> None:
        self._transform = grid.transform
        self._project: Project | None = None
        self._poles: Poles | None = None
        own = are_one_plane(grid.crs, crs)
        self._world = _longitudes(crs) if crs and are_comparable(grid.crs, crs) else None
        if not own:
            assert grid.crs is not None
            assert crs is not None
            project, back = projection(grid.crs, crs), projection(crs, grid.crs)
            self._project = lambda xy: project(affine(grid.transform, xy))
            self._tolerance = STRAIGHT_WITHIN_M / metres_per_unit(crs)
            if self._world is not None:
                inverse = ~grid.transform
                self._poles = Poles(
                    self._project, lambda xy: affine(inverse, back(xy)), self._world
                )
        self._ruler = Ruler(None if grid.crs is None else grid.crs if own else crs)

    def placed(self, polygons: Geometries | PolygonArrays) -> Placed:
        """Return polygons in pixel coordinates as polygons in the CRS, edges on their course.

        Projected to longitude and latitude, they are cut at ±180°.
        """
        arrays = polygons if isinstance(polygons, PolygonArrays) else PolygonArrays.of(polygons)
        if self._project is None:
            course = arrays.moved(affine(self._transform, arrays.coordinates))
            if self._world is not None:
                course = without_long_edges(course, self._world)
            return Placed(course, course, None, self._ruler)
        if self._poles is None or self._world is None:
            course = project_densified(arrays, self._project, self._tolerance)
            return Placed(course, course, None, self._ruler)
        course, enclosed = projected_with_poles(arrays, self._project, self._tolerance, self._poles)
        return Placed(
            cut_at_antimeridian(course, enclosed, self._world), course, enclosed, self._ruler
        )


def _longitudes(crs: pyproj.CRS) -> World | None:
    """Return the world of longitudes; None for all CRSs of another kind."""
    return World.of(crs) if crs.is_geographic else None


@dataclass(frozen=True)
class Placed:
    """Polygons in a CRS, and the ruler that measures them along their course there, uncut."""

    polygons: PolygonArrays
    course: PolygonArrays
    enclosed: Enclosed | None
    ruler: Ruler

    def sizes(self) -> Sizes:
        """Return areas (m²) and perimeters (m, holes included), NaN where they are unknown.

        Polygons in longitude and latitude are measured as they lie, without another projection.
        """
        return self.ruler.sizes(self.course, self.enclosed)
