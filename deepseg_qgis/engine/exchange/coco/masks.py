"""Masks of COCO annotations as polygons in pixel coordinates; they are not believed. No I/O.

Masks are run lengths of 0 and 1 by turns, column by column (T.-Y. Lin et al., Microsoft COCO,
2014); the text form packs each length, less that two before, into characters of 5 bits. It is
unpacked here, not by pycocotools, which writes past its memory where lengths and size do not agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.exchange.coco.values import UnusableShape, parse_number, parse_whole_number
from deepseg_qgis.engine.exchange.image_scale import scale_of
from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser

STRIP_PX = 1 << 22
"""Masks are turned into outlines so many pixels at a time."""
LONGEST_LENGTH = 7
"""Characters of a run length in text form: 35 bits."""
MOST_MASK_SHARE = 4
"""A mask may have so many times its image's pixels."""
LIKE_BOX_PX = 1.5
"""So near a mask's bounds must be to the box of its annotation to be taken for the same."""

OTHER_SIZE = "with a mask of another size than their image"

Runs = NDArray[np.int64]


def mask_polygon(
    segmentation: Mapping[str, Any], height: int, width: int, box: object
) -> tuple[shapely.Geometry, str]:
    """Return the outline of a mask in its image's pixels, and a note where it was not plain.

    A mask in another resolution than its image is scaled. Where ``box`` (x, y, width, height) says
    so, its runs go along the rows, not down the columns; where rows and columns are exchanged in
    its size, the box must say which. Memory: a strip at a time.

    Raises:
        UnusableShape: the mask is damaged, empty, or of another size than its image.
    """
    rows, columns = _size(segmentation.get("size"))
    runs = _runs(segmentation.get("counts"))
    if (rows, columns) == (height, width):
        outline = _polygon_of_runs(runs, height, width)
        if _is_like(outline, box) is False:
            along_rows = _along_rows(runs, height, width)
            if _is_like(along_rows, box):
                return along_rows, "with a mask counted along its rows, not down its columns"
        return outline, ""
    if rows * columns <= MOST_MASK_SHARE * height * width:
        scale = scale_of((columns, rows), (width, height))
        if scale is not None:
            outline = _polygon_of_runs(runs, rows, columns)
            return _scaled(outline, *scale), "with a mask in another resolution, scaled"
        if (rows, columns) == (width, height):
            return _exchanged(runs, height, width, box), "with rows and columns exchanged in a mask"
    raise UnusableShape(OTHER_SIZE)


def _exchanged(runs: Runs, height: int, width: int, box: object) -> shapely.Geometry:
    """Return the outline of a mask whose size says width × height: one of two that fits the box."""
    both = [_along_rows(runs, height, width), _polygon_of_runs(runs, height, width)]
    like = [outline for outline in both if _is_like(outline, box)]
    if len(like) == 1:
        return like[0]
    raise UnusableShape(OTHER_SIZE)


def _along_rows(runs: Runs, height: int, width: int) -> shapely.Geometry:
    """Return the outline of a mask of height × width whose runs go along the rows."""
    on_its_side = _polygon_of_runs(runs, width, height)
    return shapely.normalize(shapely.transform(on_its_side, lambda xy: xy[:, ::-1]))


def _is_like(outline: shapely.Geometry, box: object) -> bool | None:
    """Return whether an outline's bounds are a box; None if it is none."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    x, y, right, down = (parse_number(value) or 0.0 for value in box)
    if right <= 0.0 or down <= 0.0:
        return None
    bounds = np.array([x, y, x + right, y + down])
    return bool(np.abs(np.array(outline.bounds) - bounds).max() <= LIKE_BOX_PX)


def _scaled(outline: shapely.Geometry, x: float, y: float) -> shapely.Geometry:
    return shapely.transform(outline, lambda xy: xy * (x, y))


def _size(size: object) -> tuple[int, int]:
    if isinstance(size, list) and len(size) == 2:
        rows, columns = parse_whole_number(size[0]), parse_whole_number(size[1])
        if rows is not None and columns is not None and min(rows, columns) > 0:
            return rows, columns
    raise UnusableShape(OTHER_SIZE)


def _polygon_of_runs(runs: Runs, height: int, width: int) -> shapely.Geometry:
    if (runs < 0).any() or (runs > height * width).any() or int(runs.sum()) != height * width:
        raise UnusableShape("with a mask whose run lengths do not add up to its size")
    ends = np.cumsum(runs)
    starts, stops = ends[:-1:2], ends[1::2]
    filled = stops[: len(starts)] > starts[: len(stops)]
    if not filled.any():
        raise UnusableShape("with an empty mask")
    return _polygon_of(starts[: len(filled)][filled], stops[filled], height)


def _runs(counts: object) -> Runs:
    if isinstance(counts, str):
        if counts[:2] in ("b'", 'b"') and counts[-1:] == counts[1]:  # Python's way to show bytes
            counts = counts[2:-1].replace("\\\\", "\\")
        return decode_counts(counts)
    return _whole_numbers(counts)


def decode_counts(text: str) -> Runs:
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
    index = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 0x1F) << (5 * index), starts)
    negative = (codes[ends] & 0x10) != 0
    values[negative] -= np.int64(1) << (5 * lengths[negative])
    values[1::2] = np.cumsum(values[1::2])  # each is less that two before, but for the first three
    values[2::2] = np.cumsum(values[2::2])
    return values


def _whole_numbers(counts: object) -> Runs:
    reason = "with a mask whose run lengths are no whole numbers"
    if not isinstance(counts, list) or not counts:
        raise UnusableShape(reason)
    if set(map(type, counts)) != {int}:
        counts = [parse_whole_number(count) for count in counts]
        if None in counts:
            raise UnusableShape(reason)
    try:
        return np.array(counts, dtype=np.int64)
    except OverflowError as error:
        raise UnusableShape(reason) from error


def _polygon_of(starts: Runs, stops: Runs, height: int) -> shapely.Geometry:
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
    with Vectoriser(region, PolygonOptions()) as vectoriser:
        for row in range(first, last, step):
            end = min(row + step, last)
            pixels = _pixels(starts, stops, (row - first) * length, (end - first) * length)
            strip = pixels.reshape(end - row, length)
            components = vectoriser.add(Window(row, low, end - row, length), strip, strip)
            polygons.append(_upright(components.polygons).geometries())
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
