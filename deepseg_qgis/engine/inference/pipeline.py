"""The pipeline: windows are read ahead, run with several in flight, and used in order."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.backends.backend import Result, Session
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.tiling import Tile
from deepseg_qgis.engine.inference.windows import Layout
from deepseg_qgis.engine.streams import ahead

WAITING = 1
"""So many windows wait in memory while the next one is read."""

Used = TypeVar("Used")
Use = Callable[[Tile, Pixels, NDArray[np.uint8]], Used]
"""Takes a tile, its window's pixels and probabilities (categories, rows, columns) in 1/255. It must
copy what it keeps of them."""


@dataclass
class _Entry(Generic[Used]):
    """One tile of the grid on its way; without pixels there is nothing to run."""

    tile: Tile
    pixels: Pixels | None
    used: Used | None = None

    @property
    def done(self) -> bool:
        return self.pixels is None


def run(
    session: Session, raster: Raster, layout: Layout, use: Use[Used]
) -> Generator[tuple[Tile, Used | None], None, None]:
    """Yield each tile of the grid, in order, with what ``use`` made of it.

    None stands for tiles that are not wanted (they are not read) or hold no data in their core
    (they are not run). Reading has a thread of its own, which ends with the generator. Memory:
    the pixels of two windows more than ``in_flight`` batches.

    Raises:
        RasterError: a block is broken.
        ResourceError: a window does not fit into the device's memory.
    """
    line: deque[_Entry[Used]] = deque()
    batch: list[_Entry[Used]] = []
    running: deque[tuple[list[_Entry[Used]], Result]] = deque()

    def finish() -> None:
        entries, result = running.popleft()
        for entry, found in zip(entries, result(), strict=False):
            assert entry.pixels is not None
            entry.used = use(entry.tile, entry.pixels, found)
            entry.pixels = None

    def start() -> None:
        if len(running) == session.in_flight:
            finish()
        pixels = [entry.pixels for entry in batch if entry.pixels is not None]
        running.append((batch.copy(), session.start(pixels)))
        batch.clear()

    def leaving() -> Iterator[tuple[Tile, Used | None]]:
        while line and line[0].done:
            entry = line.popleft()
            yield entry.tile, entry.used

    try:
        with contextlib.closing(_entries(raster, layout)) as entries:
            for entry in entries:
                line.append(entry)
                if entry.pixels is not None:
                    batch.append(entry)
                if len(batch) >= session.batch_size:
                    start()
                yield from leaving()
        if batch:
            start()
        while running:
            finish()
            yield from leaving()
    finally:
        for _, result in running:
            with contextlib.suppress(Exception):  # another error is on its way already
                result()


def _entries(raster: Raster, layout: Layout) -> Generator[_Entry[Any], None, None]:
    def read(place: tuple[Tile, bool]) -> _Entry[Any]:
        tile, wanted = place
        if not wanted:
            return _Entry(tile, None)
        pixels = raster.read(tile.window)
        holds_data = pixels.valid[tile.core.within(tile.window)].any()
        return _Entry(tile, pixels if holds_data else None)

    places = zip(layout.tiles, layout.wanted.tolist(), strict=True)
    return ahead((read(place) for place in places), WAITING, "reader")
