"""Pixels, and what every source of them can do. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window


@dataclass(frozen=True)
class Pixels:
    """Pixels of a window.

    ``values`` has shape (bands, rows, columns) in the raster's dtype; where ``valid`` (rows,
    columns; bool) is False there is no data, and the values mean nothing.
    """

    values: NDArray[np.generic]
    valid: NDArray[np.bool_]

    @classmethod
    def none(cls, bands: int, dtype: str, shape: tuple[int, int]) -> Pixels:
        """Return pixels (rows, columns) without data."""
        return cls(np.zeros((bands, *shape), dtype=dtype), np.zeros(shape, dtype=bool))


class PixelSource(Protocol):
    """A picture on a grid: a dataset, or something made of other pictures."""

    @property
    def grid(self) -> Grid:
        """Where the pixels lie."""

    @property
    def bands(self) -> int:
        """The number of bands that are data."""

    @property
    def dtype(self) -> str:
        """The numpy name of the values' type."""

    @property
    def band_info(self) -> tuple[Band, ...]:
        """What is known of each band."""

    @property
    def colours(self) -> Mapping[int, str]:
        """The colour of each value as ``#rrggbb``; empty without a table of colours."""

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window inside the grid; not from two threads at a time."""

    def thumbnail(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a window inside the grid, shrunk to (rows, columns) by nearest neighbour."""

    def check_read(self) -> None:
        """Raise RasterError if most of what was read turned out to be broken."""

    def close(self) -> None:
        """Let go of files; may be called twice."""


class PixelByPixel:
    """A picture whose every pixel is made from that pixel of another picture; a `PixelSource`.

    Subclasses fill in `made`, and what a `PixelSource` says of itself.
    """

    def __init__(self, source: PixelSource) -> None:
        self.grid = source.grid
        self.colours: Mapping[int, str] = {}
        self._source = source

    def transformed(self, pixels: Pixels) -> Pixels:
        """Return what pixels of the source become."""
        raise NotImplementedError

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window inside the grid."""
        return self.transformed(self._source.read(window))

    def thumbnail(self, window: Window, shape: tuple[int, int]) -> Pixels:
        """Return a window shrunk to (rows, columns) by nearest neighbour."""
        return self.transformed(self._source.thumbnail(window, shape))

    def check_read(self) -> None:
        """Raise RasterError if most of what was read turned out to be broken."""
        self._source.check_read()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def padded(source: PixelSource, window: Window) -> Pixels:
    """Return the pixels of a window that may stick out of the grid: no data there."""
    inside = window.intersection(source.grid.window)
    if inside == window:
        return source.read(window)
    pixels = Pixels.none(source.bands, source.dtype, (window.height, window.width))
    if inside.height and inside.width:
        rows, columns = inside.within(window)
        read = source.read(inside)
        pixels.values[:, rows, columns] = read.values
        pixels.valid[rows, columns] = read.valid
    return pixels


def thumbnail_through(
    source: PixelSource, to_source: Affine, shape: tuple[int, int], shrink: float
) -> Pixels:
    """Return (rows, columns) pixels picked from a source by nearest neighbour.

    ``to_source`` takes their coordinates to the source's pixel coordinates; about every
    ``shrink``-th pixel of the source is looked at.
    """
    found = Pixels.none(source.bands, source.dtype, shape)
    corners = np.array([to_source @ at for at in _corners(shape)])
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    around = Window(int(low[1]), int(low[0]), int(high[1] - low[1]), int(high[0] - low[0]))
    inside = around.intersection(source.grid.window)
    if not (inside.height and inside.width):
        return found
    size = _divided(inside.height, shrink), _divided(inside.width, shrink)
    small = source.thumbnail(inside, size)
    columns, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x, y = to_source @ (columns, rows)
    column = np.floor((x - inside.column) * size[1] / inside.width).astype(np.int64)
    row = np.floor((y - inside.row) * size[0] / inside.height).astype(np.int64)
    there = (column >= 0) & (column < size[1]) & (row >= 0) & (row < size[0])
    found.values[:, there] = small.values[:, row[there], column[there]]
    found.valid[there] = small.valid[row[there], column[there]]
    return found


def _corners(shape: tuple[int, int]) -> list[tuple[int, int]]:
    return [(0, 0), (shape[1], 0), (0, shape[0]), (shape[1], shape[0])]


def _divided(length: int, by: float) -> int:
    return max(1, round(length / max(1.0, by)))
