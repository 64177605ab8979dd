"""One finished block: everything between four lines, and the lines above and left of it. No I/O.

Roads and rivers come in stretches from crossing to crossing, each a polygon of its own: a polygon
of the whole network would grow with the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from deepseg_qgis.demo_scene.colours import BANKS, pick
from deepseg_qgis.demo_scene.draft import BlockDraft
from deepseg_qgis.demo_scene.frame import Frame, Pose
from deepseg_qgis.demo_scene.houses import car, chimneys
from deepseg_qgis.demo_scene.lattice import OFFSET, Lattice, Line
from deepseg_qgis.demo_scene.layers import DETAIL, GROUND, Layer, Material, StyledPolygon
from deepseg_qgis.demo_scene.plan import draw
from deepseg_qgis.demo_scene.trees import place_trees
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries, as_geometries

BLOCKS = 2
"""Tells the seeds of blocks from those of vertical and horizontal lines."""

SHADOW_DIRECTION = np.array([0.87, 0.5])
"""The sun is in the west-northwest: the eye reads light from above left as height."""
TREE_SHADOW = 0.9
"""A tree's shadow reaches so many radii away."""
BANK_PX = 7.0


@dataclass(frozen=True)
class Block:
    """Layers by name, and the ground in the shadow of buildings and of trees."""

    layers: dict[str, Layer]
    building_shadows: Geometries
    tree_shadows: Geometries


def make_block(lattice: Lattice, seed: int, touching: bool, place: tuple[int, int]) -> Block:
    """Return the block in a column and a row of the lattice."""
    column, row = place
    rng = np.random.default_rng([seed, BLOCKS, column + OFFSET, row + OFFSET])
    draft = BlockDraft(Frame(lattice, column, row), rng, touching)
    _draw_lines(draft, lattice, column, row)
    draw(draft, column, row)
    roads = Layer.of("road", draft.roads)
    waters = Layer.of("water", draft.waters)
    fields = Layer.of("field", draft.fields)
    buildings = _unobstructed_buildings(draft, np.concatenate([waters.polygons, fields.polygons]))
    others = [layer.polygons for layer in (waters, fields, buildings)]
    draft.details += chimneys(rng, buildings)
    trees = place_trees(draft, np.concatenate(others))
    layers = {
        "road": roads,
        "water": waters,
        "field": fields,
        "building": buildings,
        "tree": trees,
        GROUND: Layer.of(GROUND, draft.ground),
        DETAIL: Layer.of(DETAIL, draft.details),
    }
    return Block(layers, _building_shadows(buildings), _tree_shadows(trees))


def _draw_lines(draft: BlockDraft, lattice: Lattice, column: int, row: int) -> None:
    """Draw the stretches left of the block and above it."""
    left, above = lattice.vertical(column), lattice.horizontal(row)
    draft.roads.append(_stretch(left, lattice.vertical_stretch(column, row)))
    _cars(draft, left, lattice.crossing(column, row)[1], lattice.crossing(column, row + 1)[1])
    stretch = _stretch(above, lattice.horizontal_stretch(column, row))
    if above.river:
        draft.waters.append(stretch)
        bank = lattice.horizontal_stretch(column, row, BANK_PX)
        material = Material(pick(draft.rng, BANKS), 0.08, 0.12)
        draft.ground.append(StyledPolygon(bank, material, (0.75,)))
    else:
        draft.roads.append(stretch)
        _cars(draft, above, lattice.crossing(column, row)[0], lattice.crossing(column + 1, row)[0])


def _stretch(line: Line, polygon: shapely.Polygon) -> StyledPolygon:
    grain, clumps = (0.02, 0.01) if line.river else (0.035, 0.02)
    material = Material(line.colour, grain, clumps, patches=0.06)
    return StyledPolygon(polygon, material, (line.key,))


def _cars(draft: BlockDraft, line: Line, start: float, end: float) -> None:
    """Draw some cars on a road between two crossings, on the right-hand side."""
    rng = draft.rng
    for along in rng.uniform(start + 30.0, end - 30.0, rng.poisson(1.3 if line.paved else 0.3)):
        way = rng.choice([-1.0, 1.0])
        direction = np.array([1.0, float(line.slope(along))]) * way
        direction /= np.hypot(*direction)
        right = np.array([-direction[1], direction[0]]) * (-1.0 if line.vertical else 1.0)
        centre = np.array([along, float(line.at(along))]) + right * line.half_width * 0.42
        if line.vertical:
            direction, centre, right = direction[::-1], centre[::-1], right[::-1]
        car(draft, Pose(centre, direction, right))


def _unobstructed_buildings(draft: BlockDraft, obstacles: Geometries) -> Layer:
    """Return the buildings of all units that lie clear of everything else."""
    unions = [shapely.union_all([part.polygon for part in unit]) for unit in draft.buildings]
    units = shapely.buffer(as_geometries(unions), 2.0, quad_segs=1)
    free = np.ones(len(units), dtype=bool)
    free[np.unique(shapely.STRtree(units).query(obstacles, predicate="intersects")[1])] = False
    first, second = shapely.STRtree(units).query(units, predicate="intersects")
    for i, j in zip(first, second, strict=True):
        if i < j and free[i]:
            free[j] = False
    kept = [part for unit, good in zip(draft.buildings, free, strict=True) if good for part in unit]
    return Layer.of("building", kept)


def _building_shadows(buildings: Layer) -> Geometries:
    """Return the ground that each wing of each building shades."""
    wings = buildings.parameters[:, :14].reshape(-1, 7)
    centre, ridge, length, width = wings[:, :2], wings[:, 2:4], wings[:, 4:5], wings[:, 5:6]
    normal = np.column_stack([-ridge[:, 1], ridge[:, 0]])
    corners = [centre + a * length * ridge + b * width * normal for a in (-1, 1) for b in (-1, 1)]
    away = np.repeat(buildings.parameters[:, 15], 2)[:, None] * SHADOW_DIRECTION
    return _shadows(np.stack(corners, axis=1), away)


def _tree_shadows(trees: Layer) -> Geometries:
    rings = shapely.get_coordinates(trees.polygons).reshape(len(trees), -1, 2)
    return _shadows(rings, trees.parameters[:, 2:] * TREE_SHADOW * SHADOW_DIRECTION)


def _shadows(points: np.ndarray, away: np.ndarray) -> Geometries:
    """Return the hulls of points (n, m, 2) and the same points moved away (n, 2)."""
    if len(points) == 0:
        return np.empty(0, dtype=object)
    both = np.concatenate([points, points + away[:, None]], axis=1)
    count = both.shape[1]
    owners = np.repeat(np.arange(len(both)), count)
    clouds = shapely.multipoints(shapely.points(both.reshape(-1, 2)), indices=owners)
    return np.asarray(shapely.convex_hull(clouds), dtype=object)
