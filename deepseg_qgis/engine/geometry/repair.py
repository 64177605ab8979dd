"""Polygons as people draw them, made valid; and where those lie that cannot be. No I/O."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries

FARTHEST = 1e15
"""What lies beyond, in metres, degrees or pixels, is nowhere, and GEOS cuts it wrongly."""
PLAIN_VERTICES = 300
"""Polygons of so few vertices are repaired at once, however tangled."""
MOST_CROSSINGS = 100_000
"""Beyond, repairing takes many seconds and gigabytes: 2,000 random vertices cross 460,000 times."""
REPAIRS = 3
"""Crossings are rounded, which may make new ones: benchmarks/fuzz_coco.py met some."""
PAIRS_AT_ONCE = 1_000_000


def repair(
    geometries: Geometries,
) -> tuple[Geometries, NDArray[np.bool_], int]:
    """Return polygons made valid, which of them are usable, and how many were repaired.

    Parts that overlap are united, and a line that crosses itself keeps what it goes around; points
    and lines of a collection are dropped. Not usable: NULL, empty, without area, with coordinates
    that are not numbers or lie nowhere (`FARTHEST`), or such a tangle that repairing it would take
    minutes and gigabytes.
    """
    finite = _finite(geometries)
    result: Geometries = geometries.copy()
    result[~finite] = None
    mixed = finite & (shapely.get_type_id(result) == shapely.GeometryType.GEOMETRYCOLLECTION)
    result[mixed] = [_polygons(each) for each in result[mixed]]
    broken = finite & ~shapely.is_missing(result) & ~shapely.is_valid(result)
    for i in np.flatnonzero(broken):
        result[i] = _repaired(result[i])
    areas = shapely.area(result)
    usable = finite & (areas > 0.0) & np.isfinite(areas)
    return result, usable, int((broken & usable).sum())


def hulls(geometries: Geometries) -> Geometries:
    """Return the convex hulls of the polygons among geometries of any kind, one for each part.

    Vertices that are nowhere count for nothing, and so do hulls without area.
    """
    parts = shapely.get_parts(shapely.get_parts(geometries))
    xy, owners = shapely.get_coordinates(
        parts[shapely.get_dimensions(parts) == 2], return_index=True
    )
    there = (np.abs(xy) <= FARTHEST).all(axis=1)
    _, owners = np.unique(owners[there], return_inverse=True)
    found = shapely.convex_hull(shapely.multipoints(shapely.points(xy[there]), indices=owners))
    areal: Geometries = found[shapely.area(found) > 0.0]
    return areal


def _finite(geometries: Geometries) -> NDArray[np.bool_]:
    """Return which geometries have coordinates, all of them numbers of some place."""
    xy, owners = shapely.get_coordinates(geometries, return_index=True)
    finite = np.zeros(len(geometries), dtype=bool)
    finite[owners] = True
    finite[owners[~(np.abs(xy) <= FARTHEST).all(axis=1)]] = False
    return finite


def _repaired(geometry: shapely.Geometry) -> shapely.Geometry | None:
    """Return a valid polygon or multipolygon; None where there is none, or only at great cost."""
    if _is_tangled(geometry):
        parts = shapely.get_parts(geometry)
        if len(parts) == 1:
            return None
        _, different = np.unique(shapely.to_wkb(shapely.normalize(parts)), return_index=True)
        return united(
            np.array([_repaired(part) for part in parts[np.sort(different)]], dtype=object)
        )
    made = geometry
    try:
        for _ in range(REPAIRS):
            # GEOS's other method takes a hundred times as long, and leaves out where parts overlap
            made = _polygons(shapely.make_valid(made, method="structure", keep_collapsed=False))
            if made is None or made.is_valid:
                return made
    except shapely.errors.GEOSException:
        pass
    return None


def united(shapes: Geometries) -> shapely.Geometry | None:
    """Return the union of valid polygons; None if one of them is None, or only at great cost.

    Copies and near copies cross each other very often, but the union of two of them does no more
    than one: where all together are a tangle, they are united two by two.
    """
    if shapely.is_missing(shapes).any():
        return None
    if not _is_tangled(shapes):
        return shapely.union_all(shapes)
    while len(shapes) > 1:
        pairs = [shapes[first : first + 2] for first in range(0, len(shapes), 2)]
        if any(map(_is_tangled, pairs)):
            return None
        shapes = np.array([shapely.union_all(pair) for pair in pairs], dtype=object)
    return shapes[0]


def _is_tangled(shapes: shapely.Geometry | Geometries) -> bool:
    """Whether edges cross so often that to repair polygons would take minutes.

    Memory: about 300 bytes for each vertex.
    """
    if shapely.get_num_coordinates(shapes).sum() <= PLAIN_VERTICES:
        return False
    rings = shapely.get_rings(shapely.get_parts(shapes))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    within = ring[1:] == ring[:-1]
    edges = shapely.linestrings(np.stack([xy[:-1][within], xy[1:][within]], axis=1))
    tree = shapely.STRtree(edges)
    most = 2 * MOST_CROSSINGS + 3 * len(edges)  # every edge meets itself and its neighbours
    step = int(np.clip(PAIRS_AT_ONCE // len(edges), 2, 5000))
    pairs = 0
    for first in range(0, len(edges), step):
        pairs += len(tree.query(edges[first : first + step], predicate="intersects")[0])
        if pairs > most:
            return True
    return False


def _polygons(geometry: shapely.Geometry) -> shapely.Geometry | None:
    """Return the polygons among the parts of a geometry as one, whatever else is there.

    None where its parts overlap and cannot be united.
    """
    parts = np.atleast_1d(np.asarray(geometry, dtype=object))
    while len(parts) and (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)
    areal = parts[shapely.get_dimensions(parts) == 2]
    if len(areal) == 1:
        return areal[0]
    if geometry.geom_type == "GeometryCollection":  # its parts may overlap
        return united(np.array([_repaired(each) for each in areal], dtype=object))
    return shapely.MultiPolygon(list(areal))
