"""Shapes of COCO annotations as polygons in pixel coordinates; nothing in them is believed. No I/O.

COCO's pixel coordinates are ours: x to the right, y down, whole numbers are pixel corners. As
pycocotools and detectron2 do, parts that are no outline are dropped and the good ones kept; where
none is left, the box serves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.exchange.coco_masks import mask_outline
from deepseg_qgis.engine.exchange.coco_reading import Reading
from deepseg_qgis.engine.exchange.coco_values import (
    UnusableShape,
    is_ring_of_pairs,
    number_of,
    numbers,
    points,
)
from deepseg_qgis.engine.geometry.repair import repair

MOST_NESTED_PARTS = 1000
"""Holes are looked for in annotations of up to so many parts."""
NO_SHAPE = "without a shape"
APART_PX, APART_SHARE = 2.0, 0.25
"""An outline fits its box where no side is farther off than both together, of its longer side."""

Bounds = tuple[float, float, float, float]
"""From x, from y, to x, to y, in pixels."""


@dataclass(frozen=True)
class Shape:
    """A polygon or multipolygon inside the image, what to note about it, and what to doubt."""

    geometry: shapely.Geometry
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def shape_of(
    annotation: Mapping[str, Any], height: int, width: int, reading: Reading | None = None
) -> Shape:
    """Return the shape of an annotation of an image of ``height`` × ``width`` pixels.

    Memory: of masks, a strip at a time.

    Raises:
        UnusableShape: it has none, or lies outside the image.
    """
    reading = reading or Reading()
    reason = UnusableShape(NO_SHAPE)
    segmentation = _parsed(annotation.get("segmentation"))
    if isinstance(segmentation, (dict, list)) and segmentation:
        try:
            scale = reading.outline_scale(height, width)
            shape = _outlined(segmentation, (height, width), scale, annotation.get("bbox"))
            bounds = shape.geometry.bounds
            shape = _compared(shape, bounds, annotation, reading, (height, width))
            return _within_image(shape, bounds, height, width)
        except UnusableShape as error:
            reason = error
    box = _parsed(annotation.get("bbox"))
    if not box:
        raise reason
    shape = _of_box(box, _rotation(annotation), reading, reading.box_scale(height, width))
    if str(reason) != NO_SHAPE:
        doubt = f"{reason}, of which the box is taken"
        shape = Shape(shape.geometry, (), (*shape.doubts, doubt))
    return _within_image(shape, shape.geometry.bounds, height, width)


def _parsed(value: object) -> object:
    """Return what a text of JSON holds, as tables of annotations have it; else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _within_image(shape: Shape, bounds: Bounds, height: int, width: int) -> Shape:
    xmin, ymin, xmax, ymax = bounds
    if xmin >= 0.0 and ymin >= 0.0 and xmax <= width and ymax <= height:
        return shape
    cut, usable, _ = repair(
        np.array([shapely.intersection(shape.geometry, shapely.box(0, 0, width, height))])
    )
    if not usable[0]:
        raise UnusableShape("outside of their image")
    return Shape(cut[0], (*shape.notes, "cut at the border of their image"), shape.doubts)


def _compared(
    shape: Shape,
    bounds: Bounds,
    annotation: Mapping[str, Any],
    reading: Reading,
    size: tuple[int, int],
) -> Shape:
    """Return the shape, with a doubt where its annotation states another box inside the image."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or reading.corners:
        return shape
    x, y, width, height = (number_of(value) or 0.0 for value in box)
    if reading.boxes is not None:
        right, down = reading.box_scale(*size)
        x, y, width, height = x * right, y * down, width * right, height * down
    if not (0.0 < width < math.inf and 0.0 < height < math.inf):
        return shape
    (low_x, low_y, high_x, high_y), (rows, columns) = bounds, size
    off = max(
        abs(max(low_x, 0.0) - max(x, 0.0)),
        abs(max(low_y, 0.0) - max(y, 0.0)),
        abs(min(high_x, columns) - min(x + width, columns)),
        abs(min(high_y, rows) - min(y + height, rows)),
    )
    if off <= APART_PX + APART_SHARE * max(width, height) or _rotation(annotation):
        return shape
    doubt = "whose outline and box do not fit, of which the outline is taken"
    return Shape(shape.geometry, shape.notes, (*shape.doubts, doubt))


def _of_box(box: object, rotation: float, reading: Reading, scale: tuple[float, float]) -> Shape:
    """Return a rectangle: x, y, width, height; with an angle; or four corners."""
    if isinstance(box, list) and (len(box) == 8 or is_ring_of_pairs(box)):
        return Shape(_areal(shapely.Polygon(points(box) * scale)), ("that are boxes only",))
    values = numbers(box)
    if len(values) not in (4, 5):
        raise UnusableShape("with coordinates that are no numbers")
    values[:4] *= (*scale, *scale)
    x, y, width, height = values[:4].tolist()
    doubts: tuple[str, ...] = ()
    if reading.corners and len(values) == 4:
        width, height = width - x, height - y
    if len(values) == 5:
        x, y = x - width / 2.0, y - height / 2.0
        rotation = reading.clockwise_degrees(float(values[4]))
        doubts = (f"with a box of five numbers, {reading.five_numbers}",)
    elif rotation:
        doubts = ("with a rotation, turned clockwise about the centre of their box (as in CVAT)",)
    if width == 0.0 or height == 0.0:
        raise UnusableShape("with a box of no size")
    if width < 0.0 or height < 0.0:
        doubts += ("with a box of negative size, drawn to the left or up",)
    plain = shapely.box(
        min(x, x + width), min(y, y + height), max(x, x + width), max(y, y + height)
    )
    # pixel rows count downwards, so shapely's counter-clockwise is clockwise to the eye
    turned = shapely.affinity.rotate(plain, rotation, origin="center") if rotation else plain
    return Shape(_areal(turned), () if doubts else ("that are boxes only",), doubts)


def _rotation(annotation: Mapping[str, Any]) -> float:
    """Return the degrees by which a box is turned, as CVAT and others write it."""
    attributes = annotation.get("attributes")
    for holder in (attributes, annotation):
        if isinstance(holder, dict):
            degrees = number_of(holder.get("rotation"))
            if degrees is not None and abs(degrees) <= 360.0:
                return degrees % 360.0
    return 0.0


def _outlined(
    segmentation: Mapping[str, Any] | list[Any],
    size: tuple[int, int],
    scale: tuple[float, float],
    box: object,
) -> Shape:
    """Return the shape of a mask, or of one or more parts of which the unusable ones are dropped.

    Raises:
        UnusableShape: no part is usable.
    """
    parts: list[shapely.Geometry] = []
    notes: set[str] = set()
    reasons: list[UnusableShape] = []
    for piece in _pieces(segmentation):
        try:
            if isinstance(piece, dict) and "all_points_x" not in piece:
                mask, note = mask_outline(piece, *size, box)
                parts.append(mask)
                notes |= {note} - {""}
            else:
                parts.append(shapely.Polygon(points(piece) * scale))
        except UnusableShape as error:
            reasons.append(error)
    if not parts:
        raise reasons[0]
    whole, usable, repaired = repair(_as_array(parts))
    good = whole if len(parts) == 1 and usable[0] else whole[usable]
    if len(good) == 0:
        raise UnusableShape("with an outline that encloses nothing")
    if repaired:
        notes.add("with crossing outlines repaired")
    dropped = bool(reasons) or len(good) < len(parts)
    doubts = ("of which parts that are no outline are dropped",) if dropped else ()
    if len(good) == 1:
        return Shape(good[0], tuple(sorted(notes)), doubts)
    return _nested(good, tuple(sorted(notes)), doubts)


def _pieces(segmentation: Mapping[str, Any] | list[Any]) -> list[Any]:
    """Return the masks and rings of a segmentation, however deep writers have nested them."""
    if isinstance(segmentation, dict) or is_ring_of_pairs(segmentation):
        return [segmentation]
    if not {list, dict} & set(map(type, segmentation)):
        return [segmentation]
    pieces: list[Any] = []
    for each in segmentation:
        if isinstance(each, list) and list in map(type, each) and not is_ring_of_pairs(each):
            pieces.extend(each)
        else:
            pieces.append(each)
    return pieces


def _nested(parts: NDArray[np.object_], notes: tuple[str, ...], doubts: tuple[str, ...]) -> Shape:
    """Return the union of parts, where those that lie inside of another one are its holes.

    By COCO's rules parts are united; one inside of another would then mean nothing, so whoever
    wrote it meant a hole (an island in the hole is a part again).
    """
    if len(parts) > MOST_NESTED_PARTS:
        return Shape(_areal(shapely.union_all(parts)), notes, doubts)
    inner, outer = shapely.STRtree(parts).query(parts, predicate="covered_by")
    areas = shapely.area(parts)
    deeper = areas[inner] < areas[outer] * (1.0 - 1e-9)
    depths = np.bincount(inner[deeper], minlength=len(parts))
    whole = shapely.union_all(parts[depths == 0])
    for depth in range(1, int(depths.max()) + 1):
        level = shapely.union_all(parts[depths == depth])
        combine = shapely.difference if depth % 2 else shapely.union
        whole = combine(whole, level)
    holes = ("with parts inside others, taken for holes",) if depths.any() else ()
    return Shape(_areal(whole), notes + holes, doubts)


def _areal(geometry: shapely.Geometry) -> shapely.Geometry:
    made, usable, _ = repair(np.array([geometry], dtype=object))
    if not usable[0]:
        raise UnusableShape("with an outline that encloses nothing")
    return made[0]


def _as_array(parts: list[shapely.Geometry]) -> NDArray[np.object_]:
    result = np.empty(len(parts), dtype=object)
    result[:] = parts
    return result
