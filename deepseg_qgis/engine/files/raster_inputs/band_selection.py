"""A picture as a network expects it: its bands in order, in the dtype and the unit of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.raster_inputs import band_order
from deepseg_qgis.engine.files.raster_inputs.bands import Band, RasterKind
from deepseg_qgis.engine.files.raster_inputs.pixels import PixelByPixel, Pixels, PixelSource
from deepseg_qgis.errors import RasterError


@dataclass(frozen=True)
class BandSelection:
    """Which bands to take (by number, from 0), and what the user should know about that."""

    chosen: tuple[int, ...]
    notices: tuple[str, ...]


def select_bands(wanted: RasterKind, found: RasterKind, owner: str, name: str) -> BandSelection:
    """Return how the raster called ``name`` is to be read as ``owner`` expects it.

    Raises:
        RasterError: it has other bands, another data type or another unit.
    """
    chosen = band_order.matching_bands(wanted.bands, found.bands)
    if chosen is None:
        raise _other_bands(wanted, found, owner, name)
    taken = RasterKind(tuple(found.bands[i] for i in chosen), found.dtype)
    _check_unit(wanted, taken, owner, name)
    notices = _old_model(wanted, taken, name) + _order(wanted, found, chosen, name)
    return BandSelection(chosen, tuple(notices))


def _old_model(wanted: RasterKind, taken: RasterKind, name: str) -> list[str]:
    """Return a notice where a model may have been trained on stored numbers."""
    if not taken.is_scaled or any(band.stored for band in wanted.bands):
        return []
    return [
        f"{name}: the model is of an older DeepSeg, which did not apply scale and offset. If its "
        "training rasters had them, train it again."
    ]


def _order(wanted: RasterKind, found: RasterKind, chosen: tuple[int, ...], name: str) -> list[str]:
    """Return notices of bands that are put in order, and of names that cannot be compared."""
    bands = [found.bands[i] for i in chosen]
    names = ", ".join(band.name for band in bands)
    reordered = chosen != tuple(range(len(found.bands))) and len(set(chosen)) == len(chosen)
    if reordered:
        numbers = ", ".join(str(i + 1) for i in chosen)
        return [f"{name}: bands {numbers} are used in this order, as {names}."]
    if len(chosen) == len(found.bands) and band_order.differ_in_name(wanted.bands, bands):
        expected = ", ".join(band.name for band in wanted.bands)
        return [
            f"{name}: expected the bands {expected}, found {names}. They are used in the order of "
            "the file. Check that they show the same."
        ]
    return []


class SelectedBands(PixelByPixel):
    """Some bands of a picture, in another order or type; a `PixelSource`."""

    def __init__(self, source: PixelSource, chosen: Sequence[int], dtype: str) -> None:
        super().__init__(source)
        self.dtype, self.bands = dtype, len(chosen)
        self.band_info = tuple(source.band_info[i] for i in chosen)
        self._chosen = list(chosen)

    def transformed(self, pixels: Pixels) -> Pixels:
        """Return the bands that were chosen, in their type."""
        values = pixels.values[self._chosen]
        if values.dtype != self.dtype:
            values = _as_dtype(np.where(pixels.valid, values, 0), np.dtype(self.dtype))
        return Pixels(values, pixels.valid)


def _as_dtype(values: NDArray[np.generic], kind: np.dtype[np.generic]) -> NDArray[np.generic]:
    if kind.kind != "f":
        limits = np.iinfo(kind.name)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(kind)


def _check_unit(wanted: RasterKind, found: RasterKind, owner: str, name: str) -> None:
    """Check that equal values mean the same on both sides.

    Real numbers are values. So are whole numbers without scale and offset, and an offset alone
    leaves the unit as it is.
    """
    both = wanted.dtype, found.dtype
    if both[0] == both[1] or all(np.dtype(kind).kind == "f" for kind in both):
        return
    scaled, plain = (wanted, found) if wanted.is_scaled else (found, wanted)
    if plain.is_scaled or not scaled.is_scaled:
        raise _other_bands(wanted, found, owner, name)
    same_unit = all(band.scale == 1.0 for band in scaled.bands)
    if not same_unit or any(band.stored != plain.dtype for band in scaled.bands):
        raise _other_unit(wanted, found, owner, name)


def _other_bands(wanted: RasterKind, found: RasterKind, owner: str, name: str) -> RasterError:
    return RasterError(
        f"{owner} expects {wanted.text}; {name} has {found.text}.{_missing(wanted, found)} Choose "
        "a raster of the same kind, or train a model on this kind."
    )


def _missing(wanted: RasterKind, found: RasterKind) -> str:
    """Return a sentence on what is there under no name, or '' where that is not the trouble."""
    if any(band.name == "palette" for band in wanted.bands):
        return " It was trained on the numbers of a palette, which mean nothing: train it again."
    told = [band for band in wanted.bands if band.key or band.colour]
    if not told or len(wanted.bands) > len(found.bands) or wanted.dtype != found.dtype:
        return ""
    there = {band.key for band in found.bands} | {band.colour for band in found.bands}
    names = [band.name for band in told if not {band.key, band.colour} & (there - {""})]
    if not names:
        return " The bands' names leave open which is which: write them into the raster."
    return f" No band of it is named {', '.join(names)}."


def _other_unit(wanted: RasterKind, found: RasterKind, owner: str, name: str) -> RasterError:
    if wanted.is_scaled:
        values = f"{owner} expects values that are {_formula(wanted.bands)}"
        other = f"{name} has whole numbers without scale and offset"
        way = f"give it the same with QGIS's 'Translate' ({_options(wanted.bands)})"
    else:
        values = f"{owner} expects whole numbers without scale and offset ({wanted.dtype})"
        other = f"the values of {name} are {_formula(found.bands)}"
        way = "take its scale and offset away with QGIS's 'Translate' (-a_scale 1 -a_offset 0)"
    return RasterError(
        f"{values}; {other}. These are different units. If the stored numbers are alike, {way}; "
        "else choose another raster, or train a model on this kind."
    )


def _formula(bands: Sequence[Band]) -> str:
    first = bands[0]
    text = f"stored numbers × {first.scale:g} + {first.offset:g}"
    alike = all((band.scale, band.offset) == (first.scale, first.offset) for band in bands)
    return text if alike else f"{text} (band 1; others differ)"


def _options(bands: Sequence[Band]) -> str:
    return f"-a_scale {bands[0].scale:g} -a_offset {bands[0].offset:g}"
