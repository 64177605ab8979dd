"""Vertices of outlines, each packed into one 64-bit word. No I/O.

::

    bit 63        36 35       8 7      4  3     2     1       0
        row (27 bits) | column (28) | clearance | node | touch | lattice | seam

Rows and columns are pixel corners of the raster. *clearance*, in pixels, and *lattice* speak of the
edge that follows the vertex: how far it keeps from other outlines, and whether it is no outline at
all but a stretch of the cutting lattice inside of an object. A *node* is where three or more edges
meet; at a *touch* an outline may meet itself; a *seam* vertex lies in the middle of a straight edge
that a block's border cut, and falls away when the parts are joined.
"""

from __future__ import annotations

from deepseg_qgis.engine.kernels import inlined

CLEARANCE_SHIFT = 4
CLEARANCE_MASK = 0xF0
NODE, TOUCH, LATTICE, SEAM = 8, 4, 2, 1
COLUMN_SHIFT, ROW_SHIFT = 8, 36
COLUMN_MASK = (1 << 28) - 1
LONGEST_SIDE_PX = 1 << 27
"""Rasters may be this long; the widest possible GeoTIFF has as many."""


@inlined
def packed(row: int, column: int, flags: int) -> int:
    """Return the vertex at a corner, with no clearance yet."""
    return (row << ROW_SHIFT) | (column << COLUMN_SHIFT) | flags


@inlined
def corner_of(vertex: int) -> int:
    """Return a number that is equal for vertices at the same corner, ordered by row and column."""
    return vertex >> COLUMN_SHIFT


@inlined
def row_of(vertex: int) -> int:
    """Return the corner's row."""
    return vertex >> ROW_SHIFT


@inlined
def column_of(vertex: int) -> int:
    """Return the corner's column."""
    return (vertex >> COLUMN_SHIFT) & COLUMN_MASK


@inlined
def clearance_of(vertex: int) -> int:
    """Return the clearance of the edge after the vertex, in pixels."""
    return (vertex & CLEARANCE_MASK) >> CLEARANCE_SHIFT


@inlined
def with_clearance(vertex: int, clearance_px: int) -> int:
    """Return the vertex with the clearance of its edge set."""
    return (vertex & ~CLEARANCE_MASK) | (clearance_px << CLEARANCE_SHIFT)
