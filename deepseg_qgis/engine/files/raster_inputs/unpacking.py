"""Rasters that can only be read from the top down: unpacked once into a tiled temporary GeoTIFF.

PNG, WebP, JPEG and TIFFs with a single strip have to be decoded from their first row on to get at a
window. Memory: GDAL's cache and a strip of `STRIP_ROWS` rows; WebP takes its whole picture.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs.dataset import DatasetPixels
from deepseg_qgis.engine.files.raster_inputs.pixels import Pixels
from deepseg_qgis.engine.files.raster_output import TILE_PX, RasterOutput
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError, ResourceError

SEQUENTIAL_DRIVERS = ("PNG", "WEBP", "JPEG", "GIF", "BIGGIF", "JPEGXL", "AVIF", "HEIF")
SMALL_BYTES = 192 * 2**20
"""Up to that a raster stays in GDAL's cache once it was read: 64 million pixels of RGB."""
LARGEST_BLOCK_PX = 64_000_000
TALLEST_BLOCK_PX = 2048
STRIP_ROWS = TILE_PX
LARGEST_STRIP_BYTES = 2**31

SOMEWHERE = Affine(1.0, 0.0, 1.0, 0.0, -1.0, 1.0)
"""Where the temporary file lies does not matter, but GDAL warns of one that lies nowhere."""

Open = Callable[[str], DatasetReader]


def needs_unpacking(dataset: DatasetReader) -> bool:
    """Whether reading a dataset window by window would decode it again and again."""
    if raw_bytes(dataset) <= SMALL_BYTES:
        return False
    height, width = dataset.block_shapes[0]
    if dataset.driver in SEQUENTIAL_DRIVERS or height * width > LARGEST_BLOCK_PX:
        return True
    row_of_blocks = raw_bytes(dataset) * min(1.0, height / dataset.height)
    return _is_one_strip(dataset) or (height > TALLEST_BLOCK_PX and row_of_blocks > SMALL_BYTES)


def raw_bytes(dataset: DatasetReader) -> int:
    """Return what all values of a dataset take when they are not compressed."""
    pixel = sum(np.dtype(kind).itemsize for kind in dataset.dtypes)
    return int(dataset.width) * int(dataset.height) * int(pixel)


def _is_one_strip(dataset: DatasetReader) -> bool:
    """Whether a dataset is a TIFF with one compressed strip, which GDAL shows as rows."""
    if dataset.driver != "GTiff" or dataset.block_shapes[0] != (1, dataset.width):
        return False
    if "COMPRESSION" not in dataset.tags(ns="IMAGE_STRUCTURE"):
        return False
    first, second = (dataset.get_tag_item(f"BLOCK_OFFSET_0_{i}", "TIFF", bidx=1) for i in (0, 1))
    return first is not None and second is None


class Unpacked:
    """A sequential dataset as a `PixelSource`: unpacked when it is first read.

    Raises:
        ResourceError: the disk has no room for the temporary file.
        RasterError: the dataset is broken in its first half.
        Stopped: the user asked to.
    """

    def __init__(self, packed: DatasetPixels, name: str, open_: Open, control: Control) -> None:
        self.grid, self.bands, self.dtype = packed.grid, packed.bands, packed.dtype
        self.band_info, self.colours = packed.band_info, packed.colours
        self._packed, self._name, self._open, self._control = packed, name, open_, control
        dataset = packed.dataset
        by_band = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "BAND"
        self._band_after_band = by_band and _is_one_strip(dataset)
        self._folder: Path | None = None
        self._parts: list[tuple[DatasetReader, DatasetReader]] = []
        control.when_abandoned(self._remove)

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window inside the grid."""
        return self._joined(window, (window.height, window.width))

    def thumbnail(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a window shrunk to (rows, columns) by nearest neighbour."""
        return self._joined(window, shape)

    def check_read(self) -> None:
        """Raise RasterError if most of what was read turned out to be broken."""
        self._packed.check_read()

    def close(self) -> None:
        """Close and remove the temporary files."""
        for pair in self._parts:
            for dataset in pair:
                dataset.close()
        self._parts.clear()
        self._packed.close()
        self._remove()

    def _joined(self, window: Window, shape: tuple[int, int]) -> Pixels:
        if not self._parts:
            self._parts = self._unpack()
            self._packed.close()  # GDAL holds the compressed strip of a TIFF, all of it
            if os.name != "nt":  # open files need no names: nothing stays even of a killed process
                self._remove()
        place = ((window.row, window.row_end), (window.column, window.column_end))
        values = np.concatenate(
            [part.read(window=place, out_shape=(part.count, *shape)) for part, _ in self._parts]
        )
        valid = np.zeros(shape, dtype=bool)
        for _, mask in self._parts:
            valid |= mask.read(1, window=place, out_shape=shape) > 0
        if values.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
        return Pixels(values, valid)

    def _unpack(self) -> list[tuple[DatasetReader, DatasetReader]]:
        self._folder = self._folder_with_room(raw_bytes(self._packed.dataset))
        indexes = self._packed.indexes
        # bands that lie one after the other: to change between them would mean to start again
        groups = [[i] for i in indexes] if self._band_after_band else [indexes]
        parts = []
        for number, group in enumerate(groups):
            done = number / len(groups), (number + 1) / len(groups)
            values, valid = (self._folder / f"{what}{number}.tif" for what in ("values", "valid"))
            self._unpack_group(group, str(values), str(valid), done)
            parts.append((self._open(str(values)), self._open(str(valid))))
        return parts

    def _unpack_group(
        self, group: list[int], values: str, valid: str, done: tuple[float, float]
    ) -> None:
        grid = Grid(self.grid.width, self.grid.height, SOMEWHERE, None)
        with (
            RasterOutput(values, grid, len(group), self.dtype) as output,
            RasterOutput(valid, grid, 1, "uint8") as mask,
        ):
            for row in range(0, grid.height, STRIP_ROWS):
                self._control.check()
                share = done[0] + (done[1] - done[0]) * row / grid.height
                self._control.progress(0.0, f"{self._name}: unpacking, {share:.0%}")
                strip = Window(row, 0, STRIP_ROWS, grid.width).intersection(grid.window)
                try:
                    pixels = self._packed.read_whole(strip, group)
                except RasterioIOError as error:
                    self._lose_rest(row, error)
                    return  # what was not written has neither values nor a mask
                output.write(strip, pixels.values)
                mask.write(strip, pixels.valid[None].astype(np.uint8))

    def _lose_rest(self, row: int, error: RasterioIOError) -> None:
        """Take all rows from ``row`` on for no data: there is no way past what is broken."""
        if 2 * row < self.grid.height:
            raise RasterError(
                f"{self._packed.dataset.name} could not be read as a raster: it is broken from "
                f"row {row} of {self.grid.height} on ({error.__cause__ or error}). Check that it "
                "opens in QGIS at full resolution, or copy it again from its source."
            ) from error
        self._control.warn(
            f"{self._name}: broken from row {row} of {self.grid.height} on "
            f"({error.__cause__ or error}). What is below counts as no data."
        )

    def _folder_with_room(self, size: int) -> Path:
        if STRIP_ROWS * size // self.grid.height > LARGEST_STRIP_BYTES:
            raise RasterError(
                f"{self._name} has rows of {self.grid.width:,} pixels, too long to be unpacked. "
                "Write it as a tiled GeoTIFF with QGIS's 'Translate'."
            )
        folder = Path(tempfile.mkdtemp(prefix="deepseg-unpacked-"))
        free = shutil.disk_usage(folder).free
        if free < size:
            folder.rmdir()
            raise ResourceError(
                f"{self._name} cannot be read piece by piece as it is stored, so it has to be "
                f"unpacked first. That may take {size / 1e6:,.0f} MB in {folder.parent}, which "
                f"has {free / 1e6:,.0f} MB left. Make room, or write the raster as a tiled GeoTIFF "
                "with QGIS's 'Translate'."
            )
        self._control.log(
            f"{self._name} cannot be read piece by piece as it is stored: it is unpacked once into "
            f"{folder} (up to {size / 1e6:,.0f} MB; removed at the end)."
        )
        return folder

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
