"""A picture at another resolution: averaged over areas when shrunk, bilinear when enlarged.

Only pixels with data count, and a pixel is data where at least half of its weight is. The new grid
is computed in blocks of one lattice, so that what is read does not depend on windows.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject

from deepseg_qgis.engine.files.raster_inputs.averaging import Means, averaged
from deepseg_qgis.engine.files.raster_inputs.pixels import (
    Pixels,
    PixelSource,
    padded,
    thumbnail_through,
)
from deepseg_qgis.engine.files.raster_inputs.safety import MOST_PIXELS
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.projections import affine, period_of
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError

USED_AS_IT_IS = 1.5
"""Within this factor of the wanted resolution a raster keeps its own grid."""
CLOSE_TO_WHOLE = 0.05
LARGEST_BLOCK_PX = 512
SOURCE_PX = 4096
"""The side of the source's part that a block is made from, about."""
MARGIN_PX = 2
"""What bilinear interpolation sees around a block, in pixels of the source."""
KEPT_BYTES = 128 * 2**20
"""Blocks are kept for the windows that overlap, as long as they take no more."""
COARSEST = 32.0
"""Pixels that many times as long as the model's show nothing of what it knows: a house of 8 m is
one of them, if it was learned in 25 cm."""
ANY_CRS = "EPSG:3857"
"""Both grids are in one CRS; GDAL wants to be told some."""


def needs_resampling(grid: Grid, resolution_m: float) -> bool:
    """Whether a grid is so far from a resolution (m) that objects look like others on it."""
    own = grid.resolution_m
    if own is None or own <= 0.0 or not math.isfinite(resolution_m) or resolution_m <= 0.0:
        return False
    return not 1.0 / USED_AS_IT_IS <= own / resolution_m <= USED_AS_IT_IS


def north_up(grid: Grid, resolution_m: float) -> Grid:
    """Return a north-up grid over the same ground, its pixels of the area of ``resolution_m``².

    Measured on the ellipsoid at the centre. Pixels are square in units of the CRS, or on the ground
    where those are degrees. Where a side is close to a whole number of the raster's own pixels, or
    the other way round, it is made just that: nothing is blurred between pixels then.

    Raises:
        RasterError: so coarse a raster, so many pixels, or less than one, cannot be meant.
    """
    if grid.resolution_m is not None and grid.resolution_m > COARSEST * resolution_m:
        raise RasterError(
            f"The raster has pixels of {grid.resolution_m:.3g} m, the model was trained on "
            f"{resolution_m:.3g} m. What it knows cannot be seen in pixels more than "
            f"{COARSEST:.0f} times as long. Choose a raster that is closer to the model's "
            "resolution, or train a model on this one."
        )
    corners = np.array(
        [[0, 0], [grid.width, 0], [0, grid.height], [grid.width, grid.height]], dtype=np.float64
    )
    ground = affine(grid.transform, corners)
    west, south = ground.min(axis=0)
    east, north = ground.max(axis=0)
    side_x, side_y = _sides(grid, resolution_m)
    width, height = round((east - west) / side_x), round((north - south) / side_y)
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise RasterError(
            f"The raster has {grid.width:,} × {grid.height:,} pixels of {grid.resolution_m:.3g} m; "
            f"at the model's {resolution_m:.3g} m it would have {width:,} × {height:,}. Choose a "
            "raster that is closer to the model's resolution, or train a model on this one."
        )
    return Grid(width, height, Affine(side_x, 0.0, west, 0.0, -side_y, north), grid.crs)


def _sides(grid: Grid, resolution_m: float) -> tuple[float, float]:
    """Return the width and height of the new pixels, in units of the CRS."""
    assert grid.crs is not None
    assert grid.resolution_m is not None
    a, b, _, d, e, _ = grid.transform[:6]
    side = math.sqrt(abs(a * e - b * d)) * resolution_m / grid.resolution_m
    stretch = math.sqrt(_stretch(grid)) if grid.crs.is_geographic else 1.0
    side_x, side_y = side * stretch, side / stretch
    if b == 0.0 and d == 0.0:
        return _close_to_whole(side_x, abs(a)), _close_to_whole(side_y, abs(e))
    return side_x, side_y


def _close_to_whole(side: float, own: float) -> float:
    """Return the multiple or fraction of a raster's own pixels that a side is close to, or it."""
    factor = side / own
    whole = round(factor) if factor > 1.0 else 1.0 / round(1.0 / factor)
    return own * whole if abs(factor / whole - 1.0) <= CLOSE_TO_WHOLE else side


def _stretch(grid: Grid) -> float:
    """Return how much longer a degree of latitude is than one of longitude, at the centre."""
    assert grid.crs is not None
    geod = grid.crs.get_geod()
    assert geod is not None
    _, y = grid.transform @ (grid.width / 2.0, grid.height / 2.0)
    latitude = math.radians(y * 360.0 / (period_of(grid.crs) or 360.0))
    sine = math.sin(latitude)
    # radii of the meridian and the parallel: Snyder (USGS PP 1395, 1987), eq. 4-18 and 4-20
    meridian = (1.0 - geod.es) / (1.0 - geod.es * sine * sine)
    return meridian / max(math.cos(latitude), 1e-3)


class Resampled:
    """A picture on another grid of the same CRS; a `PixelSource`.

    Memory: the part of the source under a block (`SOURCE_PX` squared, in float64 a band at a time)
    and `KEPT_BYTES`.
    """

    def __init__(self, source: PixelSource, grid: Grid) -> None:
        self.grid = grid
        self.bands, self.dtype = source.bands, source.dtype
        self.band_info, self.colours = source.band_info, source.colours
        self._source = source
        self._to_source: Affine = ~source.grid.transform @ grid.transform
        a, b, _, d, e, _ = self._to_source[:6]
        self._shrink = max(math.hypot(a, d), math.hypot(b, e))
        self._straight = abs(b) < 1e-9 * abs(a) and abs(d) < 1e-9 * abs(e)
        side = 2 ** math.floor(math.log2(max(1.0, SOURCE_PX / max(1.0, self._shrink))))
        self._side = min(LARGEST_BLOCK_PX, side)
        self._kept: OrderedDict[Window, Pixels] = OrderedDict()

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window inside the grid."""
        pixels = Pixels.none(self.bands, self.dtype, (window.height, window.width))
        for row in range(window.row // self._side, -(-window.row_end // self._side)):
            for column in range(window.column // self._side, -(-window.column_end // self._side)):
                place = Window(row * self._side, column * self._side, self._side, self._side)
                block = place.intersection(self.grid.window)
                shared = block.intersection(window)
                made = self._block(block)
                here, there = shared.within(window), shared.within(block)
                pixels.values[:, here[0], here[1]] = made.values[:, there[0], there[1]]
                pixels.valid[here] = made.valid[there]
        return pixels

    def thumbnail(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a window shrunk to (rows, columns), picked from the source."""
        shrink = max(window.height / shape[0], window.width / shape[1])
        to_window = Affine.translation(window.column, window.row) @ Affine.scale(
            window.width / shape[1], window.height / shape[0]
        )
        return thumbnail_through(
            self._source, self._to_source @ to_window, shape, shrink * self._shrink
        )

    def check_read(self) -> None:
        """Raise RasterError if most of what was read turned out to be broken."""
        self._source.check_read()

    def close(self) -> None:
        """Close the source."""
        self._kept.clear()
        self._source.close()

    def _block(self, block: Window) -> Pixels:
        if block in self._kept:
            self._kept.move_to_end(block)
            return self._kept[block]
        made = self._made(block)
        self._kept[block] = made
        size = made.values.nbytes + made.valid.nbytes
        while len(self._kept) > 1 and len(self._kept) * size > KEPT_BYTES:
            self._kept.popitem(last=False)
        return made

    def _made(self, block: Window) -> Pixels:
        under = self._under(block)
        read = padded(self._source, under)
        shape = (block.height, block.width)
        if not read.valid.any():
            return Pixels.none(self.bands, self.dtype, shape)
        transform = (
            Affine.translation(-under.column, -under.row)
            @ self._to_source
            @ Affine.translation(block.column, block.row)
        )
        values = np.zeros((self.bands, *shape), dtype=self.dtype)
        valid = np.zeros(shape, dtype=bool)
        for band in range(self.bands):
            mean, share = self._mean(read.values[band], read.valid, transform, shape)
            valid = share >= 0.5 - 1e-9
            values[band] = self._as_dtype(np.where(valid, mean, 0.0))
        return Pixels(values, valid)

    def _under(self, block: Window) -> Window:
        """Return the window of the source (it may stick out) that a block is made from."""
        rows, columns = (block.row, block.row_end), (block.column, block.column_end)
        corners = np.array([self._to_source @ (x, y) for x in columns for y in rows])
        low = np.floor(corners.min(axis=0)).astype(int) - MARGIN_PX
        high = np.ceil(corners.max(axis=0)).astype(int) + MARGIN_PX
        return Window(int(low[1]), int(low[0]), int(high[1] - low[1]), int(high[0] - low[0]))

    def _mean(
        self,
        band: NDArray[np.generic],
        valid: NDArray[np.bool_],
        transform: Affine,
        shape: tuple[int, int],
    ) -> Means:
        """Return (rows, columns) means of a band's valid pixels, and the share that is valid."""
        if self._straight and self._shrink > 1.0:
            a, _, c, _, e, f = transform[:6]
            row_ends = f + e * np.arange(shape[0] + 1)
            return averaged(band, valid, row_ends, c + a * np.arange(shape[1] + 1))
        how = Resampling.average if self._shrink > 1.0 else Resampling.bilinear
        share = _warped(valid.astype(np.float64), transform, shape, how)
        total = _warped(np.where(valid, band, 0).astype(np.float64), transform, shape, how)
        return np.divide(total, share, out=total, where=share > 0.0), share

    def _as_dtype(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        kind = np.dtype(self.dtype)
        if kind.kind == "f":
            return values
        limits = np.iinfo(kind)
        return np.asarray(np.clip(np.rint(values), limits.min, limits.max))


def _warped(
    layer: NDArray[np.float64], transform: Affine, shape: tuple[int, int], how: Resampling
) -> NDArray[np.float64]:
    """Return (rows, columns) of a layer; ``transform`` takes their coordinates to the layer's."""
    made = np.zeros(shape, dtype=np.float64)
    reproject(
        layer,
        made,
        src_transform=Affine.identity(),
        dst_transform=transform,
        src_crs=ANY_CRS,
        dst_crs=ANY_CRS,
        resampling=how,
        num_threads=1,
    )
    return made
