"""The order of pixels and of saddles, each packed into one 64-bit number. No I/O.

::

    bit 62        55 54           28 27            1     0
    pixel   height (8) | row (27)    | column (27)
    saddle  height (8) | row (27)    | column (27) | side

Pixels are ordered by height, then row, then column. A saddle lies between two neighbouring pixels;
its height is the lower one's, its place the left or upper one's, its *side* 0 towards the right and
1 downwards. Higher saddles come first, of equal ones the first place: so the number holds what is
left from the place to the largest possible one, and a greater number comes first. Both orders
depend on nothing but heights and places on the raster, so they are the same for all blocks.
"""

from __future__ import annotations

from enum import IntEnum

from deepseg_qgis.engine.kernels import inlined

COLUMN_BITS = 27
PIXEL_HEIGHT_SHIFT = 54
SADDLE_HEIGHT_SHIFT = 55
LAST_PLACE = (1 << SADDLE_HEIGHT_SHIFT) - 1


class Side(IntEnum):
    """Where the other pixel of a saddle lies."""

    RIGHT = 0
    DOWN = 1


@inlined
def pixel_rank(height: int, row: int, column: int) -> int:
    """Return a number that grows with the order of pixels."""
    return (height << PIXEL_HEIGHT_SHIFT) | (row << COLUMN_BITS) | column


@inlined
def height_of(rank: int) -> int:
    """Return the height of the pixel that has this rank."""
    return rank >> PIXEL_HEIGHT_SHIFT


@inlined
def saddle_rank(height: int, row: int, column: int, side: int) -> int:
    """Return a number that is the greater the earlier a saddle comes."""
    place = (((row << COLUMN_BITS) | column) << 1) | side
    return (height << SADDLE_HEIGHT_SHIFT) | (LAST_PLACE - place)
