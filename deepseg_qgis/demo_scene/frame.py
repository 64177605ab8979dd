"""Places inside a block: its usable ground, and positions counted from one of its sides. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.demo_scene.lattice import Lattice

VERGE_PX = 7.0
"""The strip of grass between a road and what lies in a block."""
NODES = 17
"""The frame is a bent grid of so many nodes a side, straight between them."""

Points = NDArray[np.float64]
"""An array of shape (..., 2): x and y."""


class Frame:
    """The usable ground of a block: a bent rectangle, its corners (0, 0) to (1, 1)."""

    def __init__(self, lattice: Lattice, column: int, row: int) -> None:
        self.sides_on_water = {
            name
            for name, number in (("top", row), ("bottom", row + 1))
            if lattice.horizontal(number).river
        }
        self._nodes = _nodes(lattice, column, row)
        edges = self._nodes[:-1, 0], self._nodes[-1, :-1], self._nodes[:0:-1, -1]
        ring = np.concatenate([*edges, self._nodes[0, :0:-1]])
        self.interior: shapely.Polygon = shapely.polygons(ring)
        middle = NODES // 2
        self.width = float(np.hypot(*(self._nodes[middle, -1] - self._nodes[middle, 0])))
        self.height = float(np.hypot(*(self._nodes[-1, middle] - self._nodes[0, middle])))

    def at(self, uv: Points) -> Points:
        """Return x and y of places from (0, 0) to (1, 1), or a little beyond; same shape."""
        place = uv * (NODES - 1)
        node = np.clip(place.astype(np.int64), 0, NODES - 2)
        i, j = node[..., 1], node[..., 0]
        s, t = (place - node)[..., 0, None], (place - node)[..., 1, None]
        upper = self._nodes[i, j] * (1.0 - s) + self._nodes[i, j + 1] * s
        lower = self._nodes[i + 1, j] * (1.0 - s) + self._nodes[i + 1, j + 1] * s
        return np.asarray(upper * (1.0 - t) + lower * t)


@dataclass(frozen=True)
class Side:
    """A block seen from one of its sides: ``along`` it and ``inward`` from it, both in px."""

    frame: Frame
    name: str

    @property
    def length(self) -> float:
        """How long the side is."""
        return self.frame.width if self.name in ("top", "bottom") else self.frame.height

    @property
    def depth(self) -> float:
        """How far it is to the other side."""
        return self.frame.height if self.name in ("top", "bottom") else self.frame.width

    def at(self, along: Points | float, inward: Points | float) -> Points:
        """Return x and y, shape (..., 2)."""
        a, b = np.broadcast_arrays(np.asarray(along) / self.length, np.asarray(inward) / self.depth)
        if self.name in ("bottom", "right"):
            b = 1.0 - b
        u, v = (a, b) if self.name in ("top", "bottom") else (b, a)
        return self.frame.at(np.stack([u, v], axis=-1))

    def patch(self, along: tuple[float, float], inward: tuple[float, float]) -> Points:
        """Return the ring of a bent rectangle, shape (n, 2), a vertex every 32 px or so."""
        corners = np.array([(along[i], inward[j]) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))])
        return self.quadrilateral(corners)

    def quadrilateral(self, corners: Points) -> Points:
        """Return the ring of a bent quadrilateral with these corners, shape (4, 2)."""
        pieces = []
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            count = max(1, int(np.hypot(*(end - start)) // 32))
            share = np.arange(count)[:, None] / count
            pieces.append(start * (1.0 - share) + end * share)
        places = np.concatenate(pieces)
        return self.at(places[:, 0], places[:, 1])

    def pose(self, along: float, inward: float, turn: float = 0.0) -> Pose:
        """Return a place with the directions along the side and inward, turned by radians."""
        places = self.at(np.array([along, along - 4.0, along + 4.0]), np.full(3, inward))
        direction = (places[2] - places[1]) / np.hypot(*(places[2] - places[1]))
        ahead = self.at(along, inward + 4.0) - places[0]
        turned = direction @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        normal = np.array([-turned[1], turned[0]])
        return Pose(places[0], turned, normal if normal @ ahead >= 0.0 else -normal)


@dataclass(frozen=True)
class Pose:
    """A place with two directions at right angles; each an array of shape (2,)."""

    centre: Points
    across: Points
    ahead: Points

    def at(self, local: Points) -> Points:
        """Return x and y of places counted along the two directions; shape (..., 2)."""
        return np.asarray(self.centre + local[..., :1] * self.across + local[..., 1:] * self.ahead)

    def rectangle(self, left: float, right: float, near: float, far: float) -> Points:
        """Return the ring of a rectangle, shape (4, 2)."""
        return self.at(np.array([(left, near), (right, near), (right, far), (left, far)]))


def _nodes(lattice: Lattice, column: int, row: int) -> Points:
    """Return the frame's nodes, shape (rows, columns, 2).

    Each lies at its share of the way between the left and right line and between the upper and
    lower one. Both depend on the place itself, so it is found by repetition; lines are so straight
    that four rounds suffice.
    """
    left, right = lattice.vertical(column), lattice.vertical(column + 1)
    top, bottom = lattice.horizontal(row), lattice.horizontal(row + 1)
    v, u = np.meshgrid(np.linspace(0, 1, NODES), np.linspace(0, 1, NODES), indexing="ij")
    x = left.middle + u * (right.middle - left.middle)
    y = top.middle + v * (bottom.middle - top.middle)
    for _ in range(4):
        west = left.at(y) + left.reach(y, VERGE_PX)
        east = right.at(y) - right.reach(y, VERGE_PX)
        north = top.at(x) + top.reach(x, VERGE_PX)
        south = bottom.at(x) - bottom.reach(x, VERGE_PX)
        x, y = west + u * (east - west), north + v * (south - north)
    return np.stack([x, y], axis=-1)
