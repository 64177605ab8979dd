"""Finished objects as polygons in pixel coordinates, exact or simplified. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.kernels import Flags, Floats, Ints, kernel
from deepseg_qgis.engine.vectorising.components import Components
from deepseg_qgis.engine.vectorising.labelling import Measures
from deepseg_qgis.engine.vectorising.loops import Loops, joined, ragged, simple, without_lattice
from deepseg_qgis.engine.vectorising.outlines import Outlines
from deepseg_qgis.engine.vectorising.simplification import simplified
from deepseg_qgis.engine.vectorising.styling import styled
from deepseg_qgis.engine.vectorising.vertices import (
    COLUMN_MASK,
    COLUMN_SHIFT,
    ROW_SHIFT,
    column_of,
    row_of,
)
from deepseg_qgis.errors import DeepSegError

PixelAreas = Callable[[Floats], Floats]
"""The area of a pixel, in the unit of the smallest area, at each of (n, 2) pixel coordinates."""


@dataclass(frozen=True)
class PolygonOptions:
    """How outlines become polygons.

    ``simplify_px`` is how far a simplified outline may stray (0: exactly along the pixels' edges).
    Objects and holes smaller than ``min_area`` go: the number of an object's pixels, or of those
    inside a hole, times ``pixel_area`` at its first pixel. Whatever lies in such a hole is smaller
    still, so it goes too, and the object around takes its place. With ``keep_exact`` objects carry
    the outlines along the pixels' edges besides. ``outlines`` is one of
    `choices.OUTLINES`.
    """

    simplify_px: float = 0.0
    min_area: float = 0.0
    pixel_area: PixelAreas | None = None
    keep_exact: bool = False
    outlines: str = "plain"


def polygons(outlines: Outlines, objects: Measures, options: PolygonOptions) -> Components:
    """Return the objects' polygons, those that are large enough, in the order given.

    Raises:
        DeepSegError: an outline does not enclose exactly its object's pixels, which would be a
            fault of this package.
    """
    loops = _loops(outlines)
    enclosed = np.bincount(loops.owners, loops.areas, len(objects.sizes)).astype(np.int64)
    if not np.array_equal(enclosed, objects.sizes):
        raise DeepSegError(
            "The polygons' areas differ from the pixel counts. This is a fault of DeepSeg's: "
            "please report it with the raster and the model."
        )
    large, kept = _large_enough(loops, objects, options)
    sizes = np.bincount(loops.owners[kept], loops.areas[kept], len(objects.sizes)).astype(np.int64)
    starts = loops.vertices[loops.offsets[:-1]] >> COLUMN_SHIFT
    order = np.flatnonzero(kept)
    order = order[np.lexsort((starts[order], loops.areas[order] < 0, loops.owners[order]))]
    owners = loops.owners[order]
    vertices, offsets = ragged(loops.vertices, loops.offsets, order)
    firsts = np.append(np.flatnonzero(np.diff(owners, prepend=-1)), len(owners))
    shapes = _polygons((vertices, offsets), firsts, options.outlines, options.simplify_px)
    exact = None
    if options.keep_exact:
        along_edges = options.simplify_px <= 0.0 and options.outlines == "plain"
        exact = shapes if along_edges else _polygons((vertices, offsets), firsts, "plain", 0.0)
    return Components(
        shapes,
        objects.classes[large],
        sizes[large],
        objects.sums[large] / (255.0 * objects.sizes[large]),
        objects.first_rows[large],
        objects.first_columns[large],
        exact,
    )


def _loops(outlines: Outlines) -> Loops:
    vertices, offsets = outlines.vertices, outlines.offsets
    owners, closed = outlines.owners, outlines.closed
    if outlines.whole.any():
        in_cells = outlines.whole[owners]
        parted = without_lattice(*_subset(outlines, np.flatnonzero(in_cells)))
        others = _subset(outlines, np.flatnonzero(~in_cells))
        vertices = np.concatenate([others[0], parted[0]])
        offsets = np.concatenate([others[1], parted[1][1:] + others[1][-1]])
        owners = np.concatenate([others[2], parted[2]])
        closed = np.concatenate([others[3], parted[3]])
    return Loops(*simple(*joined(vertices, offsets, owners, closed)))


def _subset(outlines: Outlines, which: Ints) -> tuple[Ints, Ints, Ints, Flags]:
    vertices, offsets = ragged(outlines.vertices, outlines.offsets, which)
    return vertices, offsets, outlines.owners[which], outlines.closed[which]


def _large_enough(loops: Loops, objects: Measures, options: PolygonOptions) -> tuple[Flags, Flags]:
    """Return which objects and which loops stay."""
    if options.min_area <= 0.0:
        return np.ones(len(objects.sizes), dtype=bool), np.ones(len(loops.owners), dtype=bool)
    sizes = objects.sizes * _pixel_areas(options, objects.first_rows, objects.first_columns)
    large = sizes >= options.min_area
    starts = loops.vertices[loops.offsets[:-1]]
    rows, columns = starts >> ROW_SHIFT, (starts >> COLUMN_SHIFT) & COLUMN_MASK
    areas = -loops.areas * _pixel_areas(options, rows, columns)
    return large, large[loops.owners] & ((loops.areas > 0) | (areas >= options.min_area))


def _pixel_areas(options: PolygonOptions, rows: Ints, columns: Ints) -> Floats:
    if options.pixel_area is None:
        return np.ones(len(rows))
    return options.pixel_area(np.column_stack([columns + 0.5, rows + 0.5]))


def _polygons(
    loops: tuple[Ints, Ints],
    firsts: Ints,
    outlines: str,
    simplify_px: float,
) -> PolygonArrays:
    """Return polygons; ``firsts`` are the first loop of each, and the number of loops."""
    if outlines != "plain":
        return PolygonArrays(*styled(*loops, outlines, simplify_px), firsts)
    if simplify_px > 0.0:
        loops = simplified(*loops, simplify_px)
    coordinates, rings = _closed(*loops)
    return PolygonArrays(coordinates, rings, firsts)


@kernel
def _closed(vertices: Ints, offsets: Ints) -> tuple[Floats, Ints]:
    """Return coordinates (n, 2) of loops whose first vertex is repeated, and their offsets."""
    count = len(offsets) - 1
    out = np.empty((len(vertices) + count, 2), dtype=np.float64)
    ends = np.empty(count + 1, dtype=np.int64)
    ends[0] = 0
    n = 0
    for i in range(count):
        for k in range(offsets[i], offsets[i + 1] + 1):
            vertex = vertices[k if k < offsets[i + 1] else offsets[i]]
            out[n, 0], out[n, 1] = column_of(vertex), row_of(vertex)
            n += 1
        ends[i + 1] = n
    return out, ends
