"""Shapes of COCO annotations as polygons in pixel coordinates; nothing in them is believed. No I/O.

COCO's pixel coordinates are ours: x to the right, y down, whole numbers are pixel corners. Where an
annotation has no usable outline, the box serves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely

from deepseg_qgis.engine.exchange.coco.coordinates import CoordinateUnits
from deepseg_qgis.engine.exchange.coco.outlines import Shape, areal, outline_shape
from deepseg_qgis.engine.exchange.coco.values import (
    UnusableShape,
    is_ring_of_pairs,
    parse_number,
    parse_numbers,
    parse_ring,
)
from deepseg_qgis.engine.geometry.repair import repair

NO_SHAPE = "without a shape"
APART_PX, APART_SHARE = 2.0, 0.25
"""An outline fits its box where no side is farther off than both together, of its longer side."""

Bounds = tuple[float, float, float, float]
"""From x, from y, to x, to y, in pixels."""


def shape_of(
    annotation: Mapping[str, Any], height: int, width: int, units: CoordinateUnits | None = None
) -> Shape:
    """Return the shape of an annotation of an image of ``height`` × ``width`` pixels.

    Memory: of masks, a strip at a time.

    Raises:
        UnusableShape: it has none, or lies outside the image.
    """
    units = units or CoordinateUnits()
    reason = UnusableShape(NO_SHAPE)
    segmentation = _parsed(annotation.get("segmentation"))
    if isinstance(segmentation, (dict, list)) and segmentation:
        try:
            scale = units.outline_scale(height, width)
            shape = outline_shape(segmentation, (height, width), scale, annotation.get("bbox"))
            bounds = shape.geometry.bounds
            shape = _with_box_doubt(shape, bounds, annotation, units, (height, width))
            return _within_image(shape, bounds, height, width)
        except UnusableShape as error:
            reason = error
    box = _parsed(annotation.get("bbox"))
    if not box:
        raise reason
    shape = _box_shape(box, _rotation(annotation), units, units.box_scale(height, width))
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


def _with_box_doubt(
    shape: Shape,
    bounds: Bounds,
    annotation: Mapping[str, Any],
    units: CoordinateUnits,
    size: tuple[int, int],
) -> Shape:
    """Return the shape, with a doubt where its annotation states another box inside the image."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or units.corners:
        return shape
    x, y, width, height = (parse_number(value) or 0.0 for value in box)
    if units.boxes is not None:
        right, down = units.box_scale(*size)
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


def _box_shape(
    box: object, rotation: float, units: CoordinateUnits, scale: tuple[float, float]
) -> Shape:
    """Return a rectangle: x, y, width, height; with an angle; or four corners."""
    if isinstance(box, list) and (len(box) == 8 or is_ring_of_pairs(box)):
        return Shape(areal(shapely.Polygon(parse_ring(box) * scale)), ("that are boxes only",))
    values = parse_numbers(box)
    if len(values) not in (4, 5):
        raise UnusableShape("with coordinates that are no numbers")
    values[:4] *= (*scale, *scale)
    x, y, width, height = values[:4].tolist()
    doubts: tuple[str, ...] = ()
    if units.corners and len(values) == 4:
        width, height = width - x, height - y
    if len(values) == 5:
        x, y = x - width / 2.0, y - height / 2.0
        rotation = units.clockwise_degrees(float(values[4]))
        doubts = (f"with a box of five numbers, {units.five_numbers}",)
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
    return Shape(areal(turned), () if doubts else ("that are boxes only",), doubts)


def _rotation(annotation: Mapping[str, Any]) -> float:
    """Return the degrees by which a box is turned, as CVAT and others write it."""
    attributes = annotation.get("attributes")
    for holder in (attributes, annotation):
        if isinstance(holder, dict):
            degrees = parse_number(holder.get("rotation"))
            if degrees is not None and abs(degrees) <= 360.0:
                return degrees % 360.0
    return 0.0
