"""Which bands of land lie in which block, and how they are drawn. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deepseg_qgis.demo_scene.frame import Side
from deepseg_qgis.demo_scene.homes import Band, farm, homes, terrace
from deepseg_qgis.demo_scene.land import fields, green, pond, treeline, wood
from deepseg_qgis.demo_scene.sketch import Sketch

OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
SHALLOWEST_PX = 26.0
"""What is left of a block is drawn as a meadow where it is no deeper."""

Draw = Callable[[Sketch, Side, Band], None]
REST = None
"""The depth of a band that takes a share of what the others leave."""


@dataclass(frozen=True)
class Plan:
    """Bands with their depths (px), counted from one side; then one counted from the other."""

    bands: tuple[tuple[Draw, float | None], ...]
    opposite: tuple[Draw, float] | None = None


EDGE = Plan(((homes, 112.0), (fields, REST)))
HAMLET = Plan(((homes, 122.0), (treeline, 32.0), (fields, REST)))
RIVERSIDE = Plan(((homes, 122.0), (fields, REST), (wood, 84.0)))
VILLAGE = Plan(((homes, 122.0), (fields, REST)), (homes, 122.0))
TERRACES = Plan(((terrace, 100.0), (green, 34.0), (terrace, 100.0), (fields, REST)))
ROWS = Plan(((terrace, 100.0), (green, 34.0), (fields, REST), (treeline, 30.0)), (terrace, 100.0))
PARK = Plan(((homes, 118.0), (pond, REST), (wood, REST)))
ESTATE = Plan(((terrace, 100.0), (pond, REST), (fields, REST)))
COUNTRY = Plan(((fields, REST), (farm, 132.0), (treeline, 30.0), (fields, REST)))

FIRST: dict[tuple[int, int], tuple[Plan, str]] = {
    (0, -1): (EDGE, "left"),
    (0, 0): (ROWS, "left"),
    (1, 0): (RIVERSIDE, "bottom"),
    (0, 1): (PARK, "top"),
    (1, 1): (VILLAGE, "top"),
}
"""The blocks (column, row) of a small scene, so that it has a bit of everything."""

ANYWHERE = (
    (HAMLET, 0.16),
    (RIVERSIDE, 0.1),
    (VILLAGE, 0.15),
    (TERRACES, 0.14),
    (PARK, 0.22),
    (ESTATE, 0.11),
    (COUNTRY, 0.12),
)
"""The plans of all other blocks, and how often each is taken."""


def draw(sketch: Sketch, column: int, row: int) -> None:
    """Draw what lies in a block."""
    plan, name = FIRST.get((column, row)) or _any(sketch)
    side = Side(sketch.frame, name)
    depth = side.depth
    if plan.opposite and OPPOSITE[name] not in sketch.frame.sides_on_water:
        draw_opposite, reach = plan.opposite
        depth -= reach
        draw_opposite(sketch, Side(sketch.frame, OPPOSITE[name]), (0.0, reach))
    fixed = sum(taken for _, taken in plan.bands if taken is not None)
    rest = max(0.0, depth - fixed) / sum(taken is None for _, taken in plan.bands)
    near = 0.0
    for draw_band, taken in plan.bands:
        far = near + (rest if taken is None else taken)
        if far <= depth + 1e-6:
            shallow = far - near < SHALLOWEST_PX
            (green if shallow else draw_band)(sketch, side, (near, far))
        near = far


def _any(sketch: Sketch) -> tuple[Plan, str]:
    plans, weights = zip(*ANYWHERE, strict=True)
    plan: Plan = plans[sketch.rng.choice(len(plans), p=np.array(weights))]
    names = [name for name in OPPOSITE if name not in sketch.frame.sides_on_water]
    return plan, str(sketch.rng.choice(names))
