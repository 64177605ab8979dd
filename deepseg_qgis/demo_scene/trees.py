"""Trees, kept clear of each other and of everything else. No I/O."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.demo_scene.colours import CROWNS, pick
from deepseg_qgis.demo_scene.draft import BlockDraft
from deepseg_qgis.demo_scene.layers import Layer, Material, StyledPolygon
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries

SMALLEST_RADIUS_PX = 8.0
CLEARANCE_PX = 1.0
VERTICES = 20


def place_trees(draft: BlockDraft, obstacles: Geometries) -> Layer:
    """Return the trees that find a place: inside the block, and clear of the obstacles.

    A tree that is planted too near to an obstacle or an earlier tree becomes smaller, as trees do,
    but not smaller than 16 px across.
    """
    planted = np.array(draft.planted, dtype=np.float64).reshape(-1, 3)
    points = shapely.points(planted[:, :2])
    inside = shapely.contains_properly(draft.frame.interior, points)
    planted, points = planted[inside], points[inside]
    radius = np.minimum(planted[:, 2], _free_radius(points, obstacles, draft.frame.interior))
    placed = _without_overlaps(planted[:, :2], radius)
    rings = _rings(draft.rng, placed)
    trees = [
        StyledPolygon(polygon, Material(pick(draft.rng, CROWNS, 7.0), 0.08, 0.16), tuple(tree))
        for polygon, tree in zip(shapely.polygons(rings), placed, strict=True)
    ]
    return Layer.of("tree", trees)


def _free_radius(
    points: Geometries, obstacles: Geometries, interior: shapely.Polygon
) -> NDArray[np.float64]:
    """Return how large each tree may be (px): the distance to what is nearest."""
    room = shapely.distance(points, interior.exterior)
    if len(points) and len(obstacles):
        (owners, _), distances = shapely.STRtree(obstacles).query_nearest(
            points, return_distance=True
        )
        np.minimum.at(room, owners, distances)
    return np.asarray(room - CLEARANCE_PX, dtype=np.float64)


def _without_overlaps(
    places: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the trees (x, y, radius) that stand clear of those before them."""
    placed = np.empty((len(places), 3))
    count = 0
    for place, reach in zip(places, radius, strict=True):
        before = placed[:count]
        if count:
            gaps = np.hypot(*(before[:, :2] - place).T) - before[:, 2]
            reach = min(reach, float(gaps.min()))
        if reach >= SMALLEST_RADIUS_PX:
            placed[count] = *place, reach
            count += 1
    return placed[:count]


def _rings(rng: np.random.Generator, trees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return wobbly outlines inside the trees' circles, shape (trees, vertices, 2)."""
    angles = np.linspace(0.0, 2.0 * np.pi, VERTICES, endpoint=False)
    wobble = rng.uniform(0.0, 2.0 * np.pi, (len(trees), 2, 1))
    share = (
        0.91 + 0.05 * np.sin(3 * angles + wobble[:, 0]) + 0.04 * np.sin(5 * angles + wobble[:, 1])
    )
    reach = trees[:, 2, None] * share
    outline = np.stack([np.cos(angles) * reach, np.sin(angles) * reach], axis=-1)
    return np.asarray(trees[:, None, :2] + outline)
