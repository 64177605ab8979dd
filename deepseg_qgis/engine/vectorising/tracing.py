"""Outlines of the pieces of a block, along the pixels' edges. No I/O.

An outline runs clockwise on the screen, its own pixels on the right; where two pixels of a piece
meet at a corner alone it stays with the pixel that it is at. Each side of a pixel belongs to the
pixel's block, so the outlines of a larger region are those of its blocks, joined end to end.

Here an array is the block with ``halo`` pixels more on every side, flattened; ``stride`` is its
row length. Values are classes, with the cell of the cutting lattice in the upper byte where the
block touches the lattice, so that neighbours in two cells differ. A corner is named by the index of
the pixel below and right of it. Headings are 0 east, 1 south, 2 west, 3 north.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from deepseg_qgis.engine.vectorising.labelling import Runs, piece_at
from deepseg_qgis.engine.vectorising.vertices import (
    CLEARANCE_SHIFT,
    COLUMN_SHIFT,
    LATTICE,
    NODE,
    ROW_SHIFT,
    SEAM,
    TOUCH,
)

CLASS = 0xFF
COUNTED = 3
"""Up to so many pixels around, edges are counted; beyond, summing all of them up is faster."""
EAST, SOUTH, WEST, NORTH = 0, 1, 2, 3


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
    the block's border. ``pieces`` says whose they are.
    """

    vertices: NDArray[np.int64]
    offsets: NDArray[np.int64]
    pieces: NDArray[np.int32]
    closed: NDArray[np.bool_]


@njit(cache=True, nogil=True, inline="always")
def _step(heading, stride):
    """Return how far the next corner is."""
    if heading == EAST:
        return 1
    if heading == SOUTH:
        return stride
    if heading == WEST:
        return -1
    return -stride


@njit(cache=True, nogil=True, inline="always")
def _around(heading, stride):
    """Return where the pixels around a corner are: behind right and left, ahead right and left."""
    if heading == EAST:
        return -1, -stride - 1, 0, -stride
    if heading == SOUTH:
        return -stride - 1, -stride, -1, 0
    if heading == WEST:
        return -stride, 0, -stride - 1, -1
    return 0, -1, -stride, -stride - 1


@njit(cache=True, nogil=True, inline="always")
def _arrival(values, corner, heading, stride):
    """Return the next heading at the end of an edge, whether it is a node, and may be a touch."""
    p, q, a, b = _around(heading, stride)
    own, left = values[corner + p], values[corner + q]
    right, across = values[corner + a], values[corner + b]
    if right != own:
        node = right != across or left != across
        return (heading + 1) & 3, node, across & CLASS == own & CLASS
    if across != own:
        return heading, left != across, False
    return (heading + 3) & 3, False, False


@njit(cache=True, nogil=True, inline="always")
def _departure(values, corner, heading, stride):
    """Return the heading of the edge that arrives where one starts, and whether that is a node."""
    p, q, a, b = _around(heading, stride)
    own, left = values[corner + a], values[corner + b]
    right, across = values[corner + p], values[corner + q]
    if right != own:
        return (heading + 3) & 3, right != across or left != across
    if across != own:
        return heading, left != across
    return (heading + 1) & 3, False


@njit(cache=True, nogil=True)
def _ring_of_edges(values, corner, k, stride):
    """Return how many edges lie within k pixels around a corner, but not all within k - 1."""
    count = 0
    top, bottom = corner - k * stride, corner + (k - 1) * stride
    for j in range(-k, k - 1):
        count += values[top + j] != values[top + j + 1]
        count += values[bottom + j] != values[bottom + j + 1]
    for j in range(-k + 1, k - 1):
        count += values[top + j] != values[top + j + stride]
        count += values[bottom + j] != values[bottom + j - stride]
    left, right = corner - k, corner + k - 1
    for i in range(-k, k - 1):
        count += values[left + i * stride] != values[left + (i + 1) * stride]
        count += values[right + i * stride] != values[right + (i + 1) * stride]
    for i in range(-k + 1, k - 1):
        count += values[left + i * stride] != values[left + i * stride + 1]
        count += values[right + i * stride] != values[right + i * stride - 1]
    return count


@njit(cache=True, nogil=True)
def _sums_of_edges(values, stride):
    """Return (2, rows + 1, stride + 1): how many pixels above and left of a corner have an edge.

    On their left side first, then on their upper side.
    """
    rows = len(values) // stride
    sums = np.zeros((2, rows + 1, stride + 1), dtype=np.int32)
    for i in range(rows):
        left = above = 0
        for j in range(stride):
            at = i * stride + j
            left += j > 0 and values[at] != values[at - 1]
            above += i > 0 and values[at] != values[at - stride]
            sums[0, i + 1, j + 1] = sums[0, i, j + 1] + left
            sums[1, i + 1, j + 1] = sums[1, i, j + 1] + above
    return sums


@njit(cache=True, nogil=True, inline="always")
def _edges_within(sums, y, x, k):
    """Return how many edges lie within k pixels around a corner."""
    top, bottom, left, right = y - k, y + k, x - k, x + k
    return (
        sums[0, bottom, right]
        - sums[0, top, right]
        - sums[0, bottom, left + 1]
        + sums[0, top, left + 1]
        + sums[1, bottom, right]
        - sums[1, top + 1, right]
        - sums[1, bottom, left]
        + sums[1, top + 1, left]
    )


@njit(cache=True, nogil=True)
def _clearance(values, corner, heading, stride, sums, met):
    """Return how far, in pixels, nothing but this very stretch of outline is around a corner.

    The square of k pixels to each side around the corner (no node) holds one path alone if all of
    its edges are met, and no node, on the way through the corner in both directions, as far as it
    stays within the largest square, of ``len(met) - 1`` pixels. From the other side of the outline
    the answer is the same. ``met`` is room for counts; without ``sums`` edges are counted.
    """
    most = len(met) - 1
    met[:] = 0
    back = _departure(values, corner, heading, stride)[0]
    ahead, behind = corner + _step(heading, stride), corner - _step(back, stride)
    y, x = _offset(heading)
    at, node_at = 1, most
    while at < most and ahead != behind:
        heading, node, _ = _arrival(values, ahead, heading, stride)
        if node:
            node_at = at
            break
        ahead += _step(heading, stride)
        dy, dx = _offset(heading)
        y, x, before = y + dy, x + dx, at
        at = max(abs(y), abs(x))
        met[min(at, before) + 1] += 1
    if ahead != behind:
        y, x = _offset(back)
        at = 1
        while at < most:
            back, node = _departure(values, behind, back, stride)
            if node:
                node_at = min(node_at, at)
                break
            behind -= _step(back, stride)
            dy, dx = _offset(back)
            y, x, before = y + dy, x + dx, at
            at = max(abs(y), abs(x))
            met[min(at, before) + 1] += 1
    row, column = corner // stride, corner % stride
    known = sums.shape[1] > 0
    if known and node_at == most and _edges_within(sums, row, column, most) == 2 + met.sum():
        return most  # as along most outlines
    edges = total = 2  # within one pixel of a corner that is no node
    for k in range(2, most + 1):
        if known:
            edges = _edges_within(sums, row, column, k)
        else:
            edges += _ring_of_edges(values, corner, k, stride)
        total += met[k]
        if total != edges or node_at < k:
            return k - 1
    return most


@njit(cache=True, nogil=True, inline="always")
def _offset(heading):
    """Return rows and columns to the next corner."""
    if heading == EAST:
        return 0, 1
    if heading == SOUTH:
        return 1, 0
    if heading == WEST:
        return 0, -1
    return -1, 0


@njit(cache=True, nogil=True, inline="always")
def _owner(y, x, heading):
    """Return the pixel whose side starts at a corner with a heading."""
    if heading == EAST:
        return y, x
    if heading == SOUTH:
        return y, x - 1
    if heading == WEST:
        return y - 1, x - 1
    return y - 1, x


@njit(cache=True, nogil=True, inline="always")
def _inside(y, x, heading, frame):
    """Return whether the side that starts at a corner with a heading is one of the block's."""
    i, j = _owner(y, x, heading)
    return 0 <= i < frame.height and 0 <= j < frame.width


@njit(cache=True, nogil=True, inline="always")
def _word(values, corner, y, x, heading, flags, frame):
    """Return the vertex at a corner from which an edge leaves."""
    own, left = _around(heading, frame.stride)[2:]
    if values[corner + own] & CLASS == values[corner + left] & CLASS:
        flags |= LATTICE
    place = ((frame.row + y) << ROW_SHIFT) | ((frame.column + x) << COLUMN_SHIFT)
    return np.int64(place | flags)


@njit(cache=True, nogil=True)
def _more(buffer):
    """Return a longer array with the same beginning."""
    longer = np.empty(2 * len(buffer), dtype=buffer.dtype)
    longer[: len(buffer)] = buffer
    return longer


@njit(cache=True, nogil=True)
def _walk(values, seen, y, x, heading, sums, met, frame, out, n, closed):
    """Follow an outline from a corner to where it ends; return the vertices and their number."""
    first, y0, x0, heading0 = n, y, x, heading
    corner = (y + frame.halo) * frame.stride + x + frame.halo
    most = len(met) - 1
    run = most
    first_run = -1
    if not closed:
        back, node = _departure(values, corner, heading, frame.stride)
        flags = NODE if node else (SEAM if back == heading else 0)
        if most > 1 and not node:
            run = _clearance(values, corner, heading, frame.stride, sums, met)
        out[n] = _word(values, corner, y, x, heading, flags, frame)
        n += 1
    while True:
        if heading == EAST:
            seen[y * frame.width + x] = True
        corner += _step(heading, frame.stride)
        dy, dx = _offset(heading)
        y, x = y + dy, x + dx
        following, node, touch = _arrival(values, corner, heading, frame.stride)
        clear = most
        if most > 1 and not node:
            clear = _clearance(values, corner, following, frame.stride, sums, met)
        run = min(run, clear)
        if n + 2 > len(out):
            out = _more(out)
        if not closed and not _inside(y, x, following, frame):
            out[n - 1] |= run << CLEARANCE_SHIFT
            place = ((frame.row + y) << ROW_SHIFT) | ((frame.column + x) << COLUMN_SHIFT)
            out[n] = place
            return out, n + 1
        if following != heading or node:
            if n == first:
                first_run = run
            else:
                out[n - 1] |= run << CLEARANCE_SHIFT
            flags = (NODE if node else 0) | (TOUCH if touch else 0)
            out[n] = _word(values, corner, y, x, following, flags, frame)
            n += 1
            run = clear
        heading = following
        if closed and y == y0 and x == x0 and heading == heading0:
            out[n - 1] |= min(run, first_run) << CLEARANCE_SHIFT
            return out, n


@njit(cache=True, nogil=True)
def _starts_here(values, i, j, heading, frame):
    """Return whether an outline comes into the block with this side of a pixel, and the corner."""
    y = i + (heading >= WEST)
    x = j + (SOUTH <= heading <= WEST)
    corner = (y + frame.halo) * frame.stride + x + frame.halo
    own, left = _around(heading, frame.stride)[2:]
    if values[corner + own] == values[corner + left]:
        return False, y, x
    back = _departure(values, corner, heading, frame.stride)[0]
    dy, dx = _offset(back)
    return not _inside(y - dy, x - dx, back, frame), y, x


@njit(cache=True, nogil=True)
def traced(values: NDArray[np.generic], runs: Runs, frame: Frame, most: int) -> Fragments:
    """Return the outlines of a block.

    Args:
        values: (n,), the block with its halo (at least ``most`` and 1 pixel), flattened; uint8, or
            uint16 with cells in the upper byte.
        runs: of the block.
        frame: how the block lies in ``values`` and on the raster.
        most: clearances are measured up to so many pixels; beyond `COUNTED` that takes 8 bytes for
            each pixel.
    """
    seen = np.zeros(frame.height * frame.width, dtype=np.bool_)
    vertices = np.empty(4096, dtype=np.int64)
    offsets = np.zeros(1024, dtype=np.int64)
    owners = np.empty(1024, dtype=np.int32)
    closed = np.empty(1024, dtype=np.bool_)
    n = count = 0
    met = np.empty(most + 1, dtype=np.int64)
    sums = np.empty((2, 0, 0), dtype=np.int32)
    if most > COUNTED and len(runs.starts) > 0:
        sums = _sums_of_edges(values, frame.stride)
    for i in range(frame.height):
        edge = i == 0 or i == frame.height - 1
        step = 1 if edge or frame.width == 1 else frame.width - 1
        for j in range(0, frame.width, step):
            if values[(i + frame.halo) * frame.stride + j + frame.halo] == 0:
                continue
            for heading in range(4):
                starts, y, x = _starts_here(values, i, j, heading, frame)
                if not starts:
                    continue
                if count + 2 > len(offsets):
                    offsets, owners, closed = _more(offsets), _more(owners), _more(closed)
                if n + 2 > len(vertices):
                    vertices = _more(vertices)
                owners[count], closed[count] = piece_at(runs, i, j), False
                vertices, n = _walk(
                    values, seen, y, x, heading, sums, met, frame, vertices, n, False
                )
                count += 1
                offsets[count] = n
    for i in range(frame.height):
        for k in range(runs.rows[i], runs.rows[i + 1]):
            here = (i + frame.halo) * frame.stride + frame.halo
            for j in range(runs.starts[k], runs.ends[k]):
                if values[here + j] == values[here + j - frame.stride]:
                    continue
                if seen[i * frame.width + j]:
                    continue
                if count + 2 > len(offsets):
                    offsets, owners, closed = _more(offsets), _more(owners), _more(closed)
                owners[count], closed[count] = runs.pieces[k], True
                vertices, n = _walk(values, seen, i, j, EAST, sums, met, frame, vertices, n, True)
                count += 1
                offsets[count] = n
    return Fragments(
        vertices[:n].copy(), offsets[: count + 1].copy(), owners[:count], closed[:count]
    )
