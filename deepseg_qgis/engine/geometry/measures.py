"""True sizes on the ellipsoid, whatever the projection; in a local CRS on its plane. No I/O.

Edges are taken along their course in the CRS: straight there, and straight in longitude and
latitude between the vertices that `densification.project_densified` puts on them. Area and length
of such an edge have closed forms, so that whole batches are a few sums over arrays.
"""

from __future__ import annotations

import sys

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.densification import shares
from deepseg_qgis.engine.geometry.local_crs import is_local, metres_per_local_unit
from deepseg_qgis.engine.geometry.poles import Poles, projected_with_poles
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, Geometries, PolygonArrays
from deepseg_qgis.engine.geometry.projections import metres_per_unit, projection
from deepseg_qgis.engine.geometry.round_world import without_long_edges
from deepseg_qgis.engine.geometry.world import World

STRAIGHT_WITHIN_M = 1e-4
"""Edges are measured along their course in the CRS to within this."""
LONGEST_STEP_DEG = 2e-3
"""Edges are cut to this in latitude: the sums below then err by less than 1e-10."""
MOST_STEPS = 1 << 20
"""In a batch whose edges go up and down for more than that, they are cut less finely."""
BEYOND_THE_POLES = np.pi
"""Latitudes (radians) that are none; pixels around a pole may stick out beyond 90°."""
TERMS = 9
"""Of the series in the squared eccentricity: the next one is below 1e-18 on the Earth."""
NEAR = 5e-3
"""Half a way in latitude (radians) up to which the series in `Ellipsoid` is exact to 1e-14."""
BATCH = 1 << 17
"""So many vertices are measured at once: the intermediate arrays stay within a few MB."""

Sizes = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Areas in m² and perimeters in m, holes included; NaN where unknown."""


class Ruler:
    """Measures polygons given in ``crs``, on its ellipsoid; made once for many batches.

    A local CRS has none: there sizes are those on its plane, if its unit is a length.
    """

    def __init__(self, crs: pyproj.CRS | None) -> None:
        geodetic = None if crs is None else crs.geodetic_crs
        self._known = crs is not None and geodetic is not None and geodetic.is_geographic
        local = crs is not None and is_local(crs)
        self._local_unit_m = metres_per_local_unit(crs) if crs is not None and local else None
        if crs is None or geodetic is None or not self._known:
            return
        geod = crs.get_geod()
        assert geod is not None
        self._ellipsoid = Ellipsoid(geod.a, geod.es)
        self._project = projection(crs, geodetic)
        self._tolerance = STRAIGHT_WITHIN_M / metres_per_unit(geodetic)
        world = World.of(geodetic)
        assert world is not None
        self._world = world
        self._radians = 2.0 * np.pi / world.period
        self._poles: Poles | None = None
        if not crs.is_geographic:
            self._poles = Poles(self._project, projection(geodetic, crs), world)

    def sizes(self, polygons: PolygonArrays, enclosed: NDArray[np.int8] | None = None) -> Sizes:
        """Return areas and perimeters, one for each feature.

        NaN where the CRS is unknown or coordinates fall outside of its domain. ``enclosed`` is
        what `round_world.projected` says of the rings.
        """
        if self._local_unit_m is not None:
            return _on_plane(polygons, self._local_unit_m)
        areas, perimeters = np.full((2, len(polygons)), np.nan)
        if self._known:
            # rings around poles are few, and their poles are counted through
            for start, some in polygons.batches(BATCH if enclosed is None else sys.maxsize):
                course, poles = some, enclosed
                if self._poles is not None:
                    course, poles = projected_with_poles(
                        some, self._project, self._tolerance, self._poles
                    )
                else:  # the short way of a whole turn would be none
                    course = without_long_edges(some, self._world, 1.0)
                radians = course.coordinates * self._radians
                radians[np.abs(radians[:, 1]) > BEYOND_THE_POLES] = np.nan
                part = slice(start, start + len(some))
                areas[part], perimeters[part] = self._ellipsoid.sizes(course.moved(radians), poles)
        return areas, perimeters


def _on_plane(polygons: PolygonArrays, unit_m: float) -> Sizes:
    shapes = polygons.geometries()
    return shapely.area(shapes) * unit_m**2, shapely.length(shapes) * unit_m


class Ellipsoid:
    """Sizes of polygons whose edges are straight in longitude and latitude, in radians."""

    def __init__(self, semi_major_m: float, squared_eccentricity: float) -> None:
        self._a, self._e2 = semi_major_m, squared_eccentricity
        k = np.arange(TERMS)
        self._series = (1.0 - self._e2) * self._e2**k * (1.0 + 1.0 / (2.0 * k + 1.0))

    def sizes(self, polygons: PolygonArrays, enclosed: NDArray[np.int8] | None = None) -> Sizes:
        """Return areas and perimeters.

        ``enclosed`` tells the pole that each ring holds, as `round_world.projected` does. Where it
        is not known, a ring around a pole holds the nearer one.
        """
        if len(polygons.coordinates) < 2:
            return np.zeros(len(polygons)), np.zeros(len(polygons))
        polygons, step = _short_steps(polygons)
        inside = polygons.steps()
        east, north = step[:, 0], step[:, 1]
        with np.errstate(invalid="ignore"):
            latitude = polygons.coordinates[:, 1]
            q, slope, radius, parallel = self._at(latitude)
            # from the ring's start, so that no digits are lost to the distance from the equator
            first = np.repeat(polygons.rings[:-1], np.diff(polygons.rings))
            onward = self._onward(latitude[first], latitude, q[first], q)
            mean = (onward[:-1] + onward[1:]) / 2.0 + (slope[:-1] - slope[1:]) * north / 12.0
            length = np.hypot(
                (radius[:-1] + radius[1:]) * (north / 2.0),
                (parallel[:-1] + parallel[1:]) * (east / 2.0),
            )
            area = polygons.per_ring(np.where(inside, mean * east, 0.0))
        length = np.where(inside, length, 0.0)
        turns = polygons.per_ring(np.where(inside, east, 0.0))
        around = np.abs(turns) > np.pi
        if enclosed is not None:
            first = polygons.rings[:-1]
            pole = enclosed.astype(np.float64)
            at_pole = pole * float(self._series.sum())
            beyond = self._onward(latitude[first], pole * np.pi / 2.0, q[first], at_pole)
            area = np.where(around & (enclosed != 0), area - beyond * turns, area)
            around &= enclosed == 0
        if around.any():
            area[around] = self._cap(area + q[polygons.rings[:-1]] * turns, turns)[around]
        area = np.abs(area) * (self._a**2 / 2.0)
        signed = np.where(polygons.outer(), area, -area)
        return polygons.per_feature(signed), polygons.per_feature(polygons.per_ring(length))

    def _onward(
        self,
        start: NDArray[np.float64],
        latitude: NDArray[np.float64],
        q_start: NDArray[np.float64],
        q: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return q less that of another latitude, to the last digit for short ways.

        dq/d(sin φ) is 2 (1 - e²) / (1 - e² sin² φ)², integrated by its middle and its curvature.
        """
        half = (latitude - start) / 2.0
        middle = start + half
        way = 2.0 * np.cos(middle) * np.sin(half)
        square = np.square(np.sin(middle) * np.cos(half))
        w = 1.0 - self._e2 * square
        curvature = self._e2 * (4.0 + 20.0 * self._e2 * square) / (w * w)
        near = (2.0 * (1.0 - self._e2)) * way / (w * w) * (1.0 + curvature * way * way / 24.0)
        return np.where(np.abs(half) < NEAR, near, q - q_start)

    def _cap(
        self, integral: NDArray[np.float64], turns: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what lies between a ring around a pole and the nearer pole."""
        to_pole = float(self._series.sum()) * np.abs(turns)
        up = integral * np.sign(turns)
        return np.minimum(to_pole - up, to_pole + up)

    def _at(self, latitude: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return q, dq/dφ, and the radii (m) of the meridian and of the parallel.

        q is 2/a² times the area per radian of longitude from the equator to the latitude: Snyder,
        Map Projections: A Working Manual (USGS PP 1395, 1987), eq. 3-12, as a series in e². The
        radii: eq. 4-18 and 4-20.
        """
        sine, cosine = np.sin(latitude), np.cos(latitude)
        square = sine * sine
        q = np.full(len(latitude), self._series[-1])
        x = square
        for coefficient in self._series[-2::-1]:
            q *= x
            q += coefficient
        q *= sine
        w = 1.0 - self._e2 * square
        slope = (2.0 * (1.0 - self._e2)) * cosine / (w * w)
        normal = self._a / np.sqrt(w)
        return q, slope, normal * (1.0 - self._e2) / w, normal * cosine


def area_and_perimeter_m(geometries: Geometries, crs: pyproj.CRS | None) -> Sizes:
    """Return areas (m²) and perimeters (m, holes included) of polygons on the CRS's ellipsoid.

    Arrays are as long as ``geometries``; NaN where the CRS is unknown or coordinates fall outside
    of its domain. For many batches make one `Ruler`.
    """
    return Ruler(crs).sizes(PolygonArrays.of(geometries))


def _short_steps(polygons: PolygonArrays) -> tuple[PolygonArrays, Coordinates]:
    """Return polygons with long edges cut, and the steps between all coordinates.

    Steps go the short way round the world.
    """
    step = _steps(polygons.coordinates)
    inside = polygons.steps() & np.isfinite(step).all(axis=1)
    way = np.abs(step[inside, 1]).sum()
    most = max(np.radians(LONGEST_STEP_DEG), way / MOST_STEPS)
    with np.errstate(invalid="ignore"):
        long = inside & (np.abs(step[:, 1]) > most)
    if not long.any():
        return polygons, step
    pieces = np.ones(len(polygons.coordinates), dtype=np.int64)
    pieces[:-1][long] = np.ceil(np.abs(step[long, 1]) / most).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(pieces)])
    share = shares(pieces)[:, None]
    onward = np.repeat(np.append(step, [[0.0, 0.0]], axis=0), pieces, axis=0)
    between = np.where(share > 0.0, onward * share, 0.0)  # what is not finite stays where it is
    cut = polygons.moved(np.repeat(polygons.coordinates, pieces, axis=0) + between)
    cut = cut.moved(cut.coordinates, starts[polygons.rings])
    return cut, _steps(cut.coordinates)


def _steps(radians: Coordinates) -> Coordinates:
    with np.errstate(invalid="ignore"):
        step = np.diff(radians, axis=0)
        far = np.abs(step[:, 0]) > np.pi
        step[far, 0] -= 2.0 * np.pi * np.rint(step[far, 0] / (2.0 * np.pi))
    return step
