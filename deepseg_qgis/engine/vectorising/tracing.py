"""Outlines of the components of a block, along the pixels' edges. No I/O.

An outline runs clockwise on the screen, its own pixels on the right; where two pixels of a
component meet at a corner alone it stays with the pixel that it is at. Each side of a pixel belongs
to the pixel's block, so the outlines of a larger region are those of its blocks, joined end to end.

Here an array is the block with ``halo`` pixels more on every side, flattened. Values are classes,
with the cell of the cutting lattice in the upper byte where the block touches the lattice, so that
neighbours in two cells differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import Flags, Ints, inlined, kernel
from deepseg_qgis.engine.vectorising.clearances import Surroundings, clearance_at, surroundings
from deepseg_qgis.engine.vectorising.headings import (
    CLASS_MASK,
    Heading,
    arrival,
    departure,
    offset,
    pixel_right_of,
    pixels_around,
    step,
)
from deepseg_qgis.engine.vectorising.labelling import Runs, component_at
from deepseg_qgis.engine.vectorising.vertices import (
    CLEARANCE_SHIFT,
    LATTICE,
    NODE,
    SEAM,
    TOUCH,
    packed,
)

EAST = int(Heading.EAST)  # as an argument, since numba compiles again for members of enums


class Frame(NamedTuple):
    """A block with its halo: the array's row length, the halo, the block's size, its place."""

    stride: int
    halo: int
    height: int
    width: int
    row: int
    column: int


class Fragments(NamedTuple):
    """Outlines: vertices of fragment i are ``vertices[offsets[i]:offsets[i + 1]]``.

    ``closed`` fragments are rings, whose first vertex is not repeated; open ones start and end on
    the block's border. ``components`` says whose they are.
    """

    vertices: Ints
    offsets: Ints
    components: NDArray[np.int32]
    closed: Flags


class _Area(NamedTuple):
    """What outlines are traced on; ``seen`` are the pixels whose upper side was walked along."""

    around: Surroundings
    frame: Frame
    seen: Flags


class _Side(NamedTuple):
    """A side of a pixel: the corner of the block where it starts, and its heading."""

    row: int
    column: int
    heading: int


@kernel
def traced(values: NDArray[np.generic], runs: Runs, frame: Frame, limit_px: int) -> Fragments:
    """Return the outlines of a block.

    Args:
        values: (n,), the block with its halo (at least ``limit_px`` and 1 pixel), flattened; uint8,
            or uint16 with cells in the upper byte.
        runs: of the block.
        frame: how the block lies in ``values`` and on the raster.
        limit_px: clearances are measured up to so many pixels; beyond `clearances.COUNTED` that
            takes 8 bytes for each pixel.
    """
    around = surroundings(values, frame.stride, limit_px, len(runs.starts) == 0)
    area = _Area(around, frame, np.zeros(frame.height * frame.width, dtype=np.bool_))
    found = Fragments(
        np.empty(4096, dtype=np.int64),
        np.zeros(1024, dtype=np.int64),
        np.empty(1024, dtype=np.int32),
        np.empty(1024, dtype=np.bool_),
    )
    found, count = _open_fragments(area, runs, found)
    found, count = _rings(area, runs, found, count)
    return Fragments(
        found.vertices[: found.offsets[count]].copy(),
        found.offsets[: count + 1].copy(),
        found.components[:count],
        found.closed[:count],
    )


@kernel
def _open_fragments(area: _Area, runs: Runs, found: Fragments) -> tuple[Fragments, int]:
    """Add the outlines that come into the block from outside; return all and their number."""
    frame, count = area.frame, 0
    for i in range(frame.height):
        edge = i == 0 or i == frame.height - 1
        stride = 1 if edge or frame.width == 1 else frame.width - 1
        for j in range(0, frame.width, stride):
            if area.around.values[(i + frame.halo) * frame.stride + j + frame.halo] == 0:
                continue
            for heading in range(4):
                starts, side = _starts_here(area, i, j, heading)
                if starts:
                    found = _with_fragment(area, found, count, side, False)
                    found.components[count] = component_at(runs, i, j)
                    count += 1
    return found, count


@kernel
def _rings(area: _Area, runs: Runs, found: Fragments, count: int) -> tuple[Fragments, int]:
    """Add the outlines that lie within the block as a whole; return all and their number."""
    frame, values = area.frame, area.around.values
    for i in range(frame.height):
        for k in range(runs.rows[i], runs.rows[i + 1]):
            here = (i + frame.halo) * frame.stride + frame.halo
            for j in range(runs.starts[k], runs.ends[k]):
                if values[here + j] == values[here + j - frame.stride]:
                    continue
                if area.seen[i * frame.width + j]:
                    continue
                found = _with_fragment(area, found, count, _Side(i, j, EAST), True)
                found.components[count] = runs.components[k]
                count += 1
    return found, count


@kernel
def _with_fragment(
    area: _Area, found: Fragments, count: int, start: _Side, closed: bool
) -> Fragments:
    """Return the fragments and the one that starts with a side, still without its component."""
    vertices, offsets, components, all_closed = found
    if count + 2 > len(offsets):
        offsets, components = _longer(offsets), _longer(components)
        all_closed = _longer(all_closed)
    n = offsets[count]
    if n + 2 > len(vertices):
        vertices = _longer(vertices)
    vertices, offsets[count + 1] = _walked(area, start, closed, vertices, n)
    all_closed[count] = closed
    return Fragments(vertices, offsets, components, all_closed)


@kernel
def _walked(area: _Area, start: _Side, closed: bool, out: Ints, n: int) -> tuple[Ints, int]:
    """Follow an outline from a side to where it ends; return the vertices and their number."""
    around, frame, seen = area
    first, limit = n, len(around.met) - 1
    y, x, heading = start
    corner = (y + frame.halo) * frame.stride + x + frame.halo
    clearance, first_clearance = limit, -1
    if not closed:
        out[n], clearance = _first_vertex(area, start)
        n += 1
    while True:
        if heading == Heading.EAST:
            seen[y * frame.width + x] = True
        corner += step(heading, frame.stride)
        dy, dx = offset(heading)
        y, x = y + dy, x + dx
        following, node, touch = arrival(around.values, corner, heading, frame.stride)
        clear = limit
        if limit > 1 and not node:
            clear = clearance_at(around, corner, following)
        clearance = min(clearance, clear)
        if n + 2 > len(out):
            out = _longer(out)
        if not closed and not _inside(y, x, following, frame):
            out[n - 1] |= clearance << CLEARANCE_SHIFT
            out[n] = packed(frame.row + y, frame.column + x, 0)
            return out, n + 1
        if following != heading or node:
            if n == first:
                first_clearance = clearance
            else:
                out[n - 1] |= clearance << CLEARANCE_SHIFT
            flags = (NODE if node else 0) | (TOUCH if touch else 0)
            out[n] = _vertex(area, _Side(y, x, following), flags)
            n += 1
            clearance = clear
        heading = following
        if closed and y == start.row and x == start.column and heading == start.heading:
            out[n - 1] |= min(clearance, first_clearance) << CLEARANCE_SHIFT
            return out, n


@kernel
def _first_vertex(area: _Area, start: _Side) -> tuple[int, int]:
    """Return the vertex at which an outline comes into the block, and its clearance."""
    around, frame, _ = area
    corner = (start.row + frame.halo) * frame.stride + start.column + frame.halo
    back, node = departure(around.values, corner, start.heading, frame.stride)
    limit = len(around.met) - 1
    clearance = limit
    if limit > 1 and not node:
        clearance = clearance_at(around, corner, start.heading)
    flags = NODE if node else (SEAM if back == start.heading else 0)
    return _vertex(area, start, flags), clearance


@inlined
def _vertex(area: _Area, side: _Side, flags: int) -> int:
    """Return the vertex at the corner from which a side leaves."""
    frame, values = area.frame, area.around.values
    corner = (side.row + frame.halo) * frame.stride + side.column + frame.halo
    own, left = pixels_around(side.heading, frame.stride)[2:]
    if values[corner + own] & CLASS_MASK == values[corner + left] & CLASS_MASK:
        flags |= LATTICE
    return packed(frame.row + side.row, frame.column + side.column, flags)


@inlined
def _inside(y: int, x: int, heading: int, frame: Frame) -> bool:
    """Return whether the side that starts at a corner with a heading is one of the block's."""
    i, j = pixel_right_of(y, x, heading)
    return 0 <= i < frame.height and 0 <= j < frame.width


@kernel
def _starts_here(area: _Area, i: int, j: int, heading: int) -> tuple[bool, _Side]:
    """Return whether an outline comes into the block with this side of a pixel, and the side."""
    frame, values = area.frame, area.around.values
    y = i + (heading >= Heading.WEST)
    x = j + (Heading.SOUTH <= heading <= Heading.WEST)
    corner = (y + frame.halo) * frame.stride + x + frame.halo
    own, left = pixels_around(heading, frame.stride)[2:]
    if values[corner + own] == values[corner + left]:
        return False, _Side(y, x, heading)
    back = departure(values, corner, heading, frame.stride)[0]
    dy, dx = offset(back)
    return not _inside(y - dy, x - dx, back, frame), _Side(y, x, heading)


@kernel
def _longer(buffer: NDArray[Any]) -> NDArray[Any]:
    """Return a longer array with the same beginning."""
    longer = np.empty(2 * len(buffer), dtype=buffer.dtype)
    longer[: len(buffer)] = buffer
    return longer
