"""What stored numbers stand for: colours by a palette, or values by scale and offset.

A raster without palette, scale and offset never comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.files.raster_inputs.pixels import PixelByPixel, Pixels, PixelSource

SCALED_DTYPE = "float32"
COLOURS = ("red", "green", "blue")

Layers = tuple[NDArray[np.generic], NDArray[np.bool_]]
"""The bands (n, rows, columns) that a stored one becomes, and where they have data."""


def is_physical(source: PixelSource) -> bool:
    """Whether stored numbers are the values already."""
    return not any(band.is_scaled or band.palette for band in source.band_info)


class PhysicalValues(PixelByPixel):
    """The values of a picture of stored numbers; a `PixelSource`.

    A band with a palette becomes red, green and blue, or one band where all its colours are grey;
    what the palette does not know, or has as fully transparent, is no data. Where a band has a
    scale or an offset, all values are float32.
    """

    def __init__(self, source: PixelSource) -> None:
        super().__init__(source)
        self._ways = [_way(band) for band in source.band_info]
        self.band_info = tuple(each for band in source.band_info for each in _made_of(band))
        self.bands = len(self.band_info)
        self.dtype = _dtype(source)

    def transformed(self, pixels: Pixels) -> Pixels:
        """Return the values of stored numbers."""
        values = np.empty((self.bands, *pixels.valid.shape), dtype=self.dtype)
        known = np.zeros(pixels.valid.shape, dtype=bool)
        first = 0
        for layer, way in zip(pixels.values, self._ways, strict=True):
            made, there = way(layer)
            values[first : first + len(made)] = made
            known |= there
            first += len(made)
        known &= pixels.valid
        if values.dtype.kind == "f":
            known &= np.isfinite(values).all(axis=0)
        return Pixels(values, known)


def _dtype(source: PixelSource) -> str:
    if any(band.is_scaled for band in source.band_info if not band.palette):
        return SCALED_DTYPE
    plain = [source.dtype] if any(not band.palette for band in source.band_info) else []
    return str(np.result_type(np.uint8, *plain))


def _made_of(band: Band) -> list[Band]:
    """Return the bands that a stored one becomes."""
    if not band.palette:
        return [band]
    plain = replace(band, scale=1.0, offset=0.0, stored="uint8")
    if is_grey(band):
        return [replace(plain, name="gray", colour="")]
    return [replace(plain, name=name, colour=name, palette=()) for name in COLOURS]


def values_notice(name: str, bands: Sequence[Band]) -> str:
    """Return what the user should know about stored numbers that are no values."""
    if any(band.palette for band in bands):
        return f"{name}: the colours of its palette are used, not their numbers."
    scaled = next(band for band in bands if band.is_scaled)
    others = any((b.scale, b.offset) != (scaled.scale, scaled.offset) for b in bands)
    return (
        f"{name}: its scale and offset are applied: stored number × {scaled.scale:g} + "
        f"{scaled.offset:g}{' (other bands differ)' * others}, as {SCALED_DTYPE}."
    )


def is_grey(band: Band) -> bool:
    """Whether all colours of a palette are grey, black and white."""
    return all(red == green == blue for red, green, blue, _ in band.palette)


def _way(band: Band) -> Callable[[NDArray[np.generic]], Layers]:
    """Return what turns the stored numbers of a band (rows, columns) into `Layers`."""
    if band.palette:
        return _Lookup(band)
    return lambda stored: _scaled(stored, band)


def _scaled(stored: NDArray[np.generic], band: Band) -> Layers:
    values = stored
    if band.is_scaled:
        # in float64: an offset may be as large as the numbers
        values = stored.astype(np.float64) * band.scale + band.offset
    return values[None], np.ones(stored.shape, dtype=bool)


class _Lookup:
    """Looks colours up in a band's palette."""

    def __init__(self, band: Band) -> None:
        table = np.array(band.palette, dtype=np.uint8)  # (numbers, 4)
        self._colours = table[:, : 1 if is_grey(band) else 3].T  # (bands, numbers)
        opaque = table[:, 3] > 0
        self._there = opaque if opaque.any() else np.ones_like(opaque)

    def __call__(self, stored: NDArray[np.generic]) -> Layers:
        last = len(self._there) - 1
        known = (stored >= 0) & (stored <= last)  # type: ignore[operator]
        number = np.clip(stored, 0, last).astype(np.intp)
        return self._colours[:, number], known & self._there[number]
