"""Bands with buildings: detached houses, terraces and farms. No I/O.

A band is a strip of a block, given by the `Side` it is counted from and by where it starts and ends
inward from there (px).
"""

from __future__ import annotations

import itertools

import numpy as np
import shapely

from deepseg_qgis.demo_scene.colours import BARN_ROOFS, CARS, LAWNS, ROOFS, YARDS, Colour, pick
from deepseg_qgis.demo_scene.draft import BlockDraft
from deepseg_qgis.demo_scene.frame import VERGE_PX, Points, Pose, Side
from deepseg_qgis.demo_scene.layers import Layer, Material, StyledPolygon

Band = tuple[float, float]
Roof = tuple[float, float, float, float, float, float, float]
"""Centre (x, y), direction of the ridge (x, y), half length along it, half width, 1 if hipped."""

HOUSE_HEIGHT_PX = 15.0
BARN_HEIGHT_PX = 21.0
FLAT, STEEP = 0.0, 0.26
"""How strongly the two halves of a roof differ in brightness."""


def detached_houses(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw detached houses in gardens along a side."""
    start = draft.rng.uniform(4.0, 12.0)
    while True:
        width = draft.rng.uniform(52.0, 70.0)
        if start + width > side.length - 3.0:
            return
        _lot(draft, side, (start, start + width), band)
        start += width + 1.5


def terraced_houses(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw rows of narrow houses: sharing walls, or (if not touching) with gaps between them."""
    rng = draft.rng
    depth = rng.uniform(36.0, 42.0)
    start = rng.uniform(8.0, 14.0)
    while True:
        width = rng.uniform(25.0, 30.0) if draft.touching else rng.uniform(37.0, 42.0)
        room = int((side.length - 8.0 - start) // width)
        count = min(room, int(rng.integers(5, 10)))
        if count < 3:
            return
        middle = start + count * width / 2.0
        pose = side.pose(middle, band[0] + 20.0 + depth / 2.0)
        if draft.build(_row(draft, pose, count, width, depth)):
            _gardens(draft, side, band, [start + i * width for i in range(count + 1)])
        start += count * width + rng.uniform(22.0, 40.0)


def farm(draft: BlockDraft, side: Side, band: Band) -> None:
    """Draw a farm: a yard with a barn or two and a house."""
    rng = draft.rng
    near, far = band
    middle = rng.uniform(0.35, 0.65) * side.length
    reach = min(150.0, side.length / 2.0 - 10.0)
    yard = side.patch((middle - reach, middle + reach), (near + 6.0, far - 6.0))
    draft.cover_ground(yard, Material(pick(rng, YARDS, 8.0), 0.03, 0.05, 0.1), 0.85)
    centre = (near + far) / 2.0
    turn = rng.normal(0.0, 0.05)
    places = [(-0.58, rng.uniform(84, 112)), (0.12, rng.uniform(66, 96))]
    for share, length in places:
        pose = side.pose(middle + share * reach, centre + rng.uniform(-12.0, 12.0), turn)
        if rng.random() < 0.5:
            pose = Pose(pose.centre, pose.ahead, pose.across)
        width = rng.uniform(40.0, 50.0)
        draft.build([_barn(rng, pose, min(length, far - near - 26.0), width)])
    pose = side.pose(middle + 0.75 * reach, centre, turn)
    draft.build([_house(draft, pose, 44.0, 34.0, angled=True)])
    for share in rng.uniform(-1.1, 1.1, 9):
        inward = rng.choice([near + 12.0, far - 12.0]) + rng.normal(0.0, 3.0)
        along = np.clip(middle + share * reach, 4.0, side.length - 4.0)
        draft.plant(side.at(along, inward), rng.uniform(10.0, 18.0))


def _lot(draft: BlockDraft, side: Side, lot: Band, band: Band) -> None:
    """Draw a garden with a house, a drive and trees."""
    rng = draft.rng
    (left, right), (near, far) = lot, band
    lawn = Material(pick(rng, LAWNS), 0.05, 0.05, 0.12)
    draft.cover_ground(
        side.patch(lot, (near, far - rng.uniform(2.0, 8.0))), lawn, rng.uniform(0.3, 0.9)
    )
    setback = rng.uniform(16.0, 28.0)
    if rng.random() > 0.04:
        width, depth = rng.uniform(38.0, 54.0), rng.uniform(32.0, 41.0)
        width = min(width, right - left - 13.0)
        slack = right - left - width - 12.0
        middle = (left + right) / 2.0 + rng.uniform(-0.5, 0.5) * slack
        turn = rng.normal(0.0, 0.03)
        pose = side.pose(middle, near + setback + depth / 2.0, turn)
        _drive(draft, side, (left, middle - width / 2.0), (near, near + setback + depth * 0.7))
        angled = bool(rng.random() < 0.35)
        draft.build([_house(draft, pose, width, depth, angled)])
    for _ in range(rng.integers(3, 8)):
        back = rng.random() < 0.75
        span = (near + setback + 48.0, far - 8.0) if back else (near + 6.0, near + setback)
        place = side.at(rng.uniform(left + 6.0, right - 6.0), rng.uniform(*span))
        draft.plant(place, rng.uniform(9.5, 18.0))


def _drive(draft: BlockDraft, side: Side, room: Band, inward: Band) -> None:
    """Draw a drive beside a house, often with a car on it."""
    rng = draft.rng
    left = room[0] + 2.0
    right = max(left + 9.0, min(room[1] - 1.0, left + 12.0))
    drive = side.patch((left, right), (inward[0] - VERGE_PX - 2.0, inward[1]))
    draft.cover_ground(drive, Material(pick(rng, YARDS), 0.03, 0.02))
    if rng.random() < 0.55:
        pose = side.pose((left + right) / 2.0, rng.uniform(inward[0] + 12.0, inward[1] - 10.0))
        car(draft, Pose(pose.centre, pose.ahead, pose.across))


def chimneys(rng: np.random.Generator, buildings: Layer) -> list[StyledPolygon]:
    """Return chimneys for most houses, beside the ridges."""
    styled = []
    for shape in buildings.parameters[rng.random(len(buildings)) < 0.65]:
        if shape[15] == HOUSE_HEIGHT_PX:
            ridge = shape[2:4]
            pose = Pose(shape[:2], ridge, np.array([-ridge[1], ridge[0]]))
            along, off = rng.uniform(-0.7, 0.7) * (shape[4] - 3.0), rng.choice([-3.5, 3.5])
            for grow, brightness in ((1.0, 70.0), (0.0, 150.0)):
                ring = pose.rectangle(along - 1.6, along + 1.6 + grow, off - 1.6, off + 1.6 + grow)
                material = Material(np.full(3, brightness), 0.02)
                styled.append(StyledPolygon(shapely.polygons(ring), material))
    return styled


def car(draft: BlockDraft, pose: Pose) -> None:
    """Draw a car that heads across the pose: 4.4 m by 1.9 m."""
    colour = pick(draft.rng, CARS)
    body = Material(colour, 0.02)
    glass = Material(colour * 0.25 + 28.0, 0.0)
    shade = Material(np.array([62.0, 64.0, 70.0]), 0.02)
    for ring, material in (
        (pose.rectangle(-8.8, 8.8, -3.8, 3.8) + np.array([1.8, 1.2]), shade),
        (pose.rectangle(-8.8, 8.8, -3.8, 3.8), body),
        (pose.rectangle(2.2, 4.8, -3.2, 3.2), glass),
        (pose.rectangle(-6.6, -4.6, -3.2, 3.2), glass),
    ):
        draft.details.append(StyledPolygon(shapely.polygons(ring), material))


def _gardens(draft: BlockDraft, side: Side, band: Band, walls: list[float]) -> None:
    """Draw the narrow gardens behind a row and the paved strip before it."""
    rng = draft.rng
    near, far = band
    paved = side.patch((walls[0], walls[-1]), (near, near + 20.0))
    draft.cover_ground(paved, Material(pick(rng, YARDS), 0.03, 0.03), rng.uniform(0.3, 0.9))
    for left, right in itertools.pairwise(walls):
        lawn = Material(pick(rng, LAWNS, 9.0), 0.05, 0.06)
        draft.cover_ground(side.patch((left, right), (near + 40.0, far - 4.0)), lawn, 0.9)
        if rng.random() < 0.6:
            place = side.at(rng.uniform(left + 5.0, right - 5.0), rng.uniform(far - 26, far - 10))
            draft.plant(place, rng.uniform(9.0, 13.0))
        if rng.random() < 0.3:
            pose = side.pose((left + right) / 2.0, near + 9.0)
            car(draft, Pose(pose.centre, pose.ahead, pose.across))


def _row(
    draft: BlockDraft, pose: Pose, count: int, width: float, depth: float
) -> list[StyledPolygon]:
    """Return the houses of a row; those that share a wall share its two corners exactly."""
    rng = draft.rng
    gap = 0.0 if draft.touching else rng.uniform(4.5, 6.0)
    base = pick(rng, ROOFS)
    houses = []
    for i in range(count):
        left, right = (i - count / 2.0) * width + gap, (i + 1 - count / 2.0) * width - gap
        colour = base + rng.normal(0.0, 9.0) + rng.normal(0.0, 2.5, 3)
        if rng.random() < 0.18:
            colour = pick(rng, ROOFS)
        ring = pose.rectangle(left, right, -depth / 2.0, depth / 2.0)
        roof = _roof(pose, ((left + right) / 2.0, 0.0), (right - left) / 2.0, depth / 2.0)
        houses.append(_building(ring, colour, (roof, roof), HOUSE_HEIGHT_PX))
    return houses


def _house(
    draft: BlockDraft, pose: Pose, width: float, depth: float, angled: bool
) -> StyledPolygon:
    """Return a house, if ``angled`` with a wing to the back."""
    rng = draft.rng
    half_width, half_depth = width / 2.0, depth / 2.0
    main = _roof(pose, (0.0, 0.0), half_width, half_depth, float(rng.random() < 0.35))
    colour = pick(rng, ROOFS, 8.0)
    if not angled:
        ring = pose.rectangle(-half_width, half_width, -half_depth, half_depth)
        return _building(ring, colour, (main, main), HOUSE_HEIGHT_PX)
    sign = rng.choice([-1.0, 1.0])
    wing, out = rng.uniform(18.0, 24.0), half_depth + rng.uniform(12.0, 20.0)
    inner = half_width - wing
    corners = [(-half_width, -half_depth), (half_width, -half_depth), (half_width, out)]
    corners += [(inner, out), (inner, half_depth), (-half_width, half_depth)]
    ring = pose.at(np.array(corners) * [sign, 1.0])
    turned = Pose(pose.centre, pose.ahead, pose.across)
    extra = _roof(turned, (out / 2.0, sign * (inner + wing / 2.0)), out / 2.0, wing / 2.0, main[6])
    return _building(ring, colour, (main, extra), HOUSE_HEIGHT_PX)


def _barn(rng: np.random.Generator, pose: Pose, length: float, width: float) -> StyledPolygon:
    ring = pose.rectangle(-length / 2.0, length / 2.0, -width / 2.0, width / 2.0)
    roof = _roof(pose, (0.0, 0.0), length / 2.0, width / 2.0)
    slope = FLAT if rng.random() < 0.25 else STEEP / 2.0
    return _building(ring, pick(rng, BARN_ROOFS, 8.0), (roof, roof), BARN_HEIGHT_PX, slope)


def _roof(
    pose: Pose, centre: tuple[float, float], length: float, width: float, hipped: float = 0.0
) -> Roof:
    """Return a roof whose ridge runs across the pose; half length, half width."""
    x, y = pose.at(np.array(centre))
    ex, ey = pose.across
    return float(x), float(y), float(ex), float(ey), length, width, hipped


def _building(
    ring: Points, colour: Colour, roofs: tuple[Roof, Roof], height: float, slope: float = STEEP
) -> StyledPolygon:
    material = Material(colour, 0.05, 0.03, 0.05)
    return StyledPolygon(shapely.polygons(ring), material, (*roofs[0], *roofs[1], slope, height))
