"""Polygons around the poles of a projection, where the longitude is any number. No I/O."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.densification import project_densified
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, PolygonArrays
from deepseg_qgis.engine.geometry.projections import Project
from deepseg_qgis.engine.geometry.world import World

NEAR = 1e-6
"""What is nearer to a pole lies on it, in source coordinates: pixels, or units of a CRS."""
FARTHEST = 1e12
"""Projections put the pole that they do not show at 1e23 m or so."""

Enclosed = NDArray[np.int8]
"""Shape (r,): the pole within each ring of projected polygons: -1 (south), 1 (north), 0 if none."""


class Poles:
    """The poles that lie in a projection's source coordinates as points.

    ``project`` goes to longitude and latitude, ``back`` from there; ``world`` is of the former.
    """

    def __init__(self, project: Project, back: Project, world: World) -> None:
        self.world = world
        self._places: dict[int, Coordinates] = {}
        for sign, latitude in ((-1, world.south), (1, world.north)):
            with np.errstate(invalid="ignore", over="ignore"):
                places = back(np.array([[0.0, latitude], [world.period / 4.0, latitude]]))
            if not (np.abs(places) < FARTHEST).all() or np.ptp(places, axis=0).max() > NEAR:
                continue
            if abs(project(places[:1])[0, 1] - latitude) <= world.near:
                self._places[sign] = places[0]

    def around(self, polygons: PolygonArrays) -> bool:
        """Return whether a pole lies within the bounds of all polygons together."""
        if not self._places or len(polygons.coordinates) == 0:
            return False
        low, high = polygons.coordinates.min(axis=0), polygons.coordinates.max(axis=0)
        return any(
            bool(((low - NEAR <= place) & (place <= high + NEAR)).all())
            for place in self._places.values()
        )

    def inserted(self, polygons: PolygonArrays) -> PolygonArrays:
        """Return the polygons with a vertex where an edge runs through a pole."""
        for place in self._places.values():
            polygons = _with_vertex(polygons, place)
        return polygons

    def enclosed(self, polygons: PolygonArrays) -> NDArray[np.int8]:
        """Return for each ring the pole inside: -1 (south), 1 (north), 0 where it holds none."""
        starts = polygons.rings[:-1]
        low = np.minimum.reduceat(polygons.coordinates, starts)
        high = np.maximum.reduceat(polygons.coordinates, starts)
        result = np.zeros(len(starts), dtype=np.int8)
        for sign, place in self._places.items():
            for i in np.flatnonzero(((low < place) & (place < high)).all(axis=1)):
                ring = polygons.coordinates[polygons.rings[i] : polygons.rings[i + 1]]
                if shapely.contains_xy(shapely.Polygon(ring), *place):
                    result[i] = sign
        return result


def projected_with_poles(
    polygons: PolygonArrays,
    project: Project,
    tolerance: float,
    poles: Poles,
    *,
    on_ground: bool = True,
) -> tuple[PolygonArrays, Enclosed | None]:
    """Return polygons in longitude and latitude, and the pole that each ring holds.

    Edges are on their course (see `project_densified`), and jump at ±180°. A vertex on a pole
    becomes two, on the meridians of its neighbours. The second is None where no pole is near.
    """
    if not poles.around(polygons):
        return project_densified(polygons, project, tolerance, poles.world, on_ground), None
    polygons = poles.inserted(polygons)
    course = project_densified(polygons, project, tolerance, poles.world, on_ground)
    return _on_meridians(course, poles.enclosed(polygons), poles.world)


def _with_vertex(polygons: PolygonArrays, place: Coordinates) -> PolygonArrays:
    xy = polygons.coordinates.copy()
    on_vertex = np.hypot(*(xy - place).T) < NEAR
    xy[on_vertex] = place
    step = np.diff(xy, axis=0)
    length = np.maximum(np.square(step).sum(axis=1), NEAR * NEAR)
    share = np.clip(((place - xy[:-1]) * step).sum(axis=1) / length, 0.0, 1.0)
    beside = np.hypot(*(xy[:-1] + share[:, None] * step - place).T)
    through = polygons.steps() & (beside < NEAR) & ~on_vertex[:-1] & ~on_vertex[1:]
    after = np.flatnonzero(through)
    rings = polygons.rings + np.searchsorted(after, polygons.rings)
    return polygons.moved(np.insert(xy, after + 1, place, axis=0), rings)


def _on_meridians(
    polygons: PolygonArrays, enclosed: Enclosed, world: World
) -> tuple[PolygonArrays, Enclosed]:
    at_pole = world.at_pole(polygons.coordinates[:, 1])
    if not at_pole.any():
        return polygons, enclosed
    rings = np.split(polygons.coordinates, polygons.rings[1:-1])
    starts = polygons.rings[:-1]
    for i in np.flatnonzero(np.logical_or.reduceat(at_pole, starts)):
        visits = rings[i][world.at_pole(rings[i][:, 1])]
        if len(visits) < len(rings[i]):
            enclosed[i] = 1 if visits[0, 1] > (world.south + world.north) / 2.0 else -1
            rings[i] = _ring_on_meridians(rings[i], world)
    offsets = np.concatenate([[0], np.cumsum([len(ring) for ring in rings])])
    return polygons.moved(np.concatenate(rings), offsets), enclosed


def _ring_on_meridians(ring: Coordinates, world: World) -> Coordinates:
    """Return a ring with two vertices for each on a pole; it begins elsewhere."""
    turned = np.roll(ring[:-1], -int(np.argmin(world.at_pole(ring[:, 1]))), axis=0)
    at_pole = world.at_pole(turned[:, 1])
    number = np.arange(len(turned))
    before = np.maximum.accumulate(np.where(at_pole, 0, number))
    after = np.minimum.accumulate(np.where(at_pole, len(turned), number)[::-1])[::-1]
    x = turned[:, 0]
    doubled = np.repeat(turned, np.where(at_pole, 2, 1), axis=0)
    first = np.cumsum(np.where(at_pole, 2, 1))[at_pole] - 2
    doubled[first, 0] = x[before[at_pole]]
    doubled[first + 1, 0] = np.append(x, x[0])[after[at_pole]]
    return np.concatenate([doubled, doubled[:1]])
