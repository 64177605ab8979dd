"""Keeps account of the blocks of a dataset that could not be read."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import numpy as np
from rasterio.io import DatasetReader

from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import RasterSource

MOST_TOLD = 20
"""So many broken blocks are told one by one, the others are counted."""
MOST_BLOCKS = 1 << 26
"""Where there are more, several are taken for one."""
LOOKED_AT = 512
ENOUGH = 0.25
"""Once this share of the blocks was looked at, it is clear whether most of them are broken."""


class BrokenBlocks:
    """The blocks of a dataset that were asked for, and those of them that are broken.

    Each broken one is told once through ``warn``, with its extent. Memory: a byte per block, at
    most `MOST_BLOCKS`.
    """

    def __init__(
        self,
        source: RasterSource,
        grid: Grid,
        block: tuple[int, int],
        warn: Callable[[str], None],
    ) -> None:
        self._path, self._name, self._grid, self._warn = source.path, source.name, grid, warn
        self._height, self._width = block
        while self._rows * self._columns > MOST_BLOCKS:
            self._height, self._width = 2 * self._height, 2 * self._width
        self._touched = np.zeros((self._rows, self._columns), dtype=bool)
        self._broken: set[Window] = set()
        self._last_error = ""
        self._state = file_state(source.path)

    @property
    def _rows(self) -> int:
        return -(-self._grid.height // self._height)

    @property
    def _columns(self) -> int:
        return -(-self._grid.width // self._width)

    def touch(self, window: Window) -> None:
        """Note that a window inside the raster was read."""
        rows, columns = self._under(window)
        self._touched[rows.start : rows.stop, columns.start : columns.stop] = True

    def add(self, block: Window, error: Exception) -> None:
        """Note that a block is broken.

        Raises:
            RasterError: the file is gone or another one by now, or most blocks are broken.
        """
        self._check_still_there()
        self._last_error = str(error.__cause__ or error)
        if block in self._broken:
            return
        self._broken.add(block)
        touched = self._touched.sum()
        if touched >= ENOUGH * self._touched.size and 2 * len(self._broken) > touched:
            raise self._mostly_broken()
        if len(self._broken) <= MOST_TOLD:
            self._warn(
                f"{self._name}: the block {self._extent(block)} is broken ({self._last_error}). "
                "It counts as no data."
            )

    def check(self) -> None:
        """Say how many blocks were broken, if not all were told; for the end of the work.

        Raises:
            RasterError: most of what was read is broken.
        """
        if 2 * len(self._broken) > self._touched.sum():
            raise self._mostly_broken()
        if len(self._broken) > MOST_TOLD:
            self._warn(f"{self._name}: {len(self._broken):,} blocks in all are broken.")
            self._broken.clear()

    def under(self, window: Window) -> Iterator[Window]:
        """Yield the blocks that a window inside the raster touches, cut to the raster."""
        rows, columns = self._under(window)
        for row, column in itertools.product(rows, columns):
            at = row * self._height, column * self._width
            yield Window(*at, self._height, self._width).intersection(self._grid.window)

    def _under(self, window: Window) -> tuple[range, range]:
        return (
            range(window.row // self._height, -(-window.row_end // self._height)),
            range(window.column // self._width, -(-window.column_end // self._width)),
        )

    def _extent(self, block: Window) -> str:
        text = (
            f"in rows {block.row} to {block.row_end - 1}, columns {block.column} to "
            f"{block.column_end - 1}"
        )
        if self._grid.crs is None:
            return text
        a = self._grid.transform @ (block.column, block.row)
        b = self._grid.transform @ (block.column_end, block.row_end)
        return (
            f"{text} (x {min(a[0], b[0]):.8g} to {max(a[0], b[0]):.8g}, "
            f"y {min(a[1], b[1]):.8g} to {max(a[1], b[1]):.8g})"
        )

    def _check_still_there(self) -> None:
        if self._state is None:
            return
        now = file_state(self._path)
        if now == self._state:
            return
        what = "is not there any more" if now is None else "was changed while it was read"
        raise RasterError(
            f"{self._path} {what}. Expected it to stay as it is until the work is done: check the "
            "drive or the network, and run it again."
        )

    def _mostly_broken(self) -> RasterError:
        touched = int(self._touched.sum())
        are = "block is" if touched == 1 else "blocks are"
        return RasterError(
            f"{self._path} could not be read as a raster: {len(self._broken)} of "
            f"{touched} {are} broken ({self._last_error}). Expected a complete "
            "file. Check that it opens in QGIS at full resolution, or copy it again from its "
            "source."
        )


def check_complete(dataset: DatasetReader, path: str) -> None:
    """Check that most of a GeoTIFF's blocks lie inside the file, looking at some of them.

    Raises:
        RasterError: the file was cut off.
    """
    state = file_state(path)
    if dataset.driver != "GTiff" or state is None:
        return
    height, width = dataset.block_shapes[0]
    rows, columns = -(-dataset.height // height), -(-dataset.width // width)
    step = max(1, rows * columns // LOOKED_AT)
    inside = beyond = 0
    for number in range(0, rows * columns, step):
        place = f"{number % columns}_{number // columns}"
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{place}", "TIFF", bidx=1)
        size = dataset.get_tag_item(f"BLOCK_SIZE_{place}", "TIFF", bidx=1)
        if offset is not None and size is not None:
            ends = int(offset) + int(size)
            inside, beyond = inside + (ends <= state[0]), beyond + (ends > state[0])
    if beyond > inside:
        raise RasterError(
            f"{path} could not be read as a raster: it ends after {state[0]:,} bytes, and "
            f"{beyond / (beyond + inside):.0%} of its pixels would come later. Copy it again from "
            "its source."
        )


def file_state(path: str) -> tuple[int, int] | None:
    """Return a local file's size and time of change; None where there is no such file."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns
