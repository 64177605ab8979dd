"""How deep inside its object each pixel lies, and how near to two of them. No I/O."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import Floats, kernel

Labels = NDArray[np.int32]

FAR = 1e9
"""Stands for a row without any edge, in pixels."""
NONE = np.int32(2**31 - 1)
"""Stands for no object, where the lowest number is looked for."""


class _Envelope(NamedTuple):
    """The lower envelope of parabolas: where each has its lowest point, how low, and its left end.

    Room for the longest column.
    """

    sites: Floats
    tops: Floats
    bounds: Floats


@kernel
def edge_distances(objects: Labels) -> NDArray[np.float32]:
    """Return each pixel's distance to the edge of what it belongs to, in pixels.

    Args:
        objects: (rows, columns), a number for each object, 0 for background; equal neighbours
            belong together, all others have an edge between them. The array's border is no edge.

    Returns:
        (rows, columns) float32: from a pixel's centre to the nearest centre across an edge, less
        half a pixel; very large where there is no edge.

    Source: Felzenszwalb, Huttenlocher, Distance Transforms of Sampled Functions, Theory of
    Computing 8, 2012 (lower envelope of parabolas), run on each stretch of equal pixels.
    """
    height, width = objects.shape
    across = _along_rows(objects)
    found = np.empty((height, width), dtype=np.float32)
    envelope = _Envelope(np.empty(height + 2), np.empty(height + 2), np.empty(height + 3))
    for j in range(width):
        start = 0
        while start < height:
            stop = start + 1
            while stop < height and objects[stop, j] == objects[start, j]:
                stop += 1
            _column(across, found, j, (start, stop), envelope)
            start = stop
    return found


@kernel
def _along_rows(objects: Labels) -> Floats:
    """Return the distance to the nearest other pixel of the row."""
    height, width = objects.shape
    across = np.empty((height, width), dtype=np.float64)
    for i in range(height):
        away = FAR
        for j in range(width):
            if j and objects[i, j] != objects[i, j - 1]:
                away = 0.0
            away += 1.0
            across[i, j] = min(away, FAR)
        away = FAR
        for j in range(width - 1, -1, -1):
            if j < width - 1 and objects[i, j] != objects[i, j + 1]:
                away = 0.0
            away += 1.0
            across[i, j] = min(across[i, j], away)
    return across


@kernel
def _column(
    across: Floats,
    found: NDArray[np.float32],
    j: int,
    stretch: tuple[int, int],
    envelope: _Envelope,
) -> None:
    """Fill in one stretch of equal pixels of a column: the lower envelope of its parabolas."""
    sites, tops, bounds = envelope
    (start, stop), height = stretch, across.shape[0]
    count = 0
    for i in range(start - 1, stop + 1):
        if i < 0 or i >= height:
            continue
        top = across[i, j] ** 2 if start <= i < stop else 0.0
        while count:
            last = sites[count - 1]
            meets = ((top + i * i) - (tops[count - 1] + last * last)) / (2.0 * (i - last))
            if meets > bounds[count - 1]:
                break
            count -= 1
        bounds[count] = meets if count else -np.inf
        sites[count], tops[count] = i, top
        count += 1
    bounds[count] = np.inf
    k = 0
    for i in range(start, stop):
        while bounds[k + 1] < i:
            k += 1
        found[i, j] = np.sqrt((i - sites[k]) ** 2 + tops[k]) - 0.5


@kernel
def contacts_of(objects: Labels, reach_px: int) -> NDArray[np.bool_]:
    """Return where two objects are near: both within the square of so many pixels to each side.

    Args:
        objects: (rows, columns), a number for each object, 0 for background.
        reach_px: from the pixel in the middle of the square.
    """
    height, width = objects.shape
    padded = np.zeros((height + 2 * reach_px, width + 2 * reach_px), dtype=np.int32)
    padded[reach_px : reach_px + height, reach_px : reach_px + width] = objects
    some = np.where(padded == 0, NONE, padded)
    low = np.full((len(padded), width), NONE, dtype=np.int32)  # lowest number along the row
    high = np.zeros((len(padded), width), dtype=np.int32)
    for i in range(len(padded)):
        for shift in range(2 * reach_px + 1):
            for j in range(width):
                low[i, j] = min(low[i, j], some[i, j + shift])
                high[i, j] = max(high[i, j], padded[i, j + shift])
    found = np.empty((height, width), dtype=np.bool_)
    lowest, highest = np.empty(width, dtype=np.int32), np.empty(width, dtype=np.int32)
    for i in range(height):
        lowest[:], highest[:] = NONE, 0
        for k in range(i, i + 2 * reach_px + 1):
            for j in range(width):
                lowest[j] = min(lowest[j], low[k, j])
                highest[j] = max(highest[j], high[k, j])
        for j in range(width):
            found[i, j] = lowest[j] < highest[j]
    return found
