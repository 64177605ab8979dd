"""Steps along the sides of pixels, and what is met at their ends. No I/O.

Pixels lie in a flat array whose row length is ``stride``; a corner is named by the index of the
pixel below and right of it. An outline has its own pixels on the right.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import inlined

CLASS_MASK = 0xFF
"""The part of a pixel's value that is its class; the cell of the cutting lattice stands above."""


class Heading(IntEnum):
    """Where a side of a pixel leads; each is the one before, turned right."""

    EAST = 0
    SOUTH = 1
    WEST = 2
    NORTH = 3


@inlined
def right_of(heading: int) -> int:
    """Return the heading after a turn to the right."""
    return (heading + 1) & 3


@inlined
def left_of(heading: int) -> int:
    """Return the heading after a turn to the left."""
    return (heading + 3) & 3


@inlined
def step(heading: int, stride: int) -> int:
    """Return how far the next corner is in the flat array."""
    if heading == Heading.EAST:
        return 1
    if heading == Heading.SOUTH:
        return stride
    if heading == Heading.WEST:
        return -1
    return -stride


@inlined
def offset(heading: int) -> tuple[int, int]:
    """Return rows and columns to the next corner."""
    if heading == Heading.EAST:
        return 0, 1
    if heading == Heading.SOUTH:
        return 1, 0
    if heading == Heading.WEST:
        return 0, -1
    return -1, 0


@inlined
def pixel_right_of(row: int, column: int, heading: int) -> tuple[int, int]:
    """Return the pixel whose side starts at a corner with a heading."""
    if heading == Heading.EAST:
        return row, column
    if heading == Heading.SOUTH:
        return row, column - 1
    if heading == Heading.WEST:
        return row - 1, column - 1
    return row - 1, column


@inlined
def pixels_around(heading: int, stride: int) -> tuple[int, int, int, int]:
    """Return where the pixels around a corner are: behind right and left, ahead right and left."""
    if heading == Heading.EAST:
        return -1, -stride - 1, 0, -stride
    if heading == Heading.SOUTH:
        return -stride - 1, -stride, -1, 0
    if heading == Heading.WEST:
        return -stride, 0, -stride - 1, -1
    return 0, -1, -stride, -stride - 1


@inlined
def arrival(
    values: NDArray[np.generic], corner: int, heading: int, stride: int
) -> tuple[int, bool, bool]:
    """Return the next heading at the end of an edge, whether it is a node, and may be a touch."""
    behind_right, behind_left, ahead_right, ahead_left = pixels_around(heading, stride)
    own, left = values[corner + behind_right], values[corner + behind_left]
    right, across = values[corner + ahead_right], values[corner + ahead_left]
    if right != own:
        node = right != across or left != across
        return right_of(heading), node, across & CLASS_MASK == own & CLASS_MASK
    if across != own:
        return heading, left != across, False
    return left_of(heading), False, False


@inlined
def departure(
    values: NDArray[np.generic], corner: int, heading: int, stride: int
) -> tuple[int, bool]:
    """Return the heading of the edge that arrives where one starts, and whether that is a node."""
    behind_right, behind_left, ahead_right, ahead_left = pixels_around(heading, stride)
    own, left = values[corner + ahead_right], values[corner + ahead_left]
    right, across = values[corner + behind_right], values[corner + behind_left]
    if right != own:
        return left_of(heading), right != across or left != across
    if across != own:
        return heading, left != across
    return right_of(heading), False
