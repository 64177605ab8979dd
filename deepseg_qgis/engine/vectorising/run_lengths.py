"""Masks of objects as COCO's run lengths, from their outlines: no mask is ever made. No I/O.

COCO counts a mask column by column: the lengths of stretches of 0 and 1 by turns, over the whole
image (T.-Y. Lin et al., Microsoft COCO, 2014; the text form is pycocotools' ``rleToString``). Where
a stretch ends the outline crosses the column, so the run lengths are the distances between the
horizontal edges of the outline, column by column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays

MOST_CROSSINGS = 4_000_000
"""So many crossings of outline and columns are sorted at once; larger objects go in parts."""
PENDING, BEFORE, COUNT, LAST, SECOND_LAST, PIXELS = range(6)
"""What is remembered along a mask: a crossing that waits, the one before it, how many lengths were
written, the last two, and the number of pixels in the mask."""


@dataclass(frozen=True)
class Masks:
    """Masks in COCO's text form: that of object i is ``text[offsets[i]:offsets[i + 1]]``.

    ``sizes_px`` is how many pixels each has.
    """

    text: bytes
    offsets: NDArray[np.int64]
    sizes_px: NDArray[np.int64]


def masks(polygons: PolygonArrays, height: int, width: int) -> Masks:
    """Return the masks of polygons along pixel edges, in an image of ``height`` × ``width`` pixels.

    Every feature must have one part. Memory: the text, about two bytes for each column that an
    outline crosses, and 8 bytes for each crossing of one object up to `MOST_CROSSINGS`.
    """
    text, offsets, sizes = _masks(
        polygons.coordinates, polygons.rings, polygons.parts, height, width, MOST_CROSSINGS
    )
    return Masks(text.tobytes(), offsets, sizes)


@njit(cache=True, nogil=True)
def _masks(coordinates, rings, parts, height, width, most):
    text = np.empty(4096, dtype=np.uint8)
    offsets = np.zeros(len(parts), dtype=np.int64)
    sizes = np.zeros(len(parts) - 1, dtype=np.int64)
    n = 0
    for i in range(len(parts) - 1):
        mine = rings[parts[i] : parts[i + 1] + 1]
        counts, left = _crossings_by_column(coordinates, mine)
        state = np.array([-1, 0, 0, 0, 0, 0], dtype=np.int64)
        first = 0
        while first < len(counts):
            stop, total = first, 0
            while stop < len(counts) and (stop == first or total + counts[stop] <= most):
                total += counts[stop]
                stop += 1
            crossings = _crossings(coordinates, mine, left + first, left + stop, total, height)
            text, n = _written(text, n, crossings, state)
            first = stop
        text, n = _ended(text, n, state, height * width)
        offsets[i + 1] = n
        sizes[i] = state[PIXELS]
    return text[:n], offsets, sizes


@njit(cache=True, nogil=True)
def _crossings_by_column(coordinates, rings):
    """Return how many horizontal edges lie over each column of an object, and its first column."""
    left = right = np.int64(coordinates[rings[0], 0])
    for k in range(rings[0], rings[-1]):
        left = min(left, np.int64(coordinates[k, 0]))
        right = max(right, np.int64(coordinates[k, 0]))
    counts = np.zeros(right - left + 1, dtype=np.int64)
    for ring in range(len(rings) - 1):
        for k in range(rings[ring], rings[ring + 1] - 1):
            one, other = np.int64(coordinates[k, 0]), np.int64(coordinates[k + 1, 0])
            counts[min(one, other) - left] += 1
            counts[max(one, other) - left] -= 1
    return np.cumsum(counts)[:-1], left


@njit(cache=True, nogil=True)
def _crossings(coordinates, rings, first, stop, total, height):
    """Return where horizontal edges cross some columns, as sorted places in the image."""
    places = np.empty(total, dtype=np.int64)
    n = 0
    for ring in range(len(rings) - 1):
        for k in range(rings[ring], rings[ring + 1] - 1):
            one, other = np.int64(coordinates[k, 0]), np.int64(coordinates[k + 1, 0])
            row = np.int64(coordinates[k, 1])
            for column in range(max(min(one, other), first), min(max(one, other), stop)):
                places[n] = column * height + row
                n += 1
    return np.sort(places)


@njit(cache=True, nogil=True)
def _written(text, n, crossings, state):
    """Write the run lengths up to the last crossing, which waits.

    A stretch that reaches the last row and goes on in the first of the next column does not end.
    """
    for place in crossings:
        if state[PENDING] == place:
            state[PENDING] = -1
            continue
        if state[PENDING] >= 0:
            text, n = _length(text, n, state, state[PENDING])
        state[PENDING] = place
    return text, n


@njit(cache=True, nogil=True)
def _ended(text, n, state, end):
    """Write what is left of a mask, up to the image's last pixel."""
    if 0 <= state[PENDING] < end:
        text, n = _length(text, n, state, state[PENDING])
    return _length(text, n, state, end)


@njit(cache=True, nogil=True)
def _length(text, n, state, place):
    """Write the length of the stretch that ends at a place."""
    length = place - state[BEFORE]
    state[BEFORE] = place
    if state[COUNT] % 2 == 1:
        state[PIXELS] += length
    value = length - state[SECOND_LAST] if state[COUNT] > 2 else length
    state[COUNT] += 1
    state[SECOND_LAST], state[LAST] = state[LAST], length
    if n + 16 > len(text):
        longer = np.empty(2 * len(text), dtype=np.uint8)
        longer[:n] = text[:n]
        text = longer
    more = True
    while more:
        bits = value & 0x1F
        value >>= 5
        more = value != -1 if bits & 0x10 else value != 0
        text[n] = 48 + (bits | 0x20 if more else bits)
        n += 1
    return text, n
