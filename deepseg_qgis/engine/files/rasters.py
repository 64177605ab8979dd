"""The one module that opens rasters for reading.

Everyone else takes `Raster` objects and arrays. Memory: a window at a time, plus GDAL's block
cache, which is bounded. How pixels come out of datasets stands in `raster_inputs`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence

import rasterio
import rasterio.errors
from rasterio._err import CPLE_BaseError
from rasterio.io import DatasetReader

from deepseg_qgis.disk_files import files_in_uri
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs import safety
from deepseg_qgis.engine.files.raster_inputs.band_selection import SelectedBands
from deepseg_qgis.engine.files.raster_inputs.bands import RasterKind
from deepseg_qgis.engine.files.raster_inputs.broken_blocks import check_complete
from deepseg_qgis.engine.files.raster_inputs.dataset import DatasetPixels
from deepseg_qgis.engine.files.raster_inputs.decoding import MOST_THREADS, DecodedBlocks, is_slow
from deepseg_qgis.engine.files.raster_inputs.mosaic import Mosaic
from deepseg_qgis.engine.files.raster_inputs.physical import (
    PhysicalValues,
    is_physical,
    values_notice,
)
from deepseg_qgis.engine.files.raster_inputs.pixels import Pixels as Pixels
from deepseg_qgis.engine.files.raster_inputs.pixels import PixelSource, padded
from deepseg_qgis.engine.files.raster_inputs.placement import grid_of
from deepseg_qgis.engine.files.raster_inputs.resampling import Resampled, needs_resampling, north_up
from deepseg_qgis.engine.files.raster_inputs.unpacking import Unpacked, needs_unpacking
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import RasterSource

GDAL_CACHE_BYTES = 256 * 2**20
"""In bytes: GDAL would also take megabytes, but `rasterio.features.rasterize` takes those for bytes
and then works row by row, 20 times slower."""

UNREADABLE = (rasterio.errors.RasterioIOError, CPLE_BaseError, UnicodeDecodeError)
"""Of broken files rasterio also lets GDAL's own errors through, and texts that are none."""

UNKNOWN_FORMAT = "not recognized as being in a supported file format"
"""What GDAL says if none of its drivers takes a file."""


class Raster:
    """A raster opened for reading; a context manager. Safe to read from several threads.

    Alpha bands, masks, nodata values, NaN and infinity are *not data* and show up in
    `Pixels.valid` alone, never as bands; so do broken blocks, which ``control`` is told of.
    ``files`` are the paths that its pixels come from (none for pictures that are no file), ``grid``
    is where they lie, ``notices`` what the user should know about that. Values are what the stored
    numbers mean, by palette, scale and offset; ``stored`` asks for the numbers themselves (labels).
    ``meaning_hash`` is a hash of what they mean, which may change in a file beside the raster.
    ``pixels`` is given for pictures that are no file; whoever gives it closes it.

    Raises:
        RasterError: the file is missing, broken, empty, of complex numbers, or not to be trusted.
    """

    def __init__(
        self,
        source: RasterSource,
        control: Control | None = None,
        pixels: PixelSource | None = None,
        network: bool | None = None,
        *,
        stored: bool = False,
    ) -> None:
        self.source = source
        self.notices: list[str] = []
        self.files: tuple[str, ...] = ()
        self.meaning_hash = ""
        self._stored = stored
        self._lock = threading.Lock()
        self._dataset: DatasetReader | None = None
        self._environment = contextlib.ExitStack()
        if pixels is None:
            with contextlib.ExitStack() as on_error:
                on_error.callback(self._environment.close)
                pixels = self._opened(control or Control(), network)
                on_error.pop_all()
        self._pixels = pixels

    @staticmethod
    def mosaic(rasters: Sequence[Raster], name: str) -> Raster:
        """Return several rasters as one picture, the earlier on top; they stay open beneath it.

        Raises:
            RasterError: they differ in CRS, resolution or bands.
        """
        source = rasters[0].source
        pixels = Mosaic([each._pixels for each in rasters], [each.name for each in rasters])
        return Raster(RasterSource(source.path, source.crs_wkt, name), pixels=pixels)

    @property
    def grid(self) -> Grid:
        """Where the pixels lie."""
        return self._pixels.grid

    @property
    def name(self) -> str:
        """What predictions from this raster carry as their source."""
        return self.source.name

    @property
    def bands(self) -> int:
        """The number of bands that are data."""
        return self._pixels.bands

    @property
    def dtype(self) -> str:
        """The numpy name of the values' type."""
        return self._pixels.dtype

    @property
    def kind(self) -> RasterKind:
        """What its pixels are."""
        return RasterKind(self._pixels.band_info, self.dtype)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Each band's description, or its colour, or its number."""
        return tuple(band.name for band in self._pixels.band_info)

    @property
    def colours(self) -> Mapping[int, str]:
        """The colour of each value as ``#rrggbb``, if the raster brings a table of colours."""
        return self._pixels.colours

    def tags(self, namespace: str) -> Mapping[str, str]:
        """Return a file's metadata in a namespace; nothing of pictures that are no file."""
        if self._dataset is None:
            return {}
        with self._lock:
            return dict(self._dataset.tags(ns=namespace))

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window, which may stick out of the raster (no data there).

        Raises:
            RasterError: most blocks are broken, or the file has vanished.
            ResourceError: the raster has to be unpacked, and the disk has no room for it.
        """
        with self._lock, _as_raster_errors(self.source.path):
            return padded(self._pixels, window)

    def overview(self, longest_px: int) -> Pixels:
        """Return the whole raster, shrunk so that its longer side is at most ``longest_px``."""
        return self.thumbnail(self.grid.window, longest_px)

    def thumbnail(self, window: Window, longest_px: int) -> Pixels:
        """Return a window inside the raster, shrunk so that its longer side is not longer."""
        shrink = max(1.0, max(window.height, window.width) / longest_px)
        shape = (max(1, round(window.height / shrink)), max(1, round(window.width / shrink)))
        with self._lock, _as_raster_errors(self.source.path):
            return self._pixels.thumbnail(window, shape)

    def with_bands(self, chosen: Sequence[int], dtype: str) -> Raster:
        """Return the raster with some of its bands (counted from 0), as another type."""
        if list(chosen) == list(range(self.bands)) and self.dtype == dtype:
            return self
        return Raster(self.source, pixels=SelectedBands(self._pixels, chosen, dtype))

    def at_resolution(self, resolution_m: float | None) -> Raster:
        """Return the raster as a model of that ground sample distance should see it.

        That is itself within a factor of 1.5, without georeference, and where ``resolution_m`` is
        not known; else the same picture on a north-up grid of that resolution, with a notice.

        Raises:
            RasterError: the resolutions are too far apart to make sense.
        """
        if resolution_m is None or not needs_resampling(self.grid, resolution_m):
            return self
        grid = north_up(self.grid, resolution_m)
        raster = Raster(self.source, pixels=Resampled(self._pixels, grid))
        raster.notices.append(
            f"{self.name} has pixels of {self.grid.resolution_m:.3g} m, the model's are of "
            f"{resolution_m:.3g} m. It is {_way(self.grid, resolution_m)} to the model's "
            f"resolution ({grid.width:,} × {grid.height:,} px); the results are on that grid."
        )
        return raster

    def check_read(self) -> None:
        """Raise RasterError if most of what was read turned out to be broken."""
        self._pixels.check_read()

    def close(self) -> None:
        """Close the file."""
        self._pixels.close()
        self._environment.close()

    def __enter__(self) -> Raster:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _opened(self, control: Control, network: bool | None) -> PixelSource:
        path = self.source.path
        safety.check_path(path)
        remote = safety.is_remote(path) if network is None else network
        options = safety.OPTIONS | ({} if remote else safety.OPTIONS_FOR_LOCAL)
        self._environment.enter_context(rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES, **options))
        with _as_raster_errors(path):
            dataset = self._dataset = self._environment.enter_context(_open(path))
            safety.check_dataset(dataset, path)
            check_complete(dataset, path)
            self.files = tuple(each for each in dataset.files if not each.endswith(".aux.xml"))
            grid, self.notices = grid_of(dataset, self.source.crs_wkt, self.name)
            pixels = self._read_from(dataset, grid, control)
        self.meaning_hash = hashlib.sha256(repr(pixels.band_info).encode()).hexdigest()
        if self._stored or is_physical(pixels):
            return pixels
        control.log(values_notice(self.name, pixels.band_info))
        return PhysicalValues(pixels)

    def _read_from(self, dataset: DatasetReader, grid: Grid, control: Control) -> PixelSource:
        """Return the way to read a dataset that suits its format."""
        if needs_unpacking(dataset):  # GDAL would take PNGs of up to 512 MB as a whole
            self._environment.enter_context(rasterio.Env(GDAL_PNG_WHOLE_IMAGE_OPTIM="NO"))
            packed = DatasetPixels(self._again(), grid, self.source, control.warn)
            return Unpacked(packed, self.name, _open, control)
        if is_slow(dataset):
            self._environment.enter_context(rasterio.Env(GDAL_NUM_THREADS="1"))
            threads = min(os.cpu_count() or 1, MOST_THREADS)
            block = dataset.block_shapes[0]
            several = [dataset] + [self._again() for _ in range(threads - 1)]
            return DecodedBlocks(
                [DatasetPixels(each, grid, self.source, control.warn) for each in several], block
            )
        return DatasetPixels(dataset, grid, self.source, control.warn)

    def _again(self) -> DatasetReader:
        return self._environment.enter_context(_open(self.source.path))


def files_of(path: str) -> list[str]:
    """Return the files on disk that a raster is read from: a VRT's sources and sidecars, too.

    Raises:
        RasterError: it is not to be trusted.
    """
    sources = safety.check_path(path)
    found = [path, *sources]
    if not safety.is_remote(path):
        # what cannot be opened is told of when it is to be read
        with (
            contextlib.suppress(
                rasterio.errors.RasterioIOError, CPLE_BaseError, UnicodeDecodeError
            ),
            rasterio.Env(**safety.OPTIONS, **safety.OPTIONS_FOR_LOCAL),
            _open(path) as dataset,
        ):
            found += dataset.files
    return [file for each in found for file in files_in_uri(each)]


def _open(path: str) -> DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)


def _way(grid: Grid, resolution_m: float) -> str:
    assert grid.resolution_m is not None
    return "averaged" if grid.resolution_m < resolution_m else "interpolated"


@contextlib.contextmanager
def _as_raster_errors(path: str) -> Iterator[None]:
    """Turn what GDAL says into one sentence for a mapper."""
    try:
        yield
    except UNREADABLE as error:
        said = str(error.__cause__ or error)
        if UNKNOWN_FORMAT in said:
            raise RasterError(
                f"{path} could not be read as a raster: the engine's GDAL "
                f"{rasterio.__gdal_version__} does not know its format. If it opens in QGIS, QGIS "
                "has a driver that the engine has not, as for ECW and MrSID: right-click the "
                "layer, choose 'Export > Save As' and GeoTIFF, and take that file."
            ) from error
        raise RasterError(
            f"{path} could not be read as a raster ({said}). Expected a "
            "complete file in a format that GDAL reads (GeoTIFF, JP2, PNG, JPEG, …). Check that it "
            "opens in QGIS at full resolution, or copy it again from its source."
        ) from error
