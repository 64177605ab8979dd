"""Numbers and ids as writers of COCO files put them down; nothing in them is believed. No I/O."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

FURTHEST_PX = 1e9
"""Coordinates beyond are no pixels of any raster."""
LONGEST_NUMBER = 40
NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\s*", re.ASCII)
WHOLE = re.compile(r"-?[0-9]{1,18}(?:\.0*)?", re.ASCII)

Id = int | str


class UnusableShape(Exception):  # noqa: N818 - counted, not shown as an error
    """An annotation that cannot become a polygon; the message says why, for the log."""


def parse_id(value: object) -> Id | None:
    """Return an id, where whole numbers are alike however they are written; None if it is none.

    >>> parse_id("7"), parse_id(7.0), parse_id(" a "), parse_id(True), parse_id([])
    (7, 7, 'a', None, None)
    """
    if isinstance(value, str):
        text = value.strip()
        return int(text.partition(".")[0]) if WHOLE.fullmatch(text) else text or None
    return parse_whole_number(value)


def parse_whole_number(value: object) -> int | None:
    """Return a whole number, also from 3.0 and "3"; None where there is none."""
    if type(value) is int:
        return value
    number = parse_number(value)
    if number is None or not math.isfinite(number) or number != int(number):
        return None
    return int(number)


def parse_number(value: object) -> float | None:
    """Return a number, also from text; None where there is none. A truth value is none."""
    if type(value) is int or type(value) is float:
        try:
            return float(value)
        except OverflowError:  # whole numbers of hundreds of digits
            return None
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER and NUMBER.fullmatch(value):
        return float(value)
    return None


def parse_numbers(values: object) -> NDArray[np.float64]:
    """Return a list of numbers as an array of one axis.

    Raises:
        UnusableShape: they are none.
    """
    reason = "with coordinates that are no numbers"
    if not isinstance(values, list):
        raise UnusableShape(reason)
    if not set(map(type, values)) <= {int, float}:
        values = [parse_number(value) for value in values]
        if None in values:
            raise UnusableShape(reason)
    try:
        result = np.array(values, dtype=np.float64)
    except (OverflowError, ValueError) as error:  # whole numbers of hundreds of digits
        raise UnusableShape(reason) from error
    if not (np.abs(result) <= FURTHEST_PX).all():
        raise UnusableShape("with coordinates that are not finite, or far from any image")
    return result


def parse_ring(ring: object) -> NDArray[np.float64]:
    """Return (n, 2) the points of a ring: x and y by turns, pairs of them, or objects of x and y.

    Raises:
        UnusableShape: it is no list of x and y, or has fewer than three points.
    """
    reason = "with an outline that is no list of x and y"
    if isinstance(ring, dict) and "all_points_x" in ring:  # VGG Image Annotator
        xs, ys = parse_numbers(ring["all_points_x"]), parse_numbers(ring.get("all_points_y"))
        flat = np.column_stack([xs, ys]).ravel() if len(xs) == len(ys) else np.empty(0)
    elif is_ring_of_pairs(ring):
        flat = parse_numbers([value for point in ring for value in _pair(point)])  # type: ignore[attr-defined]
    else:
        flat = parse_numbers(ring) if isinstance(ring, list) else np.empty(0)
    if len(flat) < 6 or len(flat) % 2:
        raise UnusableShape(reason)
    return flat.reshape(-1, 2)


def is_ring_of_pairs(ring: object) -> bool:
    """Whether a list holds points, [x, y] or {"x": …, "y": …}, and not rings."""
    if not isinstance(ring, list) or len(ring) < 3:
        return False
    return type(ring[0]) in (list, dict) and all(len(_pair(point)) == 2 for point in ring)


def _pair(point: Any) -> list[Any]:
    if isinstance(point, dict):
        return [point["x"], point["y"]] if "x" in point and "y" in point else []
    if isinstance(point, list) and len(point) == 2:
        return [] if any(isinstance(value, (list, dict)) for value in point) else point
    return []
