"""Flips and right-angle turns: the eight ways to lay down a square. No I/O."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

TURNS = 8

Element = TypeVar("Element", bound=np.generic)


def turned(array: NDArray[Element], turn: int) -> NDArray[Element]:
    """Return the last two axes (rows, columns; a square) flipped and turned in way 0 to 7.

    Ways 0 to 3 are quarter turns; 4 to 7 the same after a left-right flip. Image and mask that
    are given the same ``turn`` stay over each other.
    """
    flipped = array[..., ::-1] if turn >= 4 else array
    return np.rot90(flipped, turn % 4, axes=(-2, -1))
