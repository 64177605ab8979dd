"""Polygons burnt into windows: the pixels whose centres they hold. No I/O.

What a window costs follows the edges in its rows, a nanosecond or two each, whatever else the
polygons have: GDAL would copy every vertex of every polygon for every window.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.kernels import Flags, Floats, Ints, inlined, kernel

CHUNK_EDGES = 64
"""So many edges that follow each other have common bounds, by which they are passed over."""

Value = TypeVar("Value", np.uint8, np.int32)


class _Chunks(NamedTuple):
    """Edges of all polygons, in chunks: vertices ``first`` to ``last`` of ``xy`` (n, 2).

    Of each chunk the ``bounds`` (chunks, 3), lowest x, lowest y and highest y, and whether its ring
    runs rightwards along the top. Those of polygon i are ``starts[i]`` to ``starts[i + 1]``.
    """

    xy: Floats
    first: Ints
    last: Ints
    bounds: Floats
    rightwards: Flags
    starts: Ints


class BurnablePolygons:
    """Polygons and multipolygons in pixel coordinates; other geometries have no pixels.

    The rule is GDAL's: a pixel belongs to the polygon that holds its centre (even-odd over all
    rings; of a centre on an edge the sides are told apart). Memory: 16 bytes a vertex.
    """

    def __init__(self, geometries: Geometries) -> None:
        parts, owners = shapely.get_parts(geometries, return_index=True)
        rings, ring_parts = shapely.get_rings(parts, return_index=True)
        xy, ring_of = shapely.get_coordinates(rings, return_index=True)
        ends = np.searchsorted(ring_of, np.arange(len(rings) + 1))
        first, last, of_ring = _chunks(ends.astype(np.int64))
        chunk_owners = owners[ring_parts[of_ring]] if len(of_ring) else of_ring
        self._chunks = _Chunks(
            xy,
            first,
            last,
            _bounds(xy, first, last),
            shapely.is_ccw(rings)[of_ring],
            np.searchsorted(chunk_owners, np.arange(len(geometries) + 1)),
        )

    def burnt(self, which: Ints, values: NDArray[Value], window: Window) -> NDArray[Value]:
        """Return (rows, columns) with the value of the last of some polygons over each pixel, or 0.

        Args:
            which: numbers of the polygons, in the order in which they are laid on each other.
            values: one for each of them.
            window: in pixels.
        """
        result = np.zeros((window.height, window.width), dtype=values.dtype)
        if len(which) and result.size:
            _burn(self._chunks, which, values, (window.row, window.column), result)
        return result

    def row_counts(self, window: Window) -> Ints:
        """Return how many pixels of each row of a window lie in polygons; these must not overlap.

        Rings must lie as shapely orients them: outer ones one way, holes the other.
        """
        counts = np.zeros(window.height, dtype=np.int64)
        _count_rows(self._chunks, (window.row, window.column), window.width, counts)
        return np.abs(counts)


def _chunks(
    ends: Ints,
) -> tuple[Ints, Ints, Ints]:
    """Return the first and last vertex of each chunk, and its ring; rings end before ``ends``."""
    edges = np.maximum(np.diff(ends) - 1, 0)
    counts = -(-edges // CHUNK_EDGES)
    of_ring = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(of_ring)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = ends[:-1][of_ring] + number * CHUNK_EDGES
    last = np.minimum(first + CHUNK_EDGES, ends[1:][of_ring] - 1)
    return first, last, of_ring


def _bounds(xy: Floats, first: Ints, last: Ints) -> Floats:
    """Return (chunks, 3): lowest x, lowest y, highest y."""
    if len(first) == 0:
        return np.zeros((0, 3))
    pairs = np.stack([first, np.minimum(last + 1, len(xy) - 1)], axis=1).ravel()
    low = np.minimum.reduceat(xy, pairs)[::2]
    high = np.maximum.reduceat(xy[:, 1], pairs)[::2]
    # a stretch ends before its second place, so the last vertex is looked at by itself
    low = np.minimum(low, xy[last])
    return np.column_stack([low, np.maximum(high, xy[last, 1])])


@kernel
def _burn(
    chunks: _Chunks, which: Ints, values: NDArray[Any], corner: tuple[int, int], out: NDArray[Any]
) -> None:
    """Fill polygons into a window, whose first pixel is ``corner``, one on the other."""
    height, width = out.shape
    toggles = np.zeros((height, width + 1), dtype=np.bool_)
    for k in range(len(which)):
        top, bottom, left, right = _toggle(chunks, which[k], values[k], corner, toggles, out)
        for i in range(top, bottom + 1):
            inside = False
            for j in range(left, right + 1):
                if toggles[i, j]:
                    inside = not inside
                    toggles[i, j] = False
                if inside and j < width:
                    out[i, j] = values[k]


@inlined
def _toggle(
    chunks: _Chunks,
    polygon: int,
    value: Any,
    corner: tuple[int, int],
    toggles: Flags,
    out: NDArray[Any],
) -> tuple[int, int, int, int]:
    """Toggle the first pixel right of each edge in each row; return the rectangle of all of them.

    Level edges that run through centres are filled into ``out`` at once.
    """
    xy, first, last, bounds, rightwards, starts = chunks
    (row, column), (height, width) = corner, out.shape
    top, bottom, left, right = height, -1, width, 0
    for chunk in range(starts[polygon], starts[polygon + 1]):
        if bounds[chunk, 1] > row + height or bounds[chunk, 2] < row:
            continue
        if bounds[chunk, 0] > column + width:
            right = width
            continue
        for e in range(first[chunk], last[chunk]):
            x1, y1, x2, y2 = xy[e, 0], xy[e, 1], xy[e + 1, 0], xy[e + 1, 1]
            if y1 == y2 and (x1 < x2) == rightwards[chunk]:
                _fill_level((min(x1, x2), max(x1, x2)), y1, value, corner, out)
            if y1 > y2:
                x1, y1, x2, y2 = x2, y2, x1, y1
            start = int(max(np.ceil(y1 - 0.5) - row, 0.0))
            stop = int(min(np.ceil(y2 - 0.5) - row, height))
            for i in range(start, stop):
                x = (row + i + 0.5 - y1) * (x2 - x1) / (y2 - y1) + x1
                j = int(min(max(np.floor(x + 0.5) - column, 0.0), width))
                toggles[i, j] = not toggles[i, j]
                top, bottom = min(top, i), max(bottom, i)
                left, right = min(left, j), max(right, j)
    return top, bottom, left, right


@kernel
def _fill_level(
    span: tuple[float, float], y: float, value: Any, corner: tuple[int, int], out: NDArray[Any]
) -> None:
    """Fill along the upper edge of a ring that runs through centres of pixels, as GDAL does."""
    (row, column), (height, width) = corner, out.shape
    i = y - 0.5 - row
    if 0.0 <= i < height and i == np.floor(i):
        start = int(max(np.floor(span[0] + 0.5) - column, 0.0))
        stop = int(min(np.floor(span[1] + 0.5) - column, width))
        for j in range(start, stop):
            out[int(i), j] = value


@kernel
def _count_rows(chunks: _Chunks, corner: tuple[int, int], width: int, counts: Ints) -> None:
    """Add up, row by row, how far right each edge is, by its direction, up to ``width``."""
    xy, first, last = chunks.xy, chunks.first, chunks.last
    row, column = corner
    for chunk in range(len(first)):
        for e in range(first[chunk], last[chunk]):
            x1, y1, x2, y2, sign = xy[e, 0], xy[e, 1], xy[e + 1, 0], xy[e + 1, 1], 1
            if y1 > y2:
                x1, y1, x2, y2, sign = x2, y2, x1, y1, -1
            start = int(max(np.ceil(y1 - 0.5) - row, 0.0))
            stop = int(min(np.ceil(y2 - 0.5) - row, len(counts)))
            for i in range(start, stop):
                x = (row + i + 0.5 - y1) * (x2 - x1) / (y2 - y1) + x1
                counts[i] += sign * int(min(max(np.floor(x + 0.5) - column, 0.0), width))
