"""Class maps in, block by block; finished objects out, exact whatever the blocks."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.kernels import Flags, Ints
from deepseg_qgis.engine.vectorising.blocks import Block, Blocks, Pixels, cells_of, with_cells
from deepseg_qgis.engine.vectorising.components import Components, joined_components
from deepseg_qgis.engine.vectorising.frontier import CellComponent, Frontier, new_components
from deepseg_qgis.engine.vectorising.labelling import labelled
from deepseg_qgis.engine.vectorising.loops import ragged
from deepseg_qgis.engine.vectorising.objects import PolygonOptions, polygons
from deepseg_qgis.engine.vectorising.outlines import inner_objects, with_finished
from deepseg_qgis.engine.vectorising.sides import sides_of
from deepseg_qgis.engine.vectorising.spool import MOST_BYTES, Chunk, Spool
from deepseg_qgis.engine.vectorising.styling import clearance_limit_px
from deepseg_qgis.engine.vectorising.tracing import Fragments, Frame, traced
from deepseg_qgis.engine.vectorising.vertices import LATTICE, LONGEST_SIDE_PX, SEAM
from deepseg_qgis.errors import DeepSegError, RasterError


@dataclass(frozen=True)
class Limits:
    """When an object is cut: into cells of the lattice, beyond so many vertices.

    ``spool_bytes`` is what unfinished outlines may hold in memory.
    """

    cell_px: int = 8192
    most_vertices: int = 1_000_000
    spool_bytes: int = MOST_BYTES


class Vectoriser(AbstractContextManager["Vectoriser"]):
    """Finds the objects of a region, whose cores come row by row of a complete grid.

    A context manager, since much that waits may lie in a temporary file. Not safe to use from
    several threads at once; its heavy parts let other threads run.

    Memory: about 30 bytes for each pixel of a core (38 where outlines move by 2 px or more), and 8
    for each vertex of unfinished objects, up to a bound.

    Raises:
        RasterError: the region is longer or wider than 134 million pixels.
    """

    def __init__(
        self, region: Window, options: PolygonOptions, limits: Limits | None = None
    ) -> None:
        if max(region.row_end, region.column_end) >= LONGEST_SIDE_PX:
            raise RasterError(
                f"The raster is {region.row_end:,} × {region.column_end:,} pixels; up to "
                f"{LONGEST_SIDE_PX:,} to a side can be predicted. Cut it in two."
            )
        self._limits = limits or Limits()
        self._options = options
        self._clearance_px = clearance_limit_px(options.outlines, options.simplify_px)
        self._region = region
        self._blocks = Blocks(region, max(1, self._clearance_px))
        self._frontier = Frontier(region, self._limits.most_vertices)
        self._spool = Spool(self._limits.spool_bytes)
        # of each class, less those of finished objects
        self._pixels = np.zeros(256, dtype=np.int64)

    @property
    def cut_objects(self) -> int:
        """How many objects were so large that they were cut along the lattice."""
        return self._frontier.cut_objects

    def check_complete(self) -> None:
        """Check, after the last core, that every pixel of every class is in an object.

        Raises:
            DeepSegError: it is not, which would be a fault of this package.
        """
        if self._pixels.any():
            raise DeepSegError(
                "Some of the pixels found are in no polygon. This is a fault of DeepSeg's: please "
                "report it with the raster and the model."
            )

    @property
    def held_bytes(self) -> int:
        """What the outlines of unfinished objects take in memory."""
        return self._spool.held_bytes

    @property
    def spilled_bytes(self) -> int:
        """How much was moved into a temporary file, so far."""
        return self._spool.spilled_bytes

    def add(
        self,
        core: Window,
        classes: Pixels | None,
        probabilities: Pixels | None,
    ) -> Components:
        """Take the next core; return the objects that are complete now.

        Args:
            core: the next of the grid, row by row.
            classes: (rows, columns), 0 for background; None where all is.
            probabilities: (rows, columns), of each pixel's class, in 1/255.
        """
        block = self._blocks.block(core, classes, probabilities)
        parts = cells_of(block, self._limits.cell_px)
        return joined_components([self._taken(part) for part in parts])

    def __exit__(self, *_error: object) -> None:
        self._spool.close()

    def _taken(self, block: Block) -> Components:
        """Return what a block that lies in one cell completes."""
        window, halo = block.window, block.halo
        values = with_cells(block, self._limits.cell_px)
        frame = Frame(values.shape[1], halo, window.height, window.width, window.row, window.column)
        classes = np.ascontiguousarray(block.classes[halo:-halo, halo:-halo])
        runs, measures = labelled(classes, np.ascontiguousarray(block.probabilities))
        sides = sides_of(block, runs, self._limits.cell_px)
        fragments = traced(values.ravel(), runs, frame, self._clearance_px)
        border = self._frontier.border(window, sides, len(measures.classes))
        components = new_components(measures, np.flatnonzero(border), window)
        self._keep(fragments, border, components)
        finished = self._frontier.take(window, sides, components)
        inner = inner_objects(fragments, measures, ~border, window)
        outlines, objects = with_finished(*inner, finished)
        self._count(measures.classes, measures.sizes, 1)
        self._count(objects.classes, objects.sizes, -1)
        return polygons(outlines, objects, self._options)

    def _count(self, classes: Pixels, sizes: Ints, sign: int) -> None:
        self._pixels += sign * np.bincount(classes, sizes, 256).astype(np.int64)

    def _keep(
        self, fragments: Fragments, border: Flags, components: dict[int, CellComponent]
    ) -> None:
        """Give components on the border their parts of the outlines."""
        which = np.flatnonzero(border[fragments.components])
        which = which[np.argsort(fragments.components[which], kind="stable")]
        lengths = np.diff(fragments.offsets)[which]
        vertices, offsets = ragged(fragments.vertices, fragments.offsets, which)
        signed = np.where(fragments.closed[which], lengths, -lengths).astype(np.int32)
        owners = fragments.components[which]
        bounds = np.append(np.flatnonzero(np.diff(owners, prepend=-1)), len(owners)).tolist()
        for start, stop in itertools.pairwise(bounds):
            component = components[int(owners[start])]
            mine = vertices[offsets[start] : offsets[stop]].copy()
            signs = signed[start:stop].copy()
            component.vertices = int(((mine & (SEAM | LATTICE)) == 0).sum() - (signs < 0).sum())
            component.chunks.append(Chunk(mine, signs, self._spool))


def components(classes: Pixels, probabilities: Pixels, region: Window) -> Components:
    """Return the objects of a class map that is at hand as a whole, exact, by first pixel.

    Args:
        classes: (rows, columns), 0 for background.
        probabilities: (rows, columns), of each pixel's class, in 1/255.
        region: where the map lies on the raster.
    """
    with Vectoriser(region, PolygonOptions()) as vectoriser:
        found = vectoriser.add(region, classes, probabilities)
        vectoriser.check_complete()
    return found.chosen(np.lexsort((found.first_columns, found.first_rows)))
