"""Outlines with fewer vertices, alike on both sides of every border. No I/O.

Each *arc*, the stretch of an outline from one node to the next, is simplified for itself, by
D. H. Douglas and T. K. Peucker, Algorithms for the reduction of the number of points (The Canadian
Cartographer 10, 1973), its ends fixed, always from the end that comes first row by row: so the two
objects along it get the same line. A vertex may be left by less than the tolerance, and by less
than half of the way to the next outline (its clearance): lines cannot meet.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from deepseg_qgis.engine.vectorising.arcs import (
    ends_of_arcs,
    meets_itself,
    nearby,
    reduced,
    runs_forward,
    unpacked,
)
from deepseg_qgis.engine.vectorising.vertices import place


def reach(tolerance_px: float) -> int:
    """Return up to how many pixels clearances must be known for a tolerance."""
    return int(np.ceil(2.0 * tolerance_px))


@njit(cache=True, nogil=True)
def simplified(vertices, offsets, tolerance):
    """Return vertices and offsets of loops with fewer vertices; tolerance in pixels.

    Loops start at their topmost, leftmost vertex, before and after. An arc that would meet itself
    stays as it is.
    """
    near = nearby(tolerance)
    out = np.empty(len(vertices), dtype=np.int64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    n = 0
    for i in range(len(offsets) - 1):
        loop = vertices[offsets[i] : offsets[i + 1]]
        kept = _kept(loop, tolerance, near)
        start = n
        for k in range(len(loop)):
            if kept[k]:
                out[n] = loop[k]
                n += 1
        lowest = start
        for k in range(start, n):
            if place(out[k]) < place(out[lowest]):
                lowest = k
        if lowest > start:
            out[start:n] = np.roll(out[start:n].copy(), start - lowest)
        ends[i + 1] = n
    return out[:n].copy(), ends


@njit(cache=True, nogil=True)
def _kept(loop, tolerance, near):
    """Return which vertices of a loop stay."""
    size = len(loop)
    kept = ends_of_arcs(loop)
    first = np.argmax(kept)
    start = first
    while True:
        length = 1
        while not kept[(start + length) % size]:
            length += 1
        _arc(loop, start, length, tolerance, near, kept)
        start = (start + length) % size
        if start == first:
            return kept


@njit(cache=True, nogil=True)
def _arc(loop, start, length, tolerance, near, kept):
    """Choose the vertices that stay between a vertex and the one ``length`` edges further on."""
    if length < 2:
        return
    size = len(loop)
    forward = runs_forward(loop, start, length)
    xs, ys, free = unpacked(loop, start, length, forward, tolerance)
    stay = plain(xs, ys, free, near)
    for k in range(1, length):
        at = k if forward else length - k
        if stay[k]:
            kept[(start + at) % size] = True


@njit(cache=True, nogil=True)
def plain(xs, ys, free, near):
    """Return which vertices of an arc stay; all, where it would meet itself without the others."""
    stay = reduced(xs, ys, free)
    at = np.flatnonzero(stay)
    if meets_itself(xs[at], ys[at], at, near):
        stay[:] = True
    return stay
