"""The one module that creates rasters.

Everyone else hands over arrays. Memory: GDAL's block cache, which is bounded; windows that end on
multiples of `TILE_PX` pass straight through it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType

import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from deepseg_qgis.engine.georeference import Grid
from deepseg_qgis.engine.tiling import Window
from deepseg_qgis.errors import OutputError

TILE_PX = 512
CACHE_BYTES = 64 * 2**20
"""In bytes, for the reason that rasters.py tells."""

PREDICTORS = {"u": 2, "i": 2, "f": 3}
"""TIFF's differences between neighbours, by kind of dtype: of whole numbers, of floats."""


class RasterOutput:
    """A tiled, compressed GeoTIFF that is written window by window; a context manager.

    DEFLATE at its fastest, since every program reads it. Not safe to use from several threads.

    Raises:
        OutputError: the file cannot be made, or the disk is full.
    """

    def __init__(
        self, path: str, grid: Grid, bands: int, dtype: str, nodata: float | None = None
    ) -> None:
        self._path = path
        self._environment = contextlib.ExitStack()
        self._environment.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES))
        profile = {
            "driver": "GTiff",
            "width": grid.width,
            "height": grid.height,
            "count": bands,
            "dtype": dtype,
            "nodata": nodata,
            "transform": grid.transform,
            "crs": grid.crs.to_wkt() if grid.crs else None,
            "tiled": True,
            "blockxsize": TILE_PX,
            "blockysize": TILE_PX,
            "compress": "deflate",
            "zlevel": 1,
            "predictor": PREDICTORS.get(np.dtype(dtype).kind, 1),
            "bigtiff": "if_safer",
        }
        if bands == 3 and dtype == "uint8":
            profile["photometric"] = "rgb"
        with _explained(path):
            self._dataset = rasterio.open(path, "w", **profile)

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Write a window inside the raster; ``values`` has shape (bands, rows, columns).

        Raises:
            OutputError: the disk is full.
        """
        place = RasterioWindow(window.column, window.row, window.width, window.height)
        with _explained(self._path):
            self._dataset.write(values, window=place)

    def close(self) -> None:
        """Write what is left and close the file.

        Raises:
            OutputError: the disk is full.
        """
        with _explained(self._path), self._environment:
            self._dataset.close()

    def __enter__(self) -> RasterOutput:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return self.close()
        with contextlib.suppress(OutputError):  # what went wrong first is what is told
            self.close()


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn what GDAL says into one sentence for a mapper."""
    try:
        yield
    except rasterio.errors.RasterioIOError as error:
        raise OutputError(
            f"The raster {path} could not be written ({error.__cause__ or error}). Check that its "
            "disk has room and that you may write there, or choose another place."
        ) from error
