"""The one module that opens rasters.

Everyone else takes `Raster` objects and arrays. Memory: a window at a time, plus GDAL's block
cache, which is bounded.
"""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyproj
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from deepseg_qgis.engine.georeference import UNREFERENCED, Grid
from deepseg_qgis.engine.tiling import Window
from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import RasterSource

GDAL_CACHE_BYTES = 256 * 2**20
"""In bytes: GDAL would also take megabytes, but `rasterio.features.rasterize` takes those for bytes
and then works row by row, 20 times slower."""
SAMPLE_PX = 256
"""An alpha band is judged on a picture of the raster no larger than this."""
ALPHA_IS_CLEAR = 0.9
"""A band flagged as alpha is one if at least this share of it is fully clear or fully opaque."""


@dataclass(frozen=True)
class Pixels:
    """Pixels of a window.

    ``values`` has shape (bands, rows, columns) in the raster's dtype; where ``valid`` (rows,
    columns; bool) is False there is no data, and the values mean nothing.
    """

    values: NDArray[np.generic]
    valid: NDArray[np.bool_]


class Raster:
    """A raster opened for reading; a context manager. Safe to read from several threads.

    Alpha bands, masks, nodata values, NaN and infinity are *not data* and show up in
    `Pixels.valid` alone, never as bands.

    Raises:
        RasterError: the file is missing, broken, empty or of complex numbers.
    """

    def __init__(self, source: RasterSource) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._environment = contextlib.ExitStack()
        self._environment.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES))
        with _explained(source.path), warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            self._dataset = self._environment.enter_context(rasterio.open(source.path))
            self._alpha = self._alpha_band()
        self._indexes = [i for i in self._dataset.indexes if i != self._alpha]
        if not self._indexes or np.dtype(self.dtype).kind == "c":
            raise RasterError(
                f"{source.path}: expected bands of whole or real numbers, found "
                f"{self._dataset.count} band(s) of type {self.dtype}. Choose another raster."
            )
        self.grid = self._grid()

    @property
    def name(self) -> str:
        """What predictions from this raster carry as their source."""
        return self.source.name

    @property
    def bands(self) -> int:
        """The number of bands that are data."""
        return len(self._indexes)

    @property
    def dtype(self) -> str:
        """The numpy name of the values' type."""
        return str(self._dataset.dtypes[self._indexes[0] - 1])

    @property
    def band_names(self) -> tuple[str, ...]:
        """Each band's description, or its colour, or its number."""
        names = []
        for i in self._indexes:
            colour = self._dataset.colorinterp[i - 1].name
            plain = colour in ("undefined", "gray")
            names.append(self._dataset.descriptions[i - 1] or (f"band {i}" if plain else colour))
        return tuple(names)

    @property
    def colours(self) -> dict[int, str]:
        """The colour of each value as ``#rrggbb``, if the raster brings a table of colours."""
        with contextlib.suppress(ValueError):  # it has none
            table = self._dataset.colormap(self._indexes[0])
            return {value: "#{:02x}{:02x}{:02x}".format(*rgba) for value, rgba in table.items()}
        return {}

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window, which may stick out of the raster (no data there).

        Raises:
            RasterError: a block is broken.
        """
        values = np.zeros((self.bands, window.height, window.width), dtype=self.dtype)
        valid = np.zeros((window.height, window.width), dtype=bool)
        inside = window.intersection(self.grid.window)
        if inside.height and inside.width:
            at = inside.within(window)
            place = RasterioWindow(inside.column, inside.row, inside.width, inside.height)
            with self._lock, _explained(self.source.path):
                read = self._dataset.read(self._indexes, window=place)
                valid[at] = self._mask(place)
            values[:, at[0], at[1]] = read
            if np.dtype(self.dtype).kind == "f":
                valid[at] &= np.isfinite(read).all(axis=0)
        return Pixels(values, valid)

    def overview(self, longest_px: int) -> Pixels:
        """Return the whole raster, shrunk so that its longer side is at most ``longest_px``."""
        return self.thumbnail(self.grid.window, longest_px)

    def thumbnail(self, window: Window, longest_px: int) -> Pixels:
        """Return a window inside the raster, shrunk so that its longer side is not longer."""
        shrink = max(1.0, max(window.height, window.width) / longest_px)
        shape = (max(1, round(window.height / shrink)), max(1, round(window.width / shrink)))
        place = RasterioWindow(window.column, window.row, window.width, window.height)
        with self._lock, _explained(self.source.path):
            values = self._dataset.read(self._indexes, window=place, out_shape=(self.bands, *shape))
            valid = self._mask(place, shape)
        if np.dtype(self.dtype).kind == "f":
            valid &= np.isfinite(values).all(axis=0)
        return Pixels(values, valid)

    def close(self) -> None:
        """Close the file."""
        self._environment.close()

    def __enter__(self) -> Raster:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _mask(
        self, place: RasterioWindow, shape: tuple[int, int] | None = None
    ) -> NDArray[np.bool_]:
        """Return where at least one band has data, by mask, alpha and nodata value."""
        size = shape or (int(place.height), int(place.width))
        if self._alpha is not None:
            return np.asarray(
                self._dataset.read(self._alpha, window=place, out_shape=size) > 0, dtype=bool
            )
        masks = self._dataset.read_masks(self._indexes, window=place, out_shape=(self.bands, *size))
        return np.asarray(masks.any(axis=0), dtype=bool)

    def _alpha_band(self) -> int | None:
        """Return the alpha band's number, unless what is flagged as alpha is really data."""
        flagged = [
            i
            for i, colour in zip(self._dataset.indexes, self._dataset.colorinterp, strict=True)
            if colour == ColorInterp.alpha
        ]
        if not flagged or self._dataset.count == 1:
            return None
        shrink = max(1, math.ceil(max(self._dataset.shape) / SAMPLE_PX))
        shape = tuple(max(1, length // shrink) for length in self._dataset.shape)
        sample = self._dataset.read(flagged[0], out_shape=shape)
        clear = np.mean((sample == 0) | (sample == sample.max()))
        return flagged[0] if clear >= ALPHA_IS_CLEAR else None

    def _grid(self) -> Grid:
        crs = _crs(self.source.crs_wkt or (self._dataset.crs and self._dataset.crs.to_wkt()))
        transform = self._dataset.transform
        if transform.is_identity:
            transform, crs = UNREFERENCED, None
        return Grid(self._dataset.width, self._dataset.height, transform, crs)


@contextlib.contextmanager
def opened(sources: tuple[RasterSource, ...]) -> Iterator[list[Raster]]:
    """Open several rasters at once.

    Raises:
        RasterError: one of them cannot be read.
    """
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Raster(source)) for source in sources]


def _crs(wkt: str | None) -> pyproj.CRS | None:
    if not wkt:
        return None
    try:
        crs = pyproj.CRS.from_wkt(wkt)
    except pyproj.exceptions.CRSError:
        return None
    return None if crs.is_engineering else crs


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn what GDAL says into one sentence for a mapper."""
    try:
        yield
    except rasterio.errors.RasterioIOError as error:
        raise RasterError(
            f"{path} could not be read as a raster ({error}). Expected a complete file in a format "
            "that GDAL reads (GeoTIFF, JP2, PNG, JPEG, …). Check that it opens in QGIS at full "
            "resolution, or copy it again from its source."
        ) from error
