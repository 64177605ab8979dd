"""The one module that creates rasters.

Everyone else hands over arrays. Memory: GDAL's block cache, which is bounded; windows that end on
multiples of `TILE_PX` pass straight through it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import OutputError

NAMESPACE = "DEEPSEG"
"""Of the metadata that DeepSeg writes into predicted classes and masks."""
TILE_PX = 512
CACHE_BYTES = 64 * 2**20
"""In bytes, for the reason that rasters.py tells."""

ENVIRONMENT = {"GDAL_CACHEMAX": CACHE_BYTES, "GDAL_TIFF_INTERNAL_MASK": True}

TOTALS_PX = 4 * TILE_PX
MANY_BANDS = 16
"""Of so many bands less is read at once."""

PREDICTORS = {"u": 2, "i": 2, "f": 3}
"""TIFF's differences between neighbours, by kind of dtype: of whole numbers, of floats."""


class RasterOutput:
    """A tiled, compressed GeoTIFF that is written window by window; a context manager.

    DEFLATE at its fastest, since every program reads it. ``measured`` bands are no colours, and
    tiles that nobody writes take no room. Not safe to use from several threads at once.

    Raises:
        OutputError: the file cannot be made, or the disk is full.
    """

    def __init__(
        self,
        path: str,
        grid: Grid,
        bands: int,
        dtype: str,
        nodata: float | None = None,
        *,
        measured: bool = False,
    ) -> None:
        self._path = path
        self._environment = contextlib.ExitStack()
        self._environment.enter_context(rasterio.Env(**ENVIRONMENT))
        profile = {
            "driver": "GTiff",
            "width": grid.width,
            "height": grid.height,
            "count": bands,
            "dtype": dtype,
            "nodata": nodata,
            "transform": None if grid.transform == UNREFERENCED else grid.transform,
            "crs": grid.crs.to_wkt() if grid.crs else None,
            "tiled": True,
            "blockxsize": TILE_PX,
            "blockysize": TILE_PX,
            "compress": "deflate",
            "zlevel": 1,
            "predictor": PREDICTORS.get(np.dtype(dtype).kind, 1),
            "bigtiff": "if_safer",
        }
        if measured:
            profile |= {"photometric": "minisblack", "alpha": "no", "sparse_ok": True}
        elif bands == 3 and dtype == "uint8":
            profile["photometric"] = "rgb"
        with _as_output_errors(path):
            self._dataset = _open(path, "w", **profile)
            if measured and bands > 1:
                undefined = [ColorInterp.undefined] * (bands - 1)
                self._dataset.colorinterp = [ColorInterp.gray, *undefined]

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Write a window inside the raster; ``values`` has shape (bands, rows, columns).

        Raises:
            OutputError: the disk is full.
        """
        place = RasterioWindow(window.column, window.row, window.width, window.height)
        with _as_output_errors(self._path):
            self._dataset.write(values, window=place)

    def write_mask(self, window: Window, known: NDArray[np.bool_]) -> None:
        """Write where a window has data, (rows, columns); elsewhere there is none from now on.

        Raises:
            OutputError: the disk is full.
        """
        place = RasterioWindow(window.column, window.row, window.width, window.height)
        with _as_output_errors(self._path):
            self._dataset.write_mask(known.astype(np.uint8) * np.uint8(255), window=place)

    def name_bands(self, names: Sequence[str]) -> None:
        """Describe each band."""
        for number, name in enumerate(names, start=1):
            self._dataset.set_band_description(number, name)

    def describe_bands(self, bands: Sequence[Band]) -> None:
        """Write the bands' names and what they show, before any window.

        What the file says already is left as it is.
        """
        old = self._dataset.colorinterp
        new = [_interpretation(band) or old[number] for number, band in enumerate(bands)]
        if new and new != list(old):
            self._dataset.colorinterp = new
        for number, band in enumerate(bands, start=1):
            if band.key and band.name != new[number - 1].name:
                self._dataset.set_band_description(number, band.name)
            if band.wavelength_um is not None:
                wavelength = f"{band.wavelength_um:.6g}"
                self._dataset.update_tags(number, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=wavelength)

    def colour(self, colours: Mapping[int, str]) -> None:
        """Give the values of the one band their colours, ``#rrggbb``."""
        table = {
            value: (*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), 255)
            for value, colour in colours.items()
        }
        self._dataset.write_colormap(1, table)

    def tag(self, namespace: str, tags: Mapping[str, str]) -> None:
        """Write metadata."""
        self._dataset.update_tags(ns=namespace, **tags)

    def close(self) -> None:
        """Write what is left and close the file.

        Raises:
            OutputError: the disk is full.
        """
        with _as_output_errors(self._path), self._environment:
            self._dataset.close()

    def __enter__(self) -> RasterOutput:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return self.close()
        with contextlib.suppress(OutputError):  # what went wrong first is what is told
            self.close()


def _interpretation(band: Band) -> ColorInterp | None:
    return ColorInterp[band.colour] if band.colour in ColorInterp.__members__ else None


def write_cog(source: str, destination: str, overviews: str) -> None:
    """Write a raster again as a Cloud Optimized GeoTIFF with overviews, DEFLATE, metadata and all.

    ``overviews`` is how they are resampled (``nearest``, ``average``). Memory: GDAL's block cache.

    Raises:
        OutputError: the file cannot be made, or the disk is full.
    """
    options = {
        "compress": "deflate",
        "predictor": "no" if overviews == "nearest" else "yes",
        "blocksize": TILE_PX,
        "overview_resampling": overviews,
        "overview_compress": "deflate",
        "bigtiff": "if_safer",
        "sparse_ok": "true",
        "num_threads": "all_cpus",
        "copy_src_mdd": "yes",  # the metadata of all namespaces
    }
    with rasterio.Env(**ENVIRONMENT), _as_output_errors(destination):
        rasterio.shutil.copy(source, destination, driver="COG", **options)


@dataclass(frozen=True)
class Totals:
    """The sum of all values of all bands, and the number of pixels that have data."""

    values: int
    known: int


def totals(path: str) -> Totals:
    """Return the totals of a raster, read block by block.

    When the disk fills up with the last blocks, GDAL says nothing, and they are empty.

    Raises:
        OutputError: the file is broken.
    """
    values = known = 0
    with rasterio.Env(**ENVIRONMENT), _as_output_errors(path), _open(path) as dataset:
        side = TOTALS_PX if dataset.count < MANY_BANDS else TILE_PX
        for row in range(0, dataset.height, side):
            for column in range(0, dataset.width, side):
                height = min(side, dataset.height - row)
                width = min(side, dataset.width - column)
                place = RasterioWindow(column, row, width, height)
                values += int(dataset.read(window=place).sum(dtype=np.uint64))
                known += int(np.count_nonzero(dataset.read_masks(1, window=place)))
    return Totals(values, known)


def write_value_names(path: str, names: Sequence[str]) -> None:
    """Write what the values 0, 1, … of a raster mean, into the file beside it that GDAL reads."""
    entries = "".join(f"<Category>{escape(_printable(name))}</Category>" for name in names)
    text = (
        '<PAMDataset><PAMRasterBand band="1">'
        f"<CategoryNames>{entries}</CategoryNames></PAMRasterBand></PAMDataset>\n"
    )
    with open(f"{path}.aux.xml", "w", encoding="utf-8") as file:
        file.write(text)


def _open(path: str, *arguments: Any, **profile: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path, *arguments, **profile)


def _printable(name: str) -> str:
    """Return a name without what XML cannot hold."""
    return "".join(letter for letter in name if letter.isprintable())


@contextlib.contextmanager
def _as_output_errors(path: str) -> Iterator[None]:
    """Turn what GDAL says into one sentence for a mapper."""
    try:
        yield
    except (rasterio.errors.RasterioIOError, CPLE_BaseError) as error:
        raise OutputError(
            f"The raster {path} could not be written ({error.__cause__ or error}). Check that its "
            "disk has room and that you may write there, or choose another place."
        ) from error
