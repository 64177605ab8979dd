"""Outlines with fewer vertices, alike on both sides of every border. No I/O.

Each *arc*, the stretch of an outline from one node to the next, is simplified for itself, by
D. H. Douglas and T. K. Peucker, Algorithms for the reduction of the number of points (The Canadian
Cartographer 10, 1973), its ends fixed, always from the end that comes first row by row: so the two
objects along it get the same line. A vertex may be left by less than the tolerance, and by less
than half of the way to the next outline (its clearance): lines cannot meet.
"""

from __future__ import annotations

import numpy as np

from deepseg_qgis.engine.kernels import Flags, Ints, kernel
from deepseg_qgis.engine.vectorising.arcs import (
    Arc,
    Path,
    arc_from,
    edges_nearby,
    ends_of_arcs,
    meets_itself,
    path_of,
    reduced,
)
from deepseg_qgis.engine.vectorising.vertices import corner_of


def clearance_needed_px(tolerance_px: float) -> int:
    """Return up to how many pixels clearances must be known for a tolerance."""
    return int(np.ceil(2.0 * tolerance_px))


@kernel
def simplified(vertices: Ints, offsets: Ints, tolerance_px: float) -> tuple[Ints, Ints]:
    """Return vertices and offsets of loops with fewer vertices.

    Loops start at their topmost, leftmost vertex, before and after. An arc that would meet itself
    stays as it is.
    """
    out = np.empty(len(vertices), dtype=np.int64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    n = 0
    for i in range(len(offsets) - 1):
        loop = vertices[offsets[i] : offsets[i + 1]]
        kept = _kept(loop, tolerance_px)
        start = n
        for k in range(len(loop)):
            if kept[k]:
                out[n] = loop[k]
                n += 1
        first = start
        for k in range(start, n):
            if corner_of(out[k]) < corner_of(out[first]):
                first = k
        if first > start:
            out[start:n] = np.roll(out[start:n].copy(), start - first)
        ends[i + 1] = n
    return out[:n].copy(), ends


@kernel
def _kept(loop: Ints, tolerance_px: float) -> Flags:
    """Return which vertices of a loop stay."""
    kept = ends_of_arcs(loop)
    first = int(np.argmax(kept))
    start = first
    while True:
        arc = arc_from(loop, kept, start)
        if arc.length > 1:
            _keep(loop, arc, tolerance_px, kept)
        start = (start + arc.length) % len(loop)
        if start == first:
            return kept


@kernel
def _keep(loop: Ints, arc: Arc, tolerance_px: float, kept: Flags) -> None:
    """Mark the vertices that stay within an arc."""
    stay = kept_vertices(path_of(loop, arc, tolerance_px), tolerance_px)
    for k in range(1, arc.length):
        at = k if arc.forward else arc.length - k
        if stay[k]:
            kept[(arc.start + at) % len(loop)] = True


@kernel
def kept_vertices(path: Path, tolerance_px: float) -> Flags:
    """Return which vertices of an arc stay; all, where it would meet itself without the others."""
    stay = reduced(path.xs, path.ys, path.free)
    at = np.flatnonzero(stay)
    if meets_itself(path.xs[at], path.ys[at], at, edges_nearby(tolerance_px)):
        stay[:] = True
    return stay
