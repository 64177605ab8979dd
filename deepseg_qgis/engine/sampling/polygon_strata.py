"""A layer of polygons as strata: each category's ground, and the rest of the area.

Polygons are laid on a plane on which areas are true, so that a place there is as likely as any
other. Where they overlap, the smaller lies on top, as everywhere. Memory: the layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyproj
import shapely

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.annotation_layer import Annotations, no_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import layers
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, clipped
from deepseg_qgis.engine.geometry.densification import reprojected
from deepseg_qgis.engine.geometry.local_crs import are_one_plane, is_local, metres_per_local_unit
from deepseg_qgis.engine.geometry.measures import STRAIGHT_WITHIN_M
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, Geometries
from deepseg_qgis.engine.geometry.projections import projection
from deepseg_qgis.engine.geometry.repair import repair
from deepseg_qgis.engine.geometry.reprojection import equal_area_plane
from deepseg_qgis.engine.sampling.strata import BACKGROUND, Stratum, strata_of
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import VectorSource

NEGLIGIBLE = 1e-5
"""A smaller share of the area is no background, but the gaps between polygons that touch."""
PLACES_AT_ONCE = 20_000


class PolygonStrata:
    """The strata of a layer of polygons inside an area; see `CategoryMap`.

    Without an AOI the area is the bounding box of the polygons.

    Raises:
        VectorError: the layer or the AOI has no usable polygon, or they do not meet.
    """

    def __init__(self, source: VectorSource, aoi: VectorSource | None, control: Control) -> None:
        polygons = annotation_layer.load(source, control)
        self._crs = polygons.crs
        shapes, area_crs = _area(polygons, aoi, control)
        if are_one_plane(area_crs, self._crs):
            area_crs = self._crs
        plane = equal_area_plane([(shapes, area_crs)])
        self._plane = None if plane is area_crs else plane  # a local CRS is a plane already
        area = shapely.union_all(self._laid(shapes, area_crs))
        self._area = Area(area)
        self._parts = self._visible(polygons)
        sizes = np.array([shapely.area(parts).sum() for parts in self._parts])
        names = list(polygons.categories)
        kept = sizes > 0.0
        if not kept.any():
            raise VectorError(
                f"None of the polygons of '{source.name}' lies in the area of interest. Check that "
                "both lie over each other on the map."
            )
        self._parts = [parts for parts, keep in zip(self._parts, kept, strict=True) if keep]
        names = [name for name, keep in zip(names, kept, strict=True) if keep]
        rest = float(area.area) - float(sizes.sum())
        self._has_background = rest > NEGLIGIBLE * float(area.area)
        if self._has_background:
            names = [BACKGROUND, *names]
            sizes = np.concatenate([[rest], sizes[kept]])
        else:
            sizes = sizes[kept]
        unit = self._metres_per_unit()
        self._strata = strata_of(names, sizes * (unit or 1.0) ** 2, in_m2=unit is not None)
        every = np.concatenate(self._parts)
        shapely.prepare(every)
        self._tree = shapely.STRtree(every)

    @property
    def strata(self) -> tuple[Stratum, ...]:
        """The strata: the background first, then the categories in alphabetical order."""
        return self._strata

    @property
    def crs(self) -> pyproj.CRS | None:
        """The CRS of the polygons."""
        return self._crs

    def draw(self, sizes: Sequence[int], rng: np.random.Generator) -> list[Coordinates]:
        """Return random places of each stratum; each place of its ground is as likely as any."""
        wanted = list(sizes)
        drawn: list[Coordinates] = []
        if self._has_background:
            drawn.append(self._outside(wanted.pop(0), rng))
        drawn += [
            random_places(parts, count, rng)
            for parts, count in zip(self._parts, wanted, strict=True)
        ]
        if self._plane is None or self._crs is None:
            return drawn
        back = projection(self._plane, self._crs)
        return [back(places) for places in drawn]

    def _outside(self, count: int, rng: np.random.Generator) -> Coordinates:
        """Return random places of the area that are in no polygon."""
        parts = shapely.get_parts(self._area.geometry)
        found = np.empty((0, 2))
        while len(found) < count:
            places = random_places(parts, PLACES_AT_ONCE, rng)
            held, _ = self._tree.query(shapely.points(places), predicate="intersects")
            found = np.concatenate([found, np.delete(places, held, axis=0)])
        return found[:count]

    def _visible(self, polygons: Annotations) -> list[Geometries]:
        """Return the ground of each category inside the area, as polygons that do not overlap."""
        numbers = {category.name: i for i, category in enumerate(polygons.categories)}
        classes = np.array([numbers[name] for name in polygons.names], dtype=np.uint8)
        laid = AnnotatedArea(self._laid(polygons.geometries, polygons.crs), classes)
        shapes, usable, _ = repair(clipped(laid.visible, self._area))
        background = np.array([BACKGROUND.name == each.name for each in polygons.categories])
        ground = usable & ~background[laid.classes]  # a category of that name is the rest's
        return [shapes[ground & (laid.classes == number)] for number in range(len(numbers))]

    def _laid(self, geometries: Geometries, crs: pyproj.CRS | None) -> Geometries:
        if self._plane is None or crs is None:
            return geometries
        moved = reprojected(geometries, projection(crs, self._plane), STRAIGHT_WITHIN_M)
        shapes, usable, _ = repair(moved)
        return np.where(usable, shapes, shapely.Polygon())

    def _metres_per_unit(self) -> float | None:
        """Return how many metres a unit of the plane is; None where it is no length."""
        if self._plane is not None:
            return 1.0
        crs = self._crs
        return metres_per_local_unit(crs) if crs is not None and is_local(crs) else None


def random_places(shapes: Geometries, count: int, rng: np.random.Generator) -> Coordinates:
    """Return (count, 2) places in polygons that do not overlap, each place as likely as any.

    A polygon is drawn by its area, a triangle of it by its area, and a place in that.
    """
    areas = shapely.area(shapes)
    chosen = rng.choice(len(shapes), size=count, p=areas / areas.sum())
    places = np.empty((count, 2))
    for number in np.unique(chosen):
        own = np.flatnonzero(chosen == number)
        places[own] = _in_triangles(shapes[number], len(own), rng)
    return places


def _in_triangles(shape: shapely.Geometry, count: int, rng: np.random.Generator) -> Coordinates:
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(shape))
    areas = shapely.area(triangles)
    chosen = triangles[rng.choice(len(triangles), size=count, p=areas / areas.sum())]
    corners = shapely.get_coordinates(chosen).reshape(count, 4, 2)
    u, v = rng.random((2, count, 1))
    beyond = u + v > 1.0
    u, v = np.where(beyond, 1.0 - u, u), np.where(beyond, 1.0 - v, v)
    first = corners[:, 0]
    return np.asarray(first + u * (corners[:, 1] - first) + v * (corners[:, 2] - first))


def _area(
    polygons: Annotations, aoi: VectorSource | None, control: Control
) -> tuple[Geometries, pyproj.CRS | None]:
    """Return the area that the map is of, and its CRS."""
    if aoi is None:
        control.warn(
            "Without an area of interest, the map is the bounding box of the polygons. Choose the "
            "area that was mapped, so that what lies around them counts as background."
        )
        around = shapely.box(*shapely.total_bounds(polygons.geometries))
        return np.array([around], dtype=object), polygons.crs
    shapes, usable, _ = repair(layers.read_features(aoi).geometries)
    if not usable.any():
        raise no_area(aoi)
    return shapes[usable], layers.crs_of(aoi)
