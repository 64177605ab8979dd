"""Bands without buildings: fields, ponds, woods and greens. No I/O.

A band is a strip of a block, given by the `Side` it is counted from and by where it starts and ends
inward from there (px).
"""

from __future__ import annotations

import numpy as np
import shapely

from deepseg_qgis.demo_scene.colours import BANKS, CROPS, FOREST_FLOOR, SOILS, WATERS, YARDS, pick
from deepseg_qgis.demo_scene.draft import BlockDraft
from deepseg_qgis.demo_scene.frame import Points, Side
from deepseg_qgis.demo_scene.houses import Band
from deepseg_qgis.demo_scene.layers import Material, StyledPolygon

BAULK_PX = 12.0
"""The strip of grass between two fields."""
HEDGE_PX = 34.0
"""The strip between two fields with trees on it."""


def fields(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw one to three fields beside each other, with grass between them."""
    rng = draft.rng
    near, far = band[0] + 4.0, band[1] - 4.0
    count = max(1, round(side.length / rng.uniform(150.0, 330.0)))
    cuts = np.linspace(5.0, side.length - 5.0, count + 1)
    near_cuts, far_cuts = cuts.copy(), cuts.copy()
    near_cuts[1:-1] += rng.uniform(-30.0, 30.0, count - 1)
    far_cuts[1:-1] += rng.uniform(-30.0, 30.0, count - 1)
    gaps = np.where(rng.random(count + 1) < 0.6, HEDGE_PX, BAULK_PX) / 2.0
    gaps[[0, -1]] = 0.0
    for i in range(count):
        corners = [(near_cuts[i] + gaps[i], near), (near_cuts[i + 1] - gaps[i + 1], near)]
        corners += [(far_cuts[i + 1] - gaps[i + 1], far), (far_cuts[i] + gaps[i], far)]
        _field(draft, side, np.array(corners))
    for i in range(1, count):
        if gaps[i] == HEDGE_PX / 2.0:
            _hedge(draft, side, np.array([(near_cuts[i], near), (far_cuts[i], far)]))


def pond(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw a pond with its bank and trees around it."""
    rng = draft.rng
    green(draft, side, band)
    depth = band[1] - band[0]
    if depth < 60.0:
        return
    reach = (min(0.34 * side.length, 150.0) * rng.uniform(0.8, 1.0), 0.40 * depth)
    middle = rng.uniform(0.4, 0.6) * side.length, (band[0] + band[1]) / 2.0
    outline = _blob(rng, 48)
    material = Material(pick(rng, WATERS), 0.02, 0.01, 0.06)
    bank = side.at(*((outline * (np.array(reach) + 6.0) + middle).T))
    draft.cover_ground(bank, Material(pick(rng, BANKS), 0.08, 0.12), 0.8)
    ring = side.at(*((outline * reach + middle).T))
    draft.waters.append(StyledPolygon(shapely.polygons(ring), material, (np.nan,)))
    for angle in rng.uniform(0.0, 2.0 * np.pi, 14):
        away = np.array([np.cos(angle), np.sin(angle)]) * (np.array(reach) * 1.02 + 14.0)
        draft.plant(side.at(*(away + middle)), rng.uniform(10.0, 17.0))


def wood(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw trees close to each other on a dark floor."""
    rng = draft.rng
    centre = np.array([side.length / 2.0, (band[0] + band[1]) / 2.0])
    reach = np.array([0.45 * side.length, 0.45 * (band[1] - band[0])])
    outline = _blob(rng, 40) * 1.05
    floor = Material(pick(rng, FOREST_FLOOR), 0.08, 0.2, 0.1)
    draft.cover_ground(side.at(*((outline * reach + centre).T)), floor, 0.85)
    count = int(np.prod(reach) / 70.0)
    angles, away = rng.uniform(0.0, 2.0 * np.pi, count), np.sqrt(rng.uniform(0.0, 1.0, count))
    local = np.column_stack([np.cos(angles), np.sin(angles)]) * away[:, None] * 0.95
    places = side.at(*((local * reach + centre).T))
    for place, radius in zip(places, rng.uniform(10.0, 22.0, count), strict=True):
        draft.plant(place, float(radius))


def green(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw a meadow with some trees, and now and then a path."""
    rng = draft.rng
    near, far = band
    if rng.random() < 0.5 and far - near > 20.0:
        middle = rng.uniform(near + 8.0, far - 8.0)
        path = side.patch((0.0, side.length), (middle - 2.5, middle + 2.5))
        draft.cover_ground(path, Material(pick(rng, YARDS), 0.04, 0.05), 0.7)
    count = int(side.length * (far - near) / 2600.0)
    places = side.at(rng.uniform(10.0, side.length - 10.0, count), rng.uniform(near, far, count))
    for place in places:
        draft.plant(place, rng.uniform(9.5, 20.0))


def treeline(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw a line of trees."""
    middle = (band[0] + band[1]) / 2.0
    _hedge(draft, side, np.array([(0.0, middle), (side.length, middle)]))


def _hedge(draft: BlockDraft, side: Side, ends: Points) -> None:
    """Wish for trees between two places, shape (2, 2)."""
    rng = draft.rng
    length, at = float(np.hypot(*(ends[1] - ends[0]))), rng.uniform(6.0, 24.0)
    while at < length - 6.0:
        radius = rng.uniform(10.0, 16.0)
        along, inward = ends[0] + (ends[1] - ends[0]) * at / length + rng.normal(0.0, 1.5, 2)
        draft.plant(side.at(along, inward), radius)
        at += rng.uniform(1.6, 2.8) * radius + 4.0


def _field(draft: BlockDraft, side: Side, corners: Points) -> None:
    rng = draft.rng
    ring = side.quadrilateral(corners)
    polygon = shapely.buffer(shapely.buffer(shapely.polygons(ring), -9.0), 8.0, quad_segs=3)
    if polygon.geom_type != "Polygon" or polygon.area < 900.0:
        return
    pose = side.pose(*corners.mean(axis=0))
    across = pose.across if rng.random() < 0.5 else pose.ahead
    ploughed = rng.random() < 0.38
    colour = pick(rng, SOILS if ploughed else CROPS, 8.0)
    material = Material(colour, 0.05, 0.05, 0.065)
    rows = (rng.uniform(5.0, 9.0), rng.uniform(0.07, 0.13))
    shape = (float(across[0]), float(across[1]), *rows)
    draft.fields.append(StyledPolygon(polygon, material, shape))


def _blob(rng: np.random.Generator, vertices: int) -> Points:
    """Return a wobbly ring of about radius 1 (never more) around the origin, shape (n, 2)."""
    angles = np.linspace(0.0, 2.0 * np.pi, vertices, endpoint=False)
    radius = np.full(vertices, 0.84)
    for waves, height in ((2, 0.09), (3, 0.05), (5, 0.02)):
        radius += height * np.sin(waves * angles + rng.uniform(0.0, 2.0 * np.pi))
    return np.asarray(np.column_stack([np.cos(angles), np.sin(angles)]) * radius[:, None])
