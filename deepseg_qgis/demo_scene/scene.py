"""A square of the world: its grid, its areas, its blocks, its pixels and its annotations. No I/O.

Memory: the blocks of three rows of the lattice, about 20 KB for each block.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from deepseg_qgis.bounds import SCENE_SIZE_PX, SEED
from deepseg_qgis.demo_scene.block import Block, make_block
from deepseg_qgis.demo_scene.lattice import (
    FIRST_HORIZONTAL_PX,
    FIRST_VERTICAL_PX,
    PITCH_PX,
    SWERVE_PX,
    Lattice,
)
from deepseg_qgis.demo_scene.layers import CATEGORIES, Layer
from deepseg_qgis.demo_scene.painter import Painter, polygon_numbers
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import ParameterError

RESOLUTION_M = 0.25
CRS_CODE = 32633
WEST_M, NORTH_M = 460_000.0, 5_430_000.0
TRAINING_SHARE = 0.75
GAP_PX = 32
"""Between the training and the test area."""
REACH_PX = 48
"""No line, with its own width, leaves its place by more than 2 × SWERVE_PX and this."""


class Scene:
    """An aerial picture of ``size_px`` × ``size_px`` pixels, and what it shows.

    Raises:
        ParameterError: the size or the seed cannot be used.
    """

    def __init__(self, size_px: int, seed: int, touching: bool) -> None:
        if size_px not in SCENE_SIZE_PX:
            raise ParameterError(
                f"The size of the scene must be from {SCENE_SIZE_PX.least} to "
                f"{SCENE_SIZE_PX.most:,} px; got {size_px:,} px. Choose a size in between."
            )
        if seed < SEED.least:
            raise ParameterError(f"The seed must be 0 or more; got {seed}. Choose another number.")
        self._seed, self._touching = seed, touching
        self._lattice = Lattice(seed)
        self._blocks: dict[tuple[int, int], Block] = {}
        transform = Affine(RESOLUTION_M, 0.0, WEST_M, 0.0, -RESOLUTION_M, NORTH_M)
        self.grid = Grid(size_px, size_px, transform, pyproj.CRS.from_epsg(CRS_CODE))

    @functools.cached_property
    def _painter(self) -> Painter:
        return Painter(self._lattice, self._seed)

    @property
    def areas(self) -> tuple[Window, Window]:
        """The training and the test area: about the western three quarters, and the eastern one."""
        size = self.grid.width
        end = round(TRAINING_SHARE * size) - GAP_PX // 2
        test = end + GAP_PX
        return Window(0, 0, size, end), Window(0, test, size, size - test)

    def rows(self, window: Window) -> range:
        """Return the rows of blocks that may show in a window."""
        return _numbers(window.row, window.row_end, FIRST_HORIZONTAL_PX)

    def columns(self, window: Window) -> range:
        """Return the columns of blocks that may show in a window."""
        return _numbers(window.column, window.column_end, FIRST_VERTICAL_PX)

    def pixels(self, window: Window) -> NDArray[np.uint8]:
        """Return red, green and blue of a window, shape (3, rows, columns)."""
        return self._painter.paint(window, self._around(window))

    def categories(self, window: Window) -> NDArray[np.uint8]:
        """Return what each pixel shows: 0, or 1 + the index in CATEGORIES; (rows, columns)."""
        blocks = self._around(window)
        layers = [Layer.joined([block.layers[name] for block in blocks]) for name in CATEGORIES]
        polygons = np.concatenate([layer.polygons for layer in layers])
        numbers = np.repeat(np.arange(1, len(layers) + 1), [len(layer) for layer in layers])
        table = np.concatenate([[0], numbers]).astype(np.uint8)
        return np.asarray(table[polygon_numbers(polygons, window)])

    def annotations(self, row: int) -> tuple[Geometries, list[str]]:
        """Return polygons (pixel coordinates) and categories of one row of blocks."""
        polygons, categories = [], []
        for column in self.columns(self.grid.window):
            layers = self.block(column, row).layers
            for name in CATEGORIES:
                polygons.append(layers[name].polygons)
                categories += [name] * len(layers[name])
        return np.concatenate(polygons), categories

    def block(self, column: int, row: int) -> Block:
        """Return a block, cut at the scene's edge."""
        place = (column, row)
        if place not in self._blocks:
            block = make_block(self._lattice, self._seed, self._touching, place)
            layers = dict(block.layers)
            for name in CATEGORIES:
                layers[name] = layers[name].clipped(self.grid.window)
            self._blocks[place] = replace(block, layers=layers)
        return self._blocks[place]

    def forget(self, row: int) -> None:
        """Let go of the blocks above a row; they are made again if they are asked for."""
        self._blocks = {place: block for place, block in self._blocks.items() if place[1] >= row}

    def _around(self, window: Window) -> list[Block]:
        """Return all blocks that may show in a window."""
        return [self.block(i, j) for j in self.rows(window) for i in self.columns(window)]


def _numbers(start: int, end: int, first: int) -> range:
    """Return the columns (rows) of blocks that may reach into pixels ``start`` to ``end``."""
    reach = 2 * SWERVE_PX + REACH_PX
    lowest = math.floor((start - reach - first) / PITCH_PX)
    highest = math.floor((end + reach - first) / PITCH_PX)
    return range(lowest, highest + 1)
