"""Masks of objects as COCO's run lengths, from their outlines: no mask is ever made. No I/O.

COCO counts a mask column by column: the lengths of stretches of 0 and 1 by turns, over the whole
image (T.-Y. Lin et al., Microsoft COCO, 2014; the text form is pycocotools' ``rleToString``). Where
a stretch ends the outline crosses the column, so the run lengths are the distances between the
horizontal edges of the outline, column by column.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.kernels import Floats, Ints, kernel

MOST_CROSSINGS = 4_000_000
"""So many crossings of outline and columns are sorted at once; larger objects go in parts."""
Text = NDArray[np.uint8]


class Memory(IntEnum):
    """What is remembered along a mask, as places in an array (6,) of int64."""

    PENDING = 0  # a crossing that waits, -1 for none
    BEFORE = 1  # the crossing before it
    COUNT = 2  # of the lengths that were written
    LAST = 3  # the last of them
    SECOND_LAST = 4
    PIXELS = 5  # in the mask


@dataclass(frozen=True)
class Masks:
    """Masks in COCO's text form: that of object i is ``text[offsets[i]:offsets[i + 1]]``.

    ``sizes_px`` is how many pixels each has.
    """

    text: bytes
    offsets: Ints
    sizes_px: Ints


def masks(polygons: PolygonArrays, height: int, width: int) -> Masks:
    """Return the masks of polygons along pixel edges, in an image of ``height`` × ``width`` pixels.

    Every feature must have one part. Memory: the text, about two bytes for each column that an
    outline crosses, and 8 bytes for each crossing of one object up to `MOST_CROSSINGS`.
    """
    text, offsets, sizes = _masks(
        polygons.coordinates, polygons.rings, polygons.parts, height, width, MOST_CROSSINGS
    )
    return Masks(text.tobytes(), offsets, sizes)


@kernel
def _masks(
    coordinates: Floats, rings: Ints, parts: Ints, height: int, width: int, most: int
) -> tuple[Text, Ints, Ints]:
    text = np.empty(4096, dtype=np.uint8)
    offsets = np.zeros(len(parts), dtype=np.int64)
    sizes = np.zeros(len(parts) - 1, dtype=np.int64)
    n = 0
    for i in range(len(parts) - 1):
        mine = rings[parts[i] : parts[i + 1] + 1]
        counts, left = _crossings_by_column(coordinates, mine)
        memory = np.array([-1, 0, 0, 0, 0, 0], dtype=np.int64)
        first = 0
        while first < len(counts):
            stop, total = first, 0
            while stop < len(counts) and (stop == first or total + counts[stop] <= most):
                total += counts[stop]
                stop += 1
            crossings = _crossings(coordinates, mine, left + first, left + stop, total, height)
            text, n = _written(text, n, crossings, memory)
            first = stop
        text, n = _ended(text, n, memory, height * width)
        offsets[i + 1] = n
        sizes[i] = memory[Memory.PIXELS]
    return text[:n], offsets, sizes


@kernel
def _crossings_by_column(coordinates: Floats, rings: Ints) -> tuple[Ints, int]:
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


@kernel
def _crossings(
    coordinates: Floats, rings: Ints, first: int, stop: int, total: int, height: int
) -> Ints:
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


@kernel
def _written(text: Text, n: int, crossings: Ints, memory: Ints) -> tuple[Text, int]:
    """Write the run lengths up to the last crossing, which waits.

    A stretch that reaches the last row and goes on in the first of the next column does not end.
    """
    for place in crossings:
        if memory[Memory.PENDING] == place:
            memory[Memory.PENDING] = -1
            continue
        if memory[Memory.PENDING] >= 0:
            text, n = _length(text, n, memory, memory[Memory.PENDING])
        memory[Memory.PENDING] = place
    return text, n


@kernel
def _ended(text: Text, n: int, memory: Ints, end: int) -> tuple[Text, int]:
    """Write what is left of a mask, up to the image's last pixel."""
    if 0 <= memory[Memory.PENDING] < end:
        text, n = _length(text, n, memory, memory[Memory.PENDING])
    return _length(text, n, memory, end)


@kernel
def _length(text: Text, n: int, memory: Ints, place: int) -> tuple[Text, int]:
    """Write the length of the stretch that ends at a place."""
    length = place - memory[Memory.BEFORE]
    memory[Memory.BEFORE] = place
    if memory[Memory.COUNT] % 2 == 1:
        memory[Memory.PIXELS] += length
    value = length - memory[Memory.SECOND_LAST] if memory[Memory.COUNT] > 2 else length
    memory[Memory.COUNT] += 1
    memory[Memory.SECOND_LAST], memory[Memory.LAST] = memory[Memory.LAST], length
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
