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

Made = TypeVar("Made")
Make = Callable[[Tile, Pixels, NDArray[np.uint8]], Made]
"""Takes a tile, its window's pixels and planes (planes, rows, columns) in 1/255. It must copy what
it keeps of them."""


def run(
    session: Session, raster: Raster, layout: Layout, make: Make[Made]
) -> Generator[tuple[Tile, Made | None], None, None]:
    """Yield each tile of the grid, in order, with what ``make`` made of it.

    None stands for tiles that are not wanted (they are not read) or hold no data in their core
    (they are not run). Reading has a thread of its own, which ends with the generator. Memory:
    the pixels of two windows more than ``in_flight`` batches.

    Raises:
        RasterError: a block is broken.
        ResourceError: a window does not fit into the device's memory.
    """
    queue = _Queue(session, make)
    with contextlib.closing(queue), contextlib.closing(_read(raster, layout)) as tiles:
        for tile in tiles:
            queue.add(tile)
            yield from queue.done()
        yield from queue.rest()


@dataclass
class _QueuedTile(Generic[Made]):
    """One tile of the grid on its way; without pixels there is nothing to run."""

    tile: Tile
    pixels: Pixels | None
    made: Made | None = None


class _Queue(Generic[Made]):
    """Tiles in the order of the grid: done, running, or waiting until a batch is full."""

    def __init__(self, session: Session, make: Make[Made]) -> None:
        self._session, self._make = session, make
        self._tiles: deque[_QueuedTile[Made]] = deque()
        self._batch: list[_QueuedTile[Made]] = []
        self._running: deque[tuple[list[_QueuedTile[Made]], Result]] = deque()

    def add(self, tile: _QueuedTile[Made]) -> None:
        """Take the next tile; start a batch if there are enough."""
        self._tiles.append(tile)
        if tile.pixels is not None:
            self._batch.append(tile)
        if len(self._batch) >= self._session.batch_size:
            self._start()

    def done(self) -> Iterator[tuple[Tile, Made | None]]:
        """Yield the tiles that are done, up to the first that is not."""
        while self._tiles and self._tiles[0].pixels is None:
            first = self._tiles.popleft()
            yield first.tile, first.made

    def rest(self) -> Iterator[tuple[Tile, Made | None]]:
        """Run and yield all that is left."""
        if self._batch:
            self._start()
        while self._running:
            self._finish()
            yield from self.done()

    def close(self) -> None:
        """Wait for what is running."""
        for _, result in self._running:
            with contextlib.suppress(Exception):  # another error is on its way already
                result()

    def _start(self) -> None:
        if len(self._running) == self._session.in_flight:
            self._finish()
        pixels = [tile.pixels for tile in self._batch if tile.pixels is not None]
        self._running.append((self._batch, self._session.start(pixels)))
        self._batch = []

    def _finish(self) -> None:
        tiles, result = self._running.popleft()
        for tile, planes in zip(tiles, result(), strict=False):
            assert tile.pixels is not None
            tile.made = self._make(tile.tile, tile.pixels, planes)
            tile.pixels = None


def _read(raster: Raster, layout: Layout) -> Generator[_QueuedTile[Any], None, None]:
    """Yield the tiles of a layout with their pixels, read ahead."""

    def read(place: tuple[Tile, bool]) -> _QueuedTile[Any]:
        tile, wanted = place
        if not wanted:
            return _QueuedTile(tile, None)
        pixels = raster.read(tile.window)
        holds_data = pixels.valid[tile.core.within(tile.window)].any()
        return _QueuedTile(tile, pixels if holds_data else None)

    places = zip(layout.tiles, layout.wanted.tolist(), strict=True)
    return ahead((read(place) for place in places), WAITING, "reader")
