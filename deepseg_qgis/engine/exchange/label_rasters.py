"""Label rasters and masks as polygons, exact to the pixel, window by window.

A *code* is the whole number that stands for a pixel's value: the value itself, or red × 65536 +
green × 256 + blue of a mask in colours. 0 (black), no data and transparent pixels are background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.imported import Piece, Place
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising.colouring import coloured
from deepseg_qgis.engine.vectorising.objects import Components, Shaping
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser
from deepseg_qgis.errors import RasterError, counted

STEP_PX = 1024
MOST_CLASSES = 254
"""More different values than that are numbers of objects, not categories."""
MOST_CODES = 10_000_000
LOSSY_FILES = (".jpg", ".jpeg")
LOSSY_COMPRESSIONS = ("JPEG", "YCbCr JPEG")

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """The different codes of one or more label rasters, in order, and the pixels of each.

    ``voids`` are codes that are read as background.
    """

    codes: Codes
    counts: Codes
    voids: tuple[int, ...] = ()

    def joined(self, other: Found) -> Found:
        """Return the codes of both."""
        codes, place = np.unique(np.concatenate([self.codes, other.codes]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([self.counts, other.counts]), len(codes))
        return Found(codes, counts.astype(np.int64))

    def without(self, voids: tuple[int, ...]) -> Found:
        """Return the codes that are not void."""
        kept = ~np.isin(self.codes, np.array(voids, dtype=np.int64))
        return Found(self.codes[kept], self.counts[kept], voids)


NOTHING = Found(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


@dataclass(frozen=True)
class Naming:
    """What codes mean: categories by name, or (``names`` None) each an object of one category."""

    names: dict[int, str] | None
    category: str = ""


def read_codes(label: Raster, window: Window, voids: tuple[int, ...] = ()) -> Codes:
    """Return (rows, columns) codes of a window, which may stick out; 0 for those of ``voids``.

    Raises:
        RasterError: the raster holds no labels, or a block is broken.
    """
    pixels = label.read(window)
    values, kind = pixels.values, np.dtype(label.dtype).kind
    if label.bands == 3 and label.dtype == "uint8":
        red, green, blue = values.astype(np.int64)
        codes = (red << 16) | (green << 8) | blue
    elif label.bands != 1:
        raise RasterError(
            f"{label.name} has {counted(label.bands, 'band')} of type {label.dtype}. Expected "
            "labels: one band of whole numbers, or red, green and blue in 8 bits. Choose another "
            "raster."
        )
    else:
        with np.errstate(invalid="ignore"):
            codes = values[0].astype(np.int64)
        if kind == "f" and (codes != values[0])[pixels.valid].any():
            raise RasterError(
                f"{label.name} has values that are no whole numbers. Expected labels; choose "
                "another raster, or make labels of it with QGIS's 'Reclassify by table'."
            )
    if is_lossy(label) and kind != "f":
        codes = _on_or_off(values)
    known = pixels.valid & ~np.isin(codes, voids) if voids else pixels.valid
    return np.where(known, codes, 0)


def is_lossy(label: Raster) -> bool:
    """Whether compression has changed values a little, so that only on and off are left."""
    tags = label.tags("IMAGE_STRUCTURE")
    return (
        tags.get("COMPRESSION") in LOSSY_COMPRESSIONS
        or tags.get("COMPRESSION_REVERSIBILITY", "").startswith("LOSSY")
        or Path(label.source.path).suffix.lower() in LOSSY_FILES
    )


def _on_or_off(values: NDArray[np.generic]) -> Codes:
    """Return 1 where any band (n, rows, columns) of a lossy mask is brighter than half, else 0."""
    half = np.iinfo(values.dtype.name).max // 2
    return np.asarray(values.max(axis=0) > half, dtype=np.int64)


def survey(label: Raster, control: Control) -> Found:
    """Return which codes a raster holds. Memory: a window, and 16 bytes for each code.

    Raises:
        RasterError: it holds no labels, or more than ten million different ones.
    """
    found = NOTHING
    windows = list(_windows(label.grid.window))
    for number, window in enumerate(windows):
        control.check()
        control.progress(number / len(windows), f"Looking at {label.name}")
        codes, counts = np.unique(read_codes(label, window), return_counts=True)
        found = found.joined(Found(codes[codes != 0], counts[codes != 0]))
        if len(found.codes) > MOST_CODES:
            raise RasterError(
                f"{label.name} has more than {MOST_CODES:,} different values. Expected labels: a "
                "number for each category or object. Choose another raster."
            )
    return found


def outlined(
    label: Raster, found: Found, naming: Naming, place: Place, control: Control
) -> Iterator[Piece]:
    """Yield the polygons of a label raster, exact to the pixel.

    Categories: 4-connected pieces. Objects: all pixels of a number, in several parts where they do
    not touch. Memory: a window, outlines that are not complete, 16 bytes for each code, and
    objects of which a part is still missing.

    Raises:
        RasterError: a block is broken, or an object touches hundreds of others.
    """
    classes = _classes(label, found, naming, control)
    objects = _Objects(label, found) if naming.names is None else None
    windows = list(_windows(label.grid.window))
    ordered = sorted(set((naming.names or {}).values()))
    with Vectoriser(label.grid.window, Shaping()) as vectoriser:
        for number, window in enumerate(windows):
            control.check()
            control.progress(number / len(windows), f"Outlining {label.name}")
            codes = read_codes(label, window, found.voids)
            pixels = _looked_up(codes, found.codes, classes)
            components = vectoriser.add(window, pixels, pixels)
            if objects is not None:
                shapes, ids = objects.add(components, window, codes)
                names = [naming.category] * len(ids)
            else:
                shapes = components.geometries
                ids = (components.first_rows * place.grid.width + components.first_columns).tolist()
                names = [ordered[i - 1] for i in components.classes.tolist()]
            if len(shapes):
                yield Piece(place, shapes, ids, names, [None] * len(shapes))
        vectoriser.check_complete()


def _classes(label: Raster, found: Found, naming: Naming, control: Control) -> NDArray[np.uint8]:
    """Return the class, from 1, of each code; different ones for objects that touch."""
    if naming.names is not None:
        ordered = sorted(set(naming.names.values()))
        numbers = {name: i + 1 for i, name in enumerate(ordered)}
        return np.array([numbers[naming.names[c]] for c in found.codes.tolist()], dtype=np.uint8)
    colours = coloured(_touching(label, found, control), len(found.codes))
    if colours is None:
        raise RasterError(
            f"In {label.name} an object touches hundreds of others, and those one another. "
            "Expected numbers of objects; choose 'categories' for the values, or another raster."
        )
    return colours


def _touching(label: Raster, found: Found, control: Control) -> Codes:
    """Return (n, 2) which codes, by number, lie side by side or one above the other."""
    count = max(len(found.codes), 1)
    pairs = np.empty(0, dtype=np.int64)
    for window in _windows(label.grid.window):
        control.check()
        wider = Window(window.row, window.column, window.height + 1, window.width + 1)
        codes = read_codes(label, wider, found.voids)
        numbers = np.searchsorted(found.codes, codes)
        for one, other in (
            ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
            ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ):
            meet = (codes[one] != codes[other]) & (codes[one] != 0) & (codes[other] != 0)
            low = np.minimum(numbers[one][meet], numbers[other][meet])
            high = np.maximum(numbers[one][meet], numbers[other][meet])
            pairs = np.unique(np.concatenate([pairs, low * count + high]))
    return np.column_stack([pairs // count, pairs % count])


def _looked_up(codes: Codes, known: Codes, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if len(known) == 0:
        return np.zeros(codes.shape, dtype=np.uint8)
    number = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[number] == codes, classes[number], np.uint8(0))


class _Objects:
    """Puts the parts of each object together, which come when they are complete."""

    def __init__(self, label: Raster, found: Found) -> None:
        self._label, self._found = label, found
        self._missing: dict[int, int] = {}
        self._parts: dict[int, list[shapely.Geometry]] = {}

    def add(
        self, components: Components, window: Window, codes: Codes
    ) -> tuple[Geometries, Sequence[int]]:
        """Return the objects that are complete now, and their codes."""
        ids: list[int] = []
        for geometry, code, size in zip(
            components.geometries,
            self._codes_of(components, window, codes),
            components.sizes_px.tolist(),
            strict=True,
        ):
            if code not in self._missing:
                at = int(np.searchsorted(self._found.codes, code))
                self._missing[code] = int(self._found.counts[at])
            self._missing[code] -= size
            self._parts.setdefault(code, []).append(geometry)
            if self._missing[code] == 0:
                del self._missing[code]
                ids.append(code)
        shapes: Geometries = np.empty(len(ids), dtype=object)
        for i, code in enumerate(ids):
            parts = self._parts.pop(code)
            shapes[i] = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
        return shapes, ids

    def _codes_of(self, components: Components, window: Window, codes: Codes) -> list[int]:
        """Return the code at each object's first pixel, most of which are at hand."""
        result = []
        for row, column in zip(
            components.first_rows.tolist(), components.first_columns.tolist(), strict=True
        ):
            inside = window.row <= row and window.column <= column < window.column_end
            if inside:
                result.append(int(codes[row - window.row, column - window.column]))
            else:
                result.append(int(read_codes(self._label, Window(row, column, 1, 1))[0, 0]))
        return result


def _windows(whole: Window) -> Iterator[Window]:
    """Yield windows that cover the raster, row by row."""
    for row in range(0, whole.height, STEP_PX):
        for column in range(0, whole.width, STEP_PX):
            yield Window(row, column, STEP_PX, STEP_PX).intersection(whole)
