"""Polygons on a round world: the antimeridian, where longitudes jump, and the poles. No I/O.

A ring that comes from a projection may pass from 180° to -180°, run around a pole, or through one,
where the longitude is any number. Here it is laid out flat and cut at ±180° (RFC 7946, 3.1.9); what
holds a pole gets the edge along ±90° that a plane of longitude and latitude needs. All of it works
on the short way round, so no edge of a ring may be half a turn long.
"""

from __future__ import annotations

import numpy as np
import shapely

from deepseg_qgis.engine.geometry.densification import subdivided
from deepseg_qgis.engine.geometry.poles import NEAR, Enclosed, Poles, projected_with_poles
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates, Geometries, PolygonArrays
from deepseg_qgis.engine.geometry.projections import Project
from deepseg_qgis.engine.geometry.repair import repair, united
from deepseg_qgis.engine.geometry.world import AT_POLE, World

MOST_TURNS = 4
"""What lies farther around the world than this is nowhere: some coordinates reach out to 1e15."""


def cut_at_antimeridian(
    polygons: PolygonArrays, enclosed: Enclosed | None, world: World
) -> PolygonArrays:
    """Return polygons cut at ±180° and the poles, each part within them; most are as they were.

    Polygons and ``enclosed`` come from `poles.projected_with_poles`, or from a plane of longitude
    and latitude without edges of half a turn (`without_long_edges`). Those with coordinates that
    are not numbers are left alone.
    """
    half = world.period / 2.0
    xy = polygons.coordinates
    if len(xy) < 2:
        return polygons
    with np.errstate(invalid="ignore"):
        torn = np.append(polygons.steps() & (np.abs(np.diff(xy[:, 0])) > half), [False])
        torn |= (np.abs(xy[:, 0]) > half) | (xy[:, 1] < world.south) | (xy[:, 1] > world.north)
    if enclosed is not None:
        torn |= world.at_pole(xy[:, 1])
        torn[polygons.rings[:-1][enclosed != 0]] = True
    if not torn.any():
        return polygons
    starts = polygons.rings[
        polygons.parts if polygons.features is None else polygons.parts[polygons.features]
    ]
    finite = np.logical_and.reduceat(np.isfinite(xy).all(axis=1), starts[:-1])
    result = polygons.geometries()
    for i in np.unique(np.searchsorted(starts, np.flatnonzero(torn), side="right") - 1):
        if finite[i]:
            result[i] = _laid_out(polygons, i, enclosed, world)
    return PolygonArrays.of(result)


def project_and_cut(
    geometries: Geometries, project: Project, tolerance: float, poles: Poles
) -> Geometries:
    """Return geometries under ``project``, edges on their course, cut as by `cut_at_antimeridian`.

    ``tolerance`` is in target units.
    """
    arrays = PolygonArrays.of(geometries)
    course, enclosed = projected_with_poles(arrays, project, tolerance, poles, on_ground=False)
    return cut_at_antimeridian(course, enclosed, poles.world).geometries()


def turned_to(area: shapely.Geometry, world: World, west: float, east: float) -> shapely.Geometry:
    """Return an area wherever it lies between two x, which may be whole turns away from its own.

    ``area`` is a polygon or multipolygon in a plane of longitude and latitude.
    """
    half = world.period / 2.0
    low, _, high, _ = area.bounds
    if max(-low, high) > half + world.near:
        arrays = without_long_edges(PolygonArrays.of(np.array([area], dtype=object)), world)
        area = cut_at_antimeridian(arrays, None, world).geometries()[0]
    first = max(int(np.floor((west + half) / world.period + AT_POLE)), -MOST_TURNS)
    last = min(int(np.ceil((east + half) / world.period - AT_POLE)), MOST_TURNS)
    if first >= 0 and last <= 1:
        return area
    turns = [
        shapely.transform(area, lambda xy, shift=shift: xy + shift)
        for shift in np.arange(first, last)[:, None] * np.array([[world.period, 0.0]])
    ]
    return _areal(shapely.union_all(turns))


def without_long_edges(
    polygons: PolygonArrays, world: World, least_turn: float = 0.5
) -> PolygonArrays:
    """Return polygons in a plane of longitude and latitude, edges of half a turn cut into quarters.

    Else a reader who takes the short way round the world takes them for others. ``least_turn`` is
    the share of a turn from which edges are cut.
    """
    xy = polygons.coordinates
    with np.errstate(invalid="ignore"):
        wide = np.where(polygons.steps(), np.abs(np.diff(xy[:, 0])), 0.0) / world.period
    long = np.isfinite(wide) & (wide >= least_turn - AT_POLE)
    if not long.any():
        return polygons
    pieces = np.ones(len(xy), dtype=np.int64)
    pieces[:-1][long] = np.ceil(4.0 * wide[long]).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(pieces)])
    return polygons.moved(subdivided(xy, pieces), starts[polygons.rings])


def _laid_out(
    polygons: PolygonArrays, feature: int, enclosed: Enclosed | None, world: World
) -> shapely.Geometry:
    """Return one feature as flat polygons within ±180°."""
    members = polygons.features
    first, last = (
        (feature, feature + 1) if members is None else (members[feature], members[feature + 1])
    )
    parts = []
    for part in range(first, last):
        outer, *holes = (
            _inside(
                polygons.coordinates[polygons.rings[i] : polygons.rings[i + 1]],
                None if enclosed is None else int(enclosed[i]),
                world,
            )
            for i in range(polygons.parts[part], polygons.parts[part + 1])
        )
        parts.append(shapely.difference(outer, shapely.union_all(holes)) if holes else outer)
    return _areal(parts[0] if len(parts) == 1 else shapely.union_all(parts))


def _inside(ring: Coordinates, enclosed: int | None, world: World) -> shapely.Geometry:
    """Return what lies within a ring, as flat polygons within ±180°."""
    loops = [_wrapped(shapely.Polygon(loop), world) for loop in _loops(ring, enclosed, world)]
    return loops[0] if len(loops) == 1 else shapely.symmetric_difference_all(loops)


def _loops(ring: Coordinates, enclosed: int | None, world: World) -> list[Coordinates]:
    """Return a ring as flat loops: one, or as many as it visits a pole."""
    at_pole = world.at_pole(ring[:, 1])
    if enclosed is None or not at_pole.any():
        flat = _unrolled(ring, world)
        if np.rint((flat[-1, 0] - flat[0, 0]) / world.period) == 0.0:
            return [flat]
        pole = enclosed or _nearer(flat, world)
        return [_closed(_from_seam(flat, pole, world), pole, world)]
    first = int(np.argmax(at_pole))
    turned = np.roll(ring[:-1], -first, axis=0)
    visits = np.flatnonzero(world.at_pole(turned[:, 1]))
    loops = []
    for pole, way in zip(turned[visits], np.split(turned, visits)[1:], strict=True):
        if len(way) > 2:
            sign = -1 if pole[1] < (world.south + world.north) / 2.0 else 1
            loops.append(_closed(_unrolled(way[1:], world), sign, world))
    return loops or [ring]


def _unrolled(ring: Coordinates, world: World) -> Coordinates:
    """Return coordinates with x running on, without a jump."""
    turns = np.cumsum(np.rint(np.diff(ring[:, 0]) / world.period))
    flat: Coordinates = ring.copy()
    flat[1:, 0] -= world.period * turns
    return flat


def _from_seam(flat: Coordinates, pole: int, world: World) -> Coordinates:
    """Return a way around the world from ±180° to ±180°, to be closed along a pole.

    It begins where the ring crosses that meridian nearest to the pole: from there on it is free.
    """
    half, turn = world.period / 2.0, flat[-1, 0] - flat[0, 0]
    band = np.floor((flat[:, 0] - half) / world.period)
    crossing = np.flatnonzero(np.diff(band) != 0.0)
    seam = half + world.period * np.maximum(band[crossing], band[crossing + 1])
    step = flat[crossing + 1] - flat[crossing]
    y = flat[crossing, 1] + (seam - flat[crossing, 0]) / step[:, 0] * step[:, 1]
    nearest = int(np.argmax(pole * y))
    start = np.array([[seam[nearest], y[nearest]]])
    rest, before = flat[crossing[nearest] + 1 :], flat[1 : crossing[nearest] + 1]
    onward = np.array([turn, 0.0])
    return np.concatenate([start, rest, before + onward, start + onward])


def _closed(way: Coordinates, pole: int, world: World) -> Coordinates:
    """Return a way closed along a pole, in steps that are no more than a quarter of a turn."""
    y = world.south if pole < 0 else world.north
    steps = int(np.ceil(abs(way[-1, 0] - way[0, 0]) / (world.period / 4.0) - NEAR)) + 1
    x = np.linspace(way[-1, 0], way[0, 0], max(steps, 2))
    return np.concatenate([way, np.column_stack([x, np.full(len(x), y)]), way[:1]])


def _nearer(way: Coordinates, world: World) -> int:
    return -1 if way[:, 1].mean() < (world.south + world.north) / 2.0 else 1


def _wrapped(flat: shapely.Geometry, world: World) -> shapely.Geometry:
    """Return a flat polygon or multipolygon cut at ±180°, each piece moved to where it belongs."""
    half = world.period / 2.0

    def snapped(xy: Coordinates) -> Coordinates:
        seam = np.rint((xy[:, 0] - half) / world.period) * world.period + half
        on_seam = np.abs(xy[:, 0] - seam) < world.near
        return np.column_stack([np.where(on_seam, seam, xy[:, 0]), xy[:, 1]])

    whole = _valid(shapely.transform(flat, snapped))
    if whole.is_empty:
        return whole
    low, south, high, north = shapely.bounds(whole)
    first = max(int(np.floor((low + half) / world.period + AT_POLE)), -MOST_TURNS)
    last = min(int(np.ceil((high + half) / world.period - AT_POLE)), MOST_TURNS)
    if (first, last) == (0, 1) and south >= world.south and north <= world.north:
        return whole
    pieces = []
    for number in range(first, last):
        shift = number * world.period
        band = shapely.box(shift - half, world.south, shift + half, world.north)
        piece = _areal(shapely.intersection(whole, band))
        back = np.array([shift, 0.0])
        pieces.append(shapely.transform(piece, lambda xy, back=back: xy - back))
    whole = united(np.array(pieces, dtype=object)) if pieces else None
    return shapely.Polygon() if whole is None else _areal(whole)


def _valid(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return a valid polygon or multipolygon; an empty one of what is a tangle."""
    made, usable, _ = repair(np.array([geometry], dtype=object))
    return made[0] if usable[0] else shapely.Polygon()


def _areal(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return the polygons alone of what a cut left, which may be lines, points and nothing too."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    parts = shapely.get_parts(geometry)
    parts = parts[shapely.get_dimensions(parts) == 2]
    return shapely.union_all(parts) if len(parts) else shapely.Polygon()
