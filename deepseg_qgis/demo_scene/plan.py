"""Which bands of land lie in which block, and how they are drawn. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deepseg_qgis.demo_scene.draft import BlockDraft
from deepseg_qgis.demo_scene.frame import Side
from deepseg_qgis.demo_scene.houses import Band, detached_houses, farm, terraced_houses
from deepseg_qgis.demo_scene.land import fields, green, pond, treeline, wood

OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
SHALLOWEST_PX = 26.0
"""What is left of a block is drawn as a meadow where it is no deeper."""

Draw = Callable[[BlockDraft, Side, Band], None]
REST = None
"""The depth of a band that takes a share of what the others leave."""


@dataclass(frozen=True)
class Plan:
    """Bands with their depths (px), counted from one side; then one counted from the other."""

    bands: tuple[tuple[Draw, float | None], ...]
    opposite: tuple[Draw, float] | None = None


EDGE = Plan(((detached_houses, 112.0), (fields, REST)))
HAMLET = Plan(((detached_houses, 122.0), (treeline, 32.0), (fields, REST)))
RIVERSIDE = Plan(((detached_houses, 122.0), (fields, REST), (wood, 84.0)))
VILLAGE = Plan(((detached_houses, 122.0), (fields, REST)), (detached_houses, 122.0))
TERRACES = Plan(((terraced_houses, 100.0), (green, 34.0), (terraced_houses, 100.0), (fields, REST)))
ROWS = Plan(
    ((terraced_houses, 100.0), (green, 34.0), (fields, REST), (treeline, 30.0)),
    (terraced_houses, 100.0),
)
PARK = Plan(((detached_houses, 118.0), (pond, REST), (wood, REST)))
ESTATE = Plan(((terraced_houses, 100.0), (pond, REST), (fields, REST)))
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


def draw(draft: BlockDraft, column: int, row: int) -> None:
    """Draw what lies in a block."""
    plan, name = FIRST.get((column, row)) or _any(draft)
    side = Side(draft.frame, name)
    depth = side.depth
    if plan.opposite and OPPOSITE[name] not in draft.frame.sides_on_water:
        draw_opposite, reach = plan.opposite
        depth -= reach
        draw_opposite(draft, Side(draft.frame, OPPOSITE[name]), (0.0, reach))
    fixed = sum(taken for _, taken in plan.bands if taken is not None)
    rest = max(0.0, depth - fixed) / sum(taken is None for _, taken in plan.bands)
    near = 0.0
    for draw_band, taken in plan.bands:
        far = near + (rest if taken is None else taken)
        if far <= depth + 1e-6:
            shallow = far - near < SHALLOWEST_PX
            (green if shallow else draw_band)(draft, side, (near, far))
        near = far


def _any(draft: BlockDraft) -> tuple[Plan, str]:
    plans, weights = zip(*ANYWHERE, strict=True)
    plan: Plan = plans[draft.rng.choice(len(plans), p=np.array(weights))]
    names = [name for name in OPPOSITE if name not in draft.frame.sides_on_water]
    return plan, str(draft.rng.choice(names))
