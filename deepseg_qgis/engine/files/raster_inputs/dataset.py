"""The pixels of an open dataset: what is data, what is not, and what is broken.

Whoever makes a `DatasetPixels` has opened the dataset; nothing is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from deepseg_qgis.engine.files.raster_inputs.bands import Band, named, wavelength_um
from deepseg_qgis.engine.files.raster_inputs.broken_blocks import BrokenBlocks
from deepseg_qgis.engine.files.raster_inputs.pixels import Pixels
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError, counted
from deepseg_qgis.jobs import RasterSource

SAMPLE_PX = 256
"""An alpha band is judged on a picture of the raster no larger than this."""
ALPHA_IS_CLEAR = 0.9
"""A band flagged as alpha is one if at least this share of it is fully clear or fully opaque."""
ALWAYS_ALPHA = ("PNG", "WEBP", "GIF", "BIGGIF")
"""Formats in which a fourth band can be nothing else."""
MOST_BANDS = 1024


class DatasetPixels:
    """An open dataset's bands without alpha; a `PixelSource`.

    Alpha bands, masks, nodata values, NaN and infinity show up in `Pixels.valid` alone. Blocks
    that are broken have no data, and ``warn`` is told.

    Raises:
        RasterError: the bands are complex numbers, too many, or none.
    """

    def __init__(
        self,
        dataset: DatasetReader,
        grid: Grid,
        source: RasterSource,
        warn: Callable[[str], None],
    ) -> None:
        self.grid = grid
        self.dataset = dataset
        # asked for now: after a failed read, rasterio takes the old error for one of these
        info, self._flagged = _band_info(dataset), _flagged(dataset)
        self.colours = _colours(dataset)
        self.broken = BrokenBlocks(source, grid, dataset.block_shapes[0], warn)
        self.alpha = _alpha_band(dataset, self._flagged)
        self.indexes = [i for i in dataset.indexes if i != self.alpha]
        if not self.indexes or dataset.count > MOST_BANDS:
            raise _unfit(dataset)
        self.dtype = str(np.result_type(*{dataset.dtypes[i - 1] for i in self.indexes}))
        if np.dtype(self.dtype).kind not in "uif":
            raise _unfit(dataset)
        self.band_info = tuple(info[i - 1] for i in self.indexes)

    @property
    def bands(self) -> int:
        """The number of bands that are data."""
        return len(self.indexes)

    @property
    def itemsize(self) -> int:
        """The bytes of a value."""
        return np.dtype(self.dtype).itemsize

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window; broken blocks have no data.

        Raises:
            RasterError: most blocks are broken, or the file has vanished.
        """
        self.broken.touch(window)
        try:
            return self.read_whole(window, self.indexes)
        except RasterioIOError:
            return self._read_by_block(window)

    def read_whole(self, window: Window, indexes: Sequence[int]) -> Pixels:
        """Return the pixels of a window in some bands, counted from 1.

        Raises:
            RasterioIOError: something in it is broken.
        """
        return self._pixels(window, (window.height, window.width), indexes)

    def thumbnail(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a window shrunk to (rows, columns) by nearest neighbour."""
        try:
            return self._pixels(window, shape, self.indexes)
        except RasterioIOError:
            return self._thumbnail_by_block(window, shape)

    def check_read(self) -> None:
        """Raise RasterError if most of what was read turned out to be broken."""
        self.broken.check()

    def close(self) -> None:
        """Close the dataset."""
        self.dataset.close()

    def _pixels(self, window: Window, shape: tuple[int, int], indexes: Sequence[int]) -> Pixels:
        place = RasterioWindow(window.column, window.row, window.width, window.height)
        size = (len(indexes), *shape)
        read = self.dataset.read(list(indexes), window=place, out_shape=size, out_dtype=self.dtype)
        valid = self._mask(place, shape, indexes)
        if read.dtype.kind == "f":
            valid &= np.isfinite(read).all(axis=0)
        return Pixels(read, valid)

    def _mask(
        self, place: RasterioWindow, shape: tuple[int, int], indexes: Sequence[int]
    ) -> NDArray[np.bool_]:
        """Return where at least one band has data, by mask, alpha and nodata value."""
        if self.alpha is not None:
            alpha = self.dataset.read(self.alpha, window=place, out_shape=shape)
            return np.asarray(alpha > 0, dtype=bool)
        if self._flagged and self.dataset.nodata is None:  # GDAL takes what is data for a mask
            return np.ones(shape, dtype=bool)
        masks = self.dataset.read_masks(
            list(indexes), window=place, out_shape=(len(indexes), *shape)
        )
        return np.asarray(masks.any(axis=0), dtype=bool)

    def _read_by_block(self, window: Window) -> Pixels:
        pixels = Pixels.none(self.bands, self.dtype, (window.height, window.width))
        for block in self.broken.under(window):
            part = block.intersection(window)
            try:
                read = self.read_whole(part, self.indexes)
            except RasterioIOError as error:
                self.broken.add(block, error)
                continue
            rows, columns = part.within(window)
            pixels.values[:, rows, columns] = read.values
            pixels.valid[rows, columns] = read.valid
        return pixels

    def _thumbnail_by_block(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a thumbnail of a dataset with broken blocks, a row of it at a time."""
        small = Pixels.none(self.bands, self.dtype, shape)
        columns = (np.arange(shape[1]) + 0.5) * window.width / shape[1]
        for i in range(shape[0]):
            row = window.row + int((i + 0.5) * window.height / shape[0])
            line = self.read(Window(row, window.column, 1, window.width))
            small.values[:, i] = line.values[:, 0, columns.astype(np.int64)]
            small.valid[i] = line.valid[0, columns.astype(np.int64)]
        return small


def _band_info(dataset: DatasetReader) -> list[Band]:
    """Return what is known of each band; its name is its description, or colour, or number."""
    found = []
    colours, descriptions = dataset.colorinterp, dataset.descriptions
    for i, colour, description in zip(dataset.indexes, colours, descriptions, strict=True):
        plain = colour.name in ("undefined", "gray")
        name = description or (f"band {i}" if plain else colour.name)
        wavelength = wavelength_um(dataset.tags(i) | dataset.tags(i, ns="IMAGERY"))
        known = named(name, wavelength, "" if description else colour.name)
        found.append(replace(known, **_stored_as(dataset, i, colour)))
    return found


def _stored_as(dataset: DatasetReader, band: int, colour: ColorInterp) -> dict[str, Any]:
    """Return what the stored numbers of a band mean, as fields of `Band`."""
    dtype = dataset.dtypes[band - 1]
    scale, offset = dataset.scales[band - 1], dataset.offsets[band - 1]
    known = math.isfinite(scale) and math.isfinite(offset) and scale != 0.0
    fields = {"stored": dtype} | ({"scale": scale, "offset": offset} if known else {})
    if colour != ColorInterp.palette or not dtype.startswith(("uint", "int")):
        return fields
    try:
        table = dataset.colormap(band)
    except ValueError:
        table = {}
    if not table:
        return fields
    nothing = (0, 0, 0, 0)
    return fields | {"palette": tuple(table.get(i, nothing) for i in range(max(table) + 1))}


def _colours(dataset: DatasetReader) -> Mapping[int, str]:
    """Return the colour of each value as ``#rrggbb``; empty without a table of colours."""
    try:
        table = dataset.colormap(1)
    except ValueError:
        return {}
    return {value: "#{:02x}{:02x}{:02x}".format(*colour) for value, colour in table.items()}


def _flagged(dataset: DatasetReader) -> list[int]:
    """Return the numbers of the bands that are flagged as alpha."""
    pairs = zip(dataset.indexes, dataset.colorinterp, strict=True)
    return [i for i, colour in pairs if colour == ColorInterp.alpha]


def _alpha_band(dataset: DatasetReader, flagged: list[int]) -> int | None:
    """Return the alpha band's number, unless what is flagged as alpha is really data."""
    if not flagged or dataset.count == 1:
        return None
    if dataset.driver in ALWAYS_ALPHA:
        return flagged[0]
    shrink = max(1, math.ceil(max(dataset.shape) / SAMPLE_PX))
    shape = tuple(max(1, length // shrink) for length in dataset.shape)
    try:
        sample = dataset.read(flagged[0], out_shape=shape)
    except RasterioIOError:  # some block is broken: the flag has to be believed
        return flagged[0]
    clear = np.mean((sample == 0) | (sample == sample.max()))
    return flagged[0] if clear >= ALPHA_IS_CLEAR else None


def _unfit(dataset: DatasetReader) -> RasterError:
    kinds = ", ".join(sorted(set(dataset.dtypes))[:4])
    return RasterError(
        f"{dataset.name}: expected 1 to {MOST_BANDS} bands of whole or real numbers, "
        f"found {counted(dataset.count, 'band')} of type {kinds}. Choose another raster."
    )
