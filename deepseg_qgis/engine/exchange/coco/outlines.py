"""Outlines and masks of COCO annotations as polygons in pixel coordinates. No I/O.

As pycocotools and detectron2 do, parts that are no outline are dropped and the good ones kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.exchange.coco.masks import mask_polygon
from deepseg_qgis.engine.exchange.coco.values import UnusableShape, is_ring_of_pairs, parse_ring
from deepseg_qgis.engine.geometry.polygon_arrays import as_geometries
from deepseg_qgis.engine.geometry.repair import repair

MOST_NESTED_PARTS = 1000
"""Holes are looked for in annotations of up to so many parts."""


@dataclass(frozen=True)
class Shape:
    """A polygon or multipolygon inside the image, what to note about it, and what to doubt."""

    geometry: shapely.Geometry
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def outline_shape(
    segmentation: Mapping[str, Any] | list[Any],
    size: tuple[int, int],
    scale: tuple[float, float],
    box: object,
) -> Shape:
    """Return the shape of a mask, or of one or more parts of which the unusable ones are dropped.

    ``size`` is the image's (height, width), ``scale`` takes x and y to pixels, ``box`` is what the
    annotation states.

    Raises:
        UnusableShape: no part is usable.
    """
    parts: list[shapely.Geometry] = []
    notes: set[str] = set()
    reasons: list[UnusableShape] = []
    for part in _parts(segmentation):
        try:
            if isinstance(part, dict) and "all_points_x" not in part:
                mask, note = mask_polygon(part, *size, box)
                parts.append(mask)
                notes |= {note} - {""}
            else:
                parts.append(shapely.Polygon(parse_ring(part) * scale))
        except UnusableShape as error:
            reasons.append(error)
    if not parts:
        raise reasons[0]
    whole, usable, repaired = repair(as_geometries(parts))
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


def _parts(segmentation: Mapping[str, Any] | list[Any]) -> list[Any]:
    """Return the masks and rings of a segmentation, however deep writers have nested them."""
    if isinstance(segmentation, dict) or is_ring_of_pairs(segmentation):
        return [segmentation]
    if not {list, dict} & set(map(type, segmentation)):
        return [segmentation]
    parts: list[Any] = []
    for each in segmentation:
        if isinstance(each, list) and list in map(type, each) and not is_ring_of_pairs(each):
            parts.extend(each)
        else:
            parts.append(each)
    return parts


def _nested(parts: NDArray[np.object_], notes: tuple[str, ...], doubts: tuple[str, ...]) -> Shape:
    """Return the union of parts, where those that lie inside of another one are its holes.

    By COCO's rules parts are united; one inside of another would then mean nothing, so whoever
    wrote it meant a hole (an island in the hole is a part again).
    """
    if len(parts) > MOST_NESTED_PARTS:
        return Shape(areal(shapely.union_all(parts)), notes, doubts)
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
    return Shape(areal(whole), notes + holes, doubts)


def areal(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return a geometry repaired to a polygon or multipolygon.

    Raises:
        UnusableShape: it encloses nothing.
    """
    made, usable, _ = repair(np.array([geometry], dtype=object))
    if not usable[0]:
        raise UnusableShape("with an outline that encloses nothing")
    return made[0]
