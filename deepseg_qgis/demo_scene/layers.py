"""What lies in a block: polygons with their materials, in layers from the ground up. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.demo_scene.colours import Colour
from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries, as_geometries
from deepseg_qgis.engine.geometry.tiling import Window

CATEGORIES = ("building", "tree", "road", "water", "field")
"""The layers that are annotated. Their polygons share no ground."""
GROUND, DETAIL = "ground", "detail"
"""What is drawn below the categories (lawns, yards, banks) and above them (cars, chimneys)."""

PARAMETER_COUNTS = {
    "building": 16,  # two `Roof` rows, how strongly light and shade differ, height in px
    "tree": 3,  # x, y, radius
    "road": 1,  # key of its line
    "water": 1,  # key of its line, NaN for a pond
    "field": 4,  # direction (x, y) across the rows, distance of rows in px, how strongly they show
    GROUND: 1,  # opacity from 0 to 1
    DETAIL: 0,
}
"""How many numbers tell how a polygon is shaded, and what they are."""


@dataclass(frozen=True)
class Material:
    """A colour, and how strongly three sizes of texture (about 1, 5 and 30 px) show on it."""

    colour: Colour
    grain: float
    clumps: float = 0.0
    patches: float = 0.0

    def row(self) -> NDArray[np.float32]:
        """Return it as numbers, shape (6,)."""
        return np.array([*self.colour, self.grain, self.clumps, self.patches], dtype=np.float32)


@dataclass(frozen=True)
class StyledPolygon:
    """A polygon, what it is made of, and the numbers of `PARAMETER_COUNTS`."""

    polygon: shapely.Polygon
    material: Material
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True)
class Layer:
    """Polygons with their materials (n, 6; float32) and parameters (n, k; float64)."""

    polygons: Geometries
    materials: NDArray[np.float32]
    parameters: NDArray[np.float64]

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Layer:
        return Layer(self.polygons[chosen], self.materials[chosen], self.parameters[chosen])

    def __len__(self) -> int:
        return len(self.polygons)

    def near(self, window: Window) -> Layer:
        """Return those whose bounds touch a window."""
        return self[touching_bounds(self.polygons, window)]

    def clipped(self, window: Window) -> Layer:
        """Return what lies inside a window, each part a polygon of its own."""
        parts, owners = clipped(self.polygons, window)
        return Layer(parts, self.materials[owners], self.parameters[owners])

    @staticmethod
    def joined(layers: Sequence[Layer]) -> Layer:
        """Return several layers of a kind as one."""
        return Layer(
            np.concatenate([layer.polygons for layer in layers]),
            np.concatenate([layer.materials for layer in layers]),
            np.concatenate([layer.parameters for layer in layers]),
        )

    @staticmethod
    def of(category: str, styled: Sequence[StyledPolygon]) -> Layer:
        """Return the polygons of a category as a layer."""
        count = len(styled)
        materials = np.array([each.material.row() for each in styled], dtype=np.float32)
        parameters = np.array([each.parameters for each in styled], dtype=np.float64)
        return Layer(
            as_geometries([each.polygon for each in styled]),
            materials.reshape(count, 6),
            parameters.reshape(count, PARAMETER_COUNTS[category]),
        )


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
    xmin, ymin, xmax, ymax = shapely.bounds(geometries).reshape(-1, 4).T
    outside = (xmin < window.column) | (xmax > window.column_end)
    outside |= (ymin < window.row) | (ymax > window.row_end)
    result = geometries.copy()
    result[outside] = shapely.intersection(geometries[outside], box(window))
    parts, owners = shapely.get_parts(result, return_index=True)
    kept = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & (shapely.area(parts) > 0)
    return parts[kept], owners[kept]
