"""What lies in a block: polygons with their looks, in layers from the ground up. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.demo_scene.colours import Colour
from deepseg_qgis.demo_scene.frame import Frame, Points
from deepseg_qgis.engine.geometry.projections import Geometries
from deepseg_qgis.engine.geometry.tiling import Window

CATEGORIES = ("building", "tree", "road", "water", "field")
"""The layers that are annotated. Their polygons share no ground."""
GROUND, DETAIL = "ground", "detail"
"""What is drawn below the categories (lawns, yards, banks) and above them (cars, chimneys)."""

SHAPE_SIZES = {
    "building": 16,  # two `Roof` rows, how strongly light and shade differ, height in px
    "tree": 3,  # x, y, radius
    "road": 1,  # key of its line
    "water": 1,  # key of its line, NaN for a pond
    "field": 4,  # direction (x, y) across the rows, distance of rows in px, how strongly they show
    GROUND: 1,  # opacity from 0 to 1
    DETAIL: 0,
}
"""How many numbers describe a polygon's inner shape, and what they are."""


@dataclass(frozen=True)
class Look:
    """A colour, and how strongly three sizes of texture (about 1, 5 and 30 px) show on it."""

    colour: Colour
    grain: float
    clumps: float = 0.0
    patches: float = 0.0

    def row(self) -> NDArray[np.float32]:
        """Return it as numbers, shape (6,)."""
        return np.array([*self.colour, self.grain, self.clumps, self.patches], dtype=np.float32)


@dataclass(frozen=True)
class Layer:
    """Polygons with their looks (n, 6; float32) and inner shapes (n, k; float64)."""

    polygons: Geometries
    looks: NDArray[np.float32]
    shapes: NDArray[np.float64]

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Layer:
        return Layer(self.polygons[chosen], self.looks[chosen], self.shapes[chosen])

    def __len__(self) -> int:
        return len(self.polygons)

    def near(self, window: Window) -> Layer:
        """Return those whose bounds touch a window."""
        return self[touching_bounds(self.polygons, window)]

    def clipped(self, window: Window) -> Layer:
        """Return what lies inside a window, each part a polygon of its own."""
        parts, owners = clipped(self.polygons, window)
        return Layer(parts, self.looks[owners], self.shapes[owners])

    @staticmethod
    def joined(layers: Sequence[Layer]) -> Layer:
        """Return several layers of a kind as one."""
        return Layer(
            np.concatenate([layer.polygons for layer in layers]),
            np.concatenate([layer.looks for layer in layers]),
            np.concatenate([layer.shapes for layer in layers]),
        )

    @staticmethod
    def of(kind: str, things: Sequence[Thing]) -> Layer:
        """Return things of a kind as a layer."""
        polygons = np.empty(len(things), dtype=object)
        polygons[:] = [thing.polygon for thing in things]
        looks = np.array([thing.look.row() for thing in things], dtype=np.float32)
        shapes = np.array([thing.shape for thing in things], dtype=np.float64)
        return Layer(polygons, looks.reshape(-1, 6), shapes.reshape(len(things), SHAPE_SIZES[kind]))


@dataclass(frozen=True)
class Thing:
    """One polygon with its look and inner shape."""

    polygon: shapely.Polygon
    look: Look
    shape: tuple[float, ...] = ()


@dataclass
class Sketch:
    """A block while it is being planned.

    ``buildings`` holds units (a house, or a row of houses that share walls): a unit that does not
    fit is left out whole. ``crowns`` are wishes (x, y, radius in px), the earlier the stronger.
    """

    frame: Frame
    rng: np.random.Generator
    touching: bool
    ground: list[Thing] = field(default_factory=list)
    roads: list[Thing] = field(default_factory=list)
    waters: list[Thing] = field(default_factory=list)
    fields: list[Thing] = field(default_factory=list)
    buildings: list[list[Thing]] = field(default_factory=list)
    details: list[Thing] = field(default_factory=list)
    crowns: list[tuple[float, float, float]] = field(default_factory=list)

    def cover(self, ring: Points, look: Look, opacity: float = 1.0) -> None:
        """Lay a lawn, a yard or the like; ``ring`` has shape (n, 2)."""
        self.ground.append(Thing(shapely.polygons(ring), look, (opacity,)))

    def build(self, unit: list[Thing]) -> bool:
        """Build a unit if it lies inside the block; return whether it does."""
        inside = all(self.frame.interior.contains_properly(thing.polygon) for thing in unit)
        if inside:
            self.buildings.append(unit)
        return inside

    def wish(self, place: Points, radius: float) -> None:
        """Wish for a tree at x and y."""
        self.crowns.append((float(place[0]), float(place[1]), radius))


def touching_bounds(geometries: Geometries, window: Window) -> NDArray[np.bool_]:
    """Return which geometries' bounds touch a window."""
    xmin, ymin, xmax, ymax = shapely.bounds(geometries).reshape(-1, 4).T
    result: NDArray[np.bool_] = (
        (xmax > window.column)
        & (xmin < window.column_end)
        & (ymax > window.row)
        & (ymin < window.row_end)
    )
    return result


def clipped(geometries: Geometries, window: Window) -> tuple[Geometries, NDArray[np.int64]]:
    """Return the polygons inside a window, and the index of the one that each is a part of."""
    box = shapely.box(window.column, window.row, window.column_end, window.row_end)
    xmin, ymin, xmax, ymax = shapely.bounds(geometries).reshape(-1, 4).T
    outside = (xmin < window.column) | (xmax > window.column_end)
    outside |= (ymin < window.row) | (ymax > window.row_end)
    result = geometries.copy()
    result[outside] = shapely.intersection(geometries[outside], box)
    parts, owners = shapely.get_parts(result, return_index=True)
    kept = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & (shapely.area(parts) > 0)
    return parts[kept], owners[kept]
