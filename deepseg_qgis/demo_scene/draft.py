"""A block while it is being planned. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely

from deepseg_qgis.demo_scene.frame import Frame, Points
from deepseg_qgis.demo_scene.layers import Material, StyledPolygon


@dataclass
class BlockDraft:
    """A block while it is being planned.

    ``buildings`` holds units (a house, or a row of houses that share walls): a unit that does not
    fit is left out whole. ``planted`` are trees (x, y, radius in px), of which the earlier stand
    in the way of the later.
    """

    frame: Frame
    rng: np.random.Generator
    touching: bool
    ground: list[StyledPolygon] = field(default_factory=list)
    roads: list[StyledPolygon] = field(default_factory=list)
    waters: list[StyledPolygon] = field(default_factory=list)
    fields: list[StyledPolygon] = field(default_factory=list)
    buildings: list[list[StyledPolygon]] = field(default_factory=list)
    details: list[StyledPolygon] = field(default_factory=list)
    planted: list[tuple[float, float, float]] = field(default_factory=list)

    def cover_ground(self, ring: Points, material: Material, opacity: float = 1.0) -> None:
        """Lay a lawn, a yard or the like; ``ring`` has shape (n, 2)."""
        self.ground.append(StyledPolygon(shapely.polygons(ring), material, (opacity,)))

    def build(self, unit: list[StyledPolygon]) -> bool:
        """Build a unit if it lies inside the block; return whether it does."""
        inside = all(self.frame.interior.contains_properly(part.polygon) for part in unit)
        if inside:
            self.buildings.append(unit)
        return inside

    def plant(self, place: Points, radius: float) -> None:
        """Plant a tree at x and y, which grows as far as there is room."""
        self.planted.append((float(place[0]), float(place[1]), radius))
