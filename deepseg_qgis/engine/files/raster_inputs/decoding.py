"""Formats that take longer to decode than to predict: each block is decoded once, by threads.

GDAL's own threads are not used: a block that they cannot decode comes out as garbage, without an
error (seen in GDAL 3.10 with JPEG 2000). Here each thread has a dataset of its own and decodes one
block at a time, and what is decoded is kept until the row of windows below has had it.
"""

from __future__ import annotations

import queue
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from deepseg_qgis.engine.files.raster_inputs.dataset import DatasetPixels
from deepseg_qgis.engine.files.raster_inputs.pixels import Pixels
from deepseg_qgis.engine.geometry.tiling import Window

SLOW_DRIVERS = ("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "ECW", "MrSID")
WINDOW_PX = 2048
"""Windows are about so high at most; they come row by row."""
FEWEST_BYTES, MOST_BYTES = 64 * 2**20, 2**30
"""What may be kept. Wider rasters than fit have some blocks decoded twice."""
MOST_THREADS = 4
"""Each holds the compressed tiles that it looks at, which may be the whole file."""


def is_slow(dataset: DatasetReader) -> bool:
    """Whether a dataset's blocks are worth keeping."""
    return dataset.driver in SLOW_DRIVERS


class DecodedBlocks:
    """A dataset, opened once for each thread, as a `PixelSource` that keeps what was decoded.

    Memory: the blocks under a row of windows across the raster, at most `MOST_BYTES`.
    """

    def __init__(self, datasets: Sequence[DatasetPixels], block: tuple[int, int]) -> None:
        first = datasets[0]
        self.grid, self.bands, self.dtype = first.grid, first.bands, first.dtype
        self.band_info, self.colours = first.band_info, first.colours
        self._first = first
        self._datasets = list(datasets)
        self._idle: queue.SimpleQueue[DatasetPixels] = queue.SimpleQueue()
        for each in datasets:
            self._idle.put(each)
        self._pool = ThreadPoolExecutor(len(datasets), thread_name_prefix="decoder")
        self._kept: OrderedDict[Window, Pixels | RasterioIOError] = OrderedDict()
        rows = -(-WINDOW_PX // block[0]) + 1
        blocks = rows * -(-self.grid.width // block[1])
        self._block_bytes = block[0] * block[1] * (self.bands * first.itemsize + 1)
        most = min(max(blocks * self._block_bytes, FEWEST_BYTES), MOST_BYTES)
        self._most = max(1, most // self._block_bytes)

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window inside the grid; broken blocks have no data."""
        self._first.broken.touch(window)
        pixels = Pixels.none(self.bands, self.dtype, (window.height, window.width))
        for block, decoded in self._decoded(list(self._first.broken.under(window))):
            if isinstance(decoded, RasterioIOError):
                self._first.broken.add(block, decoded)
                continue
            shared = block.intersection(window)
            here, there = shared.within(window), shared.within(block)
            pixels.values[:, here[0], here[1]] = decoded.values[:, there[0], there[1]]
            pixels.valid[here] = decoded.valid[there]
        return pixels

    def thumbnail(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a window shrunk to (rows, columns) by nearest neighbour."""
        return self._first.thumbnail(window, shape)

    def check_read(self) -> None:
        """Raise RasterError if most of what was read turned out to be broken."""
        self._first.check_read()

    def close(self) -> None:
        """Close all datasets."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._kept.clear()
        for each in self._datasets:
            each.close()

    def _decoded(self, blocks: list[Window]) -> list[tuple[Window, Pixels | RasterioIOError]]:
        """Return blocks with what they hold, or why that is not known."""
        started: dict[Window, Future[Pixels | RasterioIOError]] = {
            block: self._pool.submit(self._decode, block)
            for block in blocks
            if block not in self._kept
        }
        found = []
        for block in blocks:
            decoded = started[block].result() if block in started else self._kept.pop(block)
            self._kept[block] = decoded
            found.append((block, decoded))
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found

    def _decode(self, block: Window) -> Pixels | RasterioIOError:
        dataset = self._idle.get()
        try:
            return dataset.read_whole(block, dataset.indexes)
        except RasterioIOError as error:
            return error
        finally:
            self._idle.put(dataset)
