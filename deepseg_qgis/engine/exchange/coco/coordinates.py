"""How the numbers of a COCO file are meant: judged by all of its annotations. No I/O.

COCO means pixels. Some writers put down shares of the image (0 to 1) or per cent, and boxes with an
angle. One annotation does not tell them apart; a whole file does.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepseg_qgis.engine.exchange.coco.values import (
    Id,
    UnusableShape,
    parse_id,
    parse_number,
    parse_ring,
)

SHARES, PERCENT = 1.0, 100.0
OVERSHOOT = 1.1
"""Shapes may stick out of their image a little."""
LEAST_AREAS, MOST_AREAS = 1, 1000
"""Per cent is told from pixels by the areas that so many annotations state…"""
AREAS_AGREE = 0.05
"""…within this share."""

ImageSize = Callable[[Id], tuple[int, int] | None]


@dataclass(frozen=True)
class CoordinateUnits:
    """What coordinates count: pixels (None), or so many to the whole image; and an angle's unit.

    With ``corners`` boxes are two corners, x and y by turns, not one and a size.
    """

    outlines: float | None = None
    boxes: float | None = None
    radians: bool = False
    corners: bool = False

    def outline_scale(self, height: int, width: int) -> tuple[float, float]:
        """Return what takes x and y of outlines to pixels."""
        return _scale(self.outlines, height, width)

    def box_scale(self, height: int, width: int) -> tuple[float, float]:
        """Return what takes x and y of boxes to pixels."""
        return _scale(self.boxes, height, width)

    def clockwise_degrees(self, angle: float) -> float:
        """Return the fifth number of a box, as degrees clockwise to the eye."""
        return math.degrees(angle) % 360.0 if self.radians else -angle % 360.0

    @property
    def five_numbers(self) -> str:
        """How boxes of five numbers are read."""
        angle = "in radians, clockwise" if self.radians else "in degrees, counter-clockwise"
        return f"read as centre x, centre y, width, height and an angle {angle}"

    def guesses(self) -> list[str]:
        """Return what was concluded, for the log."""
        units = {SHARES: "0 to 1", PERCENT: "0 to 100 (per cent)"}
        corners = (
            "The areas that the file states say that its boxes are two corners (x, y, x, y), not a "
            "corner and a size as COCO has them: they are read so. Check on the map that they fit."
        )
        return [corners] * self.corners + [
            f"All {what} of the file count from {units[unit]}: they are read as shares of their "
            "image, not as pixels. Check on the map that they lie where they should."
            for what, unit in (("outlines", self.outlines), ("boxes", self.boxes))
            if unit is not None
        ]


def _scale(unit: float | None, height: int, width: int) -> tuple[float, float]:
    return (1.0, 1.0) if unit is None else (width / unit, height / unit)


@dataclass
class _ValueRange:
    """The range of all coordinates so far."""

    largest: float = 0.0
    fractional: bool = False

    @property
    def is_open(self) -> bool:
        """Whether they may be anything but pixels."""
        return self.largest <= PERCENT * OVERSHOOT

    def add(self, values: Any) -> None:
        """Look at numbers, until they turn out to be pixels."""
        todo = [values]
        while todo and self.is_open:
            value = todo.pop()
            if isinstance(value, list):
                todo.extend(value)
            elif isinstance(value, dict) and "x" in value:
                todo += [value.get("x"), value.get("y")]
            else:
                number = parse_number(value)
                if number is not None and math.isfinite(number):
                    self.largest = max(self.largest, abs(number))
                    self.fractional |= 0.0 < number < 1.0

    def unit(self, is_percent: bool) -> float | None:
        """Return how many count for the whole image; None for pixels."""
        if self.fractional and self.largest <= SHARES * OVERSHOOT:
            return SHARES
        return PERCENT if is_percent and self.largest > OVERSHOOT and self.is_open else None


@dataclass
class CoordinateSurvey:
    """Gathers from all annotations of a file what their numbers mean.

    Cheap once their coordinates are known for pixels.
    """

    _outlines: _ValueRange = field(default_factory=_ValueRange)
    _boxes: _ValueRange = field(default_factory=_ValueRange)
    _areas: list[tuple[Id, float]] = field(default_factory=list)
    _largest_angle: float = 0.0
    _has_fractional_angle: bool = False
    _size_boxes: int = 0
    _corner_boxes: int = 0

    def add(self, annotation: Mapping[str, Any]) -> None:
        """Look at an annotation."""
        segmentation, box = annotation.get("segmentation"), annotation.get("bbox")
        if self._outlines.is_open and isinstance(segmentation, list):
            self._outlines.add(segmentation)
            self._add_area(annotation, segmentation)
        if isinstance(box, list) and box:
            if self._boxes.is_open:
                self._boxes.add(box[:4] if len(box) == 5 else box)
            if len(box) == 5:
                self._add_angle(parse_number(box[4]) or 0.0)
            elif len(box) == 4 and not segmentation:
                self._add_box_area(box, parse_number(annotation.get("area")))

    def units(self, size_of: ImageSize) -> CoordinateUnits:
        """Return how the numbers are meant; ``size_of`` gives an image's width and height."""
        percent = self._states_percent(size_of)
        return CoordinateUnits(
            self._outlines.unit(percent),
            self._boxes.unit(percent),
            radians=self._has_fractional_angle and self._largest_angle <= 2.0 * math.pi + 1e-6,
            corners=self._corner_boxes > self._size_boxes,
        )

    def _add_angle(self, angle: float) -> None:
        if math.isfinite(angle):
            self._largest_angle = max(self._largest_angle, abs(angle))
            self._has_fractional_angle |= angle != round(angle)

    def _add_box_area(self, box: list[Any], area: float | None) -> None:
        """Count whether a stated area is that of a corner and a size, or of two corners."""
        a, b, c, d = (parse_number(value) for value in box)
        if not area or a is None or b is None or c is None or d is None:
            return
        as_size = math.isclose(c * d, area, rel_tol=AREAS_AGREE)
        as_corners = c > a and d > b and math.isclose((c - a) * (d - b), area, rel_tol=AREAS_AGREE)
        self._size_boxes += as_size and not as_corners
        self._corner_boxes += as_corners and not as_size

    def _add_area(self, annotation: Mapping[str, Any], segmentation: list[Any]) -> None:
        """Note how many times the area of its outline an annotation states."""
        stated, image = parse_number(annotation.get("area")), parse_id(annotation.get("image_id"))
        if not stated or image is None or len(self._areas) >= MOST_AREAS or len(segmentation) != 1:
            return
        try:
            x, y = parse_ring(segmentation[0]).T
        except UnusableShape:
            return
        enclosed = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0
        if enclosed > 0.0 and math.isfinite(stated / enclosed):
            self._areas.append((image, stated / enclosed))

    def _states_percent(self, size_of: ImageSize) -> bool:
        ratios = []
        for image, ratio in self._areas:
            size = size_of(image)
            if size is not None and size[0] * size[1] > 0:
                ratios.append(ratio / (size[0] * size[1] / PERCENT**2))
        if len(ratios) < LEAST_AREAS:
            return False
        agrees = abs(statistics.median(ratios) - 1.0) <= AREAS_AGREE
        as_pixels = abs(statistics.median(ratio for _, ratio in self._areas) - 1.0) <= AREAS_AGREE
        return agrees and not as_pixels
