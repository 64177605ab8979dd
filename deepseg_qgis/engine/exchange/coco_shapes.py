"""Shapes of COCO annotations as polygons in pixel coordinates; nothing in them is believed. No I/O.

COCO's pixel coordinates are ours: x to the right, y down, whole numbers are pixel corners. Masks
are run lengths of 0 and 1 by turns, column by column (T.-Y. Lin et al., Microsoft COCO, 2014); the
text form packs each length, less that two before, into characters of 5 bits. It is unpacked here,
not by pycocotools, which writes past its memory where lengths and size do not agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.truth.annotations import repair
from deepseg_qgis.engine.vectorising.objects import Shaping
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser

FURTHEST_PX = 1e9
"""Coordinates beyond are no pixels of any raster."""
MOST_NESTED_PARTS = 1000
"""Holes are looked for in annotations of up to so many parts."""
STRIP_PX = 1 << 22
"""Masks are turned into outlines so many pixels at a time."""
LONGEST_LENGTH = 7
"""Characters of a run length in text form: 35 bits."""

Runs = NDArray[np.int64]


class UnusableShape(Exception):  # noqa: N818 - counted, not shown as an error
    """An annotation that cannot become a polygon; the message says why, for the log."""


@dataclass(frozen=True)
class Shape:
    """A polygon or multipolygon inside the image, and what was to be noted about it."""

    geometry: shapely.Geometry
    notes: tuple[str, ...] = ()


def shape_of(annotation: Mapping[str, Any], height: int, width: int) -> Shape:
    """Return the shape of an annotation of an image of ``height`` × ``width`` pixels.

    Memory: of masks, a strip at a time.

    Raises:
        UnusableShape: it has none, or lies outside the image.
    """
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, Mapping):
        return Shape(_of_mask(segmentation, height, width))
    if isinstance(segmentation, list) and segmentation:
        return _within_image(_of_rings(segmentation), height, width)
    box = annotation.get("bbox")
    if box is None:
        raise UnusableShape("without a shape")
    return _within_image(_of_box(box), height, width)


def _within_image(shape: Shape, height: int, width: int) -> Shape:
    xmin, ymin, xmax, ymax = shape.geometry.bounds
    if xmin >= 0.0 and ymin >= 0.0 and xmax <= width and ymax <= height:
        return shape
    cut, usable, _ = repair(
        np.array([shapely.intersection(shape.geometry, shapely.box(0, 0, width, height))])
    )
    if not usable[0]:
        raise UnusableShape("outside of their image")
    return Shape(cut[0], (*shape.notes, "cut at the border of their image"))


def _of_box(box: object) -> Shape:
    x, y, width, height = _numbers(box, 4)
    if width <= 0.0 or height <= 0.0:
        raise UnusableShape("with a box of no size")
    box_shape = _areal(shapely.box(x, y, x + width, y + height))
    return Shape(box_shape, ("that are boxes only",))


def _of_rings(segmentation: list[Any]) -> Shape:
    """Return the shape of one or more rings, each a list of x and y by turns."""
    flat = not isinstance(segmentation[0], (list, dict))
    rings = [_ring(ring) for ring in ([segmentation] if flat else segmentation)]
    parts, usable, repaired = repair(np.array(rings, dtype=object))
    notes = ("with crossing outlines repaired",) if repaired else ()
    if not usable.any():
        raise UnusableShape("with an outline that encloses nothing")
    parts = parts[usable]
    if len(parts) == 1:
        return Shape(parts[0], notes)
    return _nested(parts, notes)


def _ring(ring: object) -> shapely.Polygon:
    if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2:
        raise UnusableShape("with an outline that is no list of x and y")
    return shapely.Polygon(_numbers(ring, len(ring)).reshape(-1, 2))


def _nested(parts: NDArray[np.object_], notes: tuple[str, ...]) -> Shape:
    """Return the union of parts, where those that lie inside of another one are its holes.

    By COCO's rules parts are united; one inside of another would then mean nothing, so whoever
    wrote it meant a hole (an island in the hole is a part again).
    """
    if len(parts) > MOST_NESTED_PARTS:
        return Shape(_areal(shapely.union_all(parts)), notes)
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
    return Shape(_areal(whole), notes + holes)


def _areal(geometry: shapely.Geometry) -> shapely.Geometry:
    made, usable, _ = repair(np.array([geometry], dtype=object))
    if not usable[0]:
        raise UnusableShape("with an outline that encloses nothing")
    return made[0]


def _numbers(values: object, count: int) -> NDArray[np.float64]:
    """Return so many numbers.

    Raises:
        UnusableShape: they are not.
    """
    if not isinstance(values, list) or len(values) != count:
        raise UnusableShape("with coordinates that are no numbers")
    if not all(type(value) in (int, float) for value in values):
        raise UnusableShape("with coordinates that are no numbers")
    try:
        result = np.array(values, dtype=np.float64)
    except (OverflowError, ValueError) as error:  # whole numbers of hundreds of digits
        raise UnusableShape("with coordinates that are no numbers") from error
    if not (np.abs(result) <= FURTHEST_PX).all():
        raise UnusableShape("with coordinates that are not finite, or far from any image")
    return result


def _of_mask(segmentation: Mapping[str, Any], height: int, width: int) -> shapely.Geometry:
    if segmentation.get("size") != [height, width]:
        raise UnusableShape("with a mask of another size than their image")
    counts = segmentation.get("counts")
    runs = unpacked(counts) if isinstance(counts, str) else _whole_numbers(counts)
    if (runs < 0).any() or (runs > height * width).any() or int(runs.sum()) != height * width:
        raise UnusableShape("with a mask whose run lengths do not add up to its size")
    ends = np.cumsum(runs)
    starts, stops = ends[:-1:2], ends[1::2]
    filled = stops[: len(starts)] > starts[: len(stops)]
    if not filled.any():
        raise UnusableShape("with an empty mask")
    return _outlined(starts[: len(filled)][filled], stops[filled], height)


def unpacked(text: str) -> Runs:
    """Return the run lengths of COCO's text form.

    Raises:
        UnusableShape: the text is none.
    """
    reason = "with a mask whose text is damaged"
    if not text.isascii() or not text:
        raise UnusableShape(reason)
    codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 0x20) == 0)
    if codes.min() < 0 or codes.max() > 63 or len(ends) == 0 or ends[-1] != len(codes) - 1:
        raise UnusableShape(reason)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > LONGEST_LENGTH:
        raise UnusableShape(reason)
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    negative = (codes[ends] & 0x10) != 0
    values[negative] -= np.int64(1) << (5 * lengths[negative])
    values[1::2] = np.cumsum(values[1::2])  # each is less that two before, but for the first three
    values[2::2] = np.cumsum(values[2::2])
    return values


def _whole_numbers(counts: object) -> Runs:
    reason = "with a mask whose run lengths are no whole numbers"
    if not isinstance(counts, list) or not counts:
        raise UnusableShape(reason)
    if not all(type(count) is int for count in counts):
        raise UnusableShape(reason)
    try:
        return np.array(counts, dtype=np.int64)
    except OverflowError as error:
        raise UnusableShape(reason) from error


def _outlined(starts: Runs, stops: Runs, height: int) -> shapely.Geometry:
    """Return the outline of the pixels from starts to stops, counted down each column.

    The mask lies on its side here: its columns are rows, which come strip by strip.
    """
    first, last = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
    low, high = 0, height
    if (starts // height == (stops - 1) // height).all():
        low, high = int((starts % height).min()), int(((stops - 1) % height).max()) + 1
    length = high - low  # from here on, of a column without what is empty above and below
    lengths = stops - starts
    starts = (starts // height - first) * length + starts % height - low
    stops = starts + lengths
    region = Window(first, low, last - first, length)
    step = max(1, STRIP_PX // length)
    polygons: list[NDArray[np.object_]] = []
    with Vectoriser(region, Shaping()) as vectoriser:
        for row in range(first, last, step):
            end = min(row + step, last)
            pixels = _pixels(starts, stops, (row - first) * length, (end - first) * length)
            strip = pixels.reshape(end - row, length)
            found = vectoriser.add(Window(row, low, end - row, length), strip, strip)
            polygons.append(_upright(found.polygons).geometries())
        vectoriser.check_complete()
    parts = list(itertools.chain.from_iterable(polygons))
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _pixels(starts: Runs, stops: Runs, low: int, high: int) -> NDArray[np.uint8]:
    """Return pixels ``low`` to ``high`` as 0 and 1."""
    some = slice(int(np.searchsorted(stops, low, side="right")), int(np.searchsorted(starts, high)))
    edges = np.clip(np.column_stack([starts[some], stops[some]]).ravel(), low, high)
    lengths = np.diff(edges, prepend=low, append=high)
    return np.repeat((np.arange(len(lengths)) % 2).astype(np.uint8), lengths)


def _upright(polygons: PolygonArrays) -> PolygonArrays:
    return polygons.moved(np.ascontiguousarray(polygons.coordinates[:, ::-1]))
