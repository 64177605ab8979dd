"""Few colours for many numbered objects, so that neighbours differ. No I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import Ints, kernel

MOST_COLOURS = 255


def coloured(pairs: Ints, count: int) -> NDArray[np.uint8] | None:
    """Return a colour from 1 for each of ``count`` objects; None where 255 are not enough.

    ``pairs`` (n, 2) are the numbers, from 0, of objects that touch. Each object takes the first
    colour that none of its neighbours has; that needs one more than the most neighbours that an
    object has before it.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(count + 1))
    colours = _first_free(starts, np.ascontiguousarray(both[:, 1]))
    return None if count and colours.min() == 0 else colours


@kernel
def _first_free(starts: Ints, neighbours: Ints) -> NDArray[np.uint8]:
    count = len(starts) - 1
    colours = np.zeros(count, dtype=np.uint8)
    taken = np.full(MOST_COLOURS + 1, -1, dtype=np.int64)
    for i in range(count):
        for k in range(starts[i], starts[i + 1]):
            taken[colours[neighbours[k]]] = i
        for colour in range(1, MOST_COLOURS + 1):
            if taken[colour] != i:
                colours[i] = colour
                break
    return colours
