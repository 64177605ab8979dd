"""Several pictures as one: the earlier in the list lies on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepseg_qgis.engine.files.raster_inputs.pixels import Pixels, PixelSource, thumbnail_through
from deepseg_qgis.engine.files.raster_inputs.safety import MOST_PIXELS
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError, counted

MOST_DRIFT_PX = 0.5
"""Grids are alike if no pixel of one lies further from its place on the other's lattice, beyond a
shift of the whole raster by less than that."""


class Mosaic:
    """Pictures of one CRS, resolution and kind of bands on the first one's grid; a `PixelSource`.

    A raster whose pixels lie between those of the first one is moved by up to half a pixel: values
    stay as they were measured.

    Raises:
        RasterError: the pictures do not go together.
    """

    def __init__(self, sources: Sequence[PixelSource], names: Sequence[str]) -> None:
        first = sources[0]
        self.bands, self.dtype = first.bands, first.dtype
        self.band_info, self.colours = first.band_info, first.colours
        for source, name in zip(sources[1:], names[1:], strict=True):
            _check_alike(first, source, names[0], name)
        places = [_place(first.grid, source.grid) for source in sources]
        row, column = min(each.row for each in places), min(each.column for each in places)
        height = max(each.row_end for each in places) - row
        width = max(each.column_end for each in places) - column
        if height * width > MOST_PIXELS:
            raise RasterError(
                f"The mosaic would have {width:,} × {height:,} pixels: the rasters lie too far "
                "apart. Switch MOSAIC off, or choose neighbouring ones."
            )
        transform = first.grid.transform @ Affine.translation(column, row)
        self.grid = Grid(width, height, transform, first.grid.crs)
        self._sources = list(sources)
        self._places = [
            Window(each.row - row, each.column - column, each.height, each.width) for each in places
        ]

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window inside the grid."""
        pixels = Pixels.none(self.bands, self.dtype, (window.height, window.width))
        for source, place in zip(self._sources, self._places, strict=True):
            shared = window.intersection(place)
            if not (shared.height and shared.width):
                continue
            at = shared.within(window)
            if pixels.valid[at].all():
                continue
            read = source.read(_moved(shared, -place.row, -place.column))
            _lay_under(pixels.values[:, at[0], at[1]], pixels.valid[at], read)
        return pixels

    def thumbnail(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a window shrunk to (rows, columns) by nearest neighbour."""
        pixels = Pixels.none(self.bands, self.dtype, shape)
        across, down = window.width / shape[1], window.height / shape[0]
        for source, place in zip(self._sources, self._places, strict=True):
            if window.intersects(place):
                to_source = Affine.translation(
                    window.column - place.column, window.row - place.row
                ) @ Affine.scale(across, down)
                small = thumbnail_through(source, to_source, shape, max(across, down))
                _lay_under(pixels.values, pixels.valid, small)
        return pixels

    def check_read(self) -> None:
        """Raise RasterError if most of what was read of a raster turned out to be broken."""
        for source in self._sources:
            source.check_read()

    def close(self) -> None:
        """Close all rasters."""
        for source in self._sources:
            source.close()


def mosaic_name(names: Sequence[str]) -> str:
    """Return what predictions from a mosaic carry as their source."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _lay_under(values: NDArray[np.generic], valid: NDArray[np.bool_], below: Pixels) -> None:
    """Fill, in place, what has no data yet."""
    new = below.valid & ~valid
    values[:, new] = below.values[:, new]
    valid |= new


def _moved(window: Window, rows: int, columns: int) -> Window:
    return Window(window.row + rows, window.column + columns, window.height, window.width)


def _place(first: Grid, grid: Grid) -> Window:
    """Return where a grid lies on the first one's lattice."""
    column, row = ~first.transform @ (grid.transform @ (0.0, 0.0))
    return Window(round(row), round(column), grid.height, grid.width)


def _check_alike(first: PixelSource, source: PixelSource, first_name: str, name: str) -> None:
    if (source.bands, source.dtype) != (first.bands, first.dtype):
        raise _unlike(
            f"{name} has {counted(source.bands, 'band')} of type {source.dtype}, {first_name} has "
            f"{first.bands} of type {first.dtype}"
        )
    if first.grid.crs is None or source.grid.crs is None:
        raise _unlike("without a CRS nobody knows how the rasters lie to each other")
    if source.grid.crs != first.grid.crs:
        raise _unlike(
            f"{name} is in the CRS {source.grid.crs.name}, {first_name} in {first.grid.crs.name}"
        )
    to_first = ~first.grid.transform @ source.grid.transform
    a, b, _, d, e, _ = to_first[:6]
    across = np.hypot(a - 1.0, d) * source.grid.width
    down = np.hypot(b, e - 1.0) * source.grid.height
    if across + down > MOST_DRIFT_PX:
        raise _unlike(
            f"{name} has pixels of {source.grid.resolution_m:.6g} m, {first_name} of "
            f"{first.grid.resolution_m:.6g} m, or they are turned otherwise"
        )


def _unlike(why: str) -> RasterError:
    return RasterError(
        f"The rasters cannot be one mosaic: {why}. Expected one CRS, one resolution and the same "
        "bands. Switch MOSAIC off, or bring them into line with QGIS's 'Warp (reproject)'."
    )
