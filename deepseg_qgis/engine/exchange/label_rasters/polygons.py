"""Label rasters and masks as polygons, exact to the pixel, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.imported_polygons import PolygonBatch, TargetRaster
from deepseg_qgis.engine.exchange.label_rasters.codes import (
    CodeCounts,
    Codes,
    read_codes,
    windows_over,
)
from deepseg_qgis.engine.exchange.label_rasters.meanings import ValueMeaning
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.polygon_arrays import as_geometries
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising.colouring import coloured
from deepseg_qgis.engine.vectorising.components import Components
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser
from deepseg_qgis.errors import RasterError


def label_polygons(
    label: Raster,
    counts: CodeCounts,
    meaning: ValueMeaning,
    target: TargetRaster,
    control: Control,
) -> Iterator[PolygonBatch]:
    """Yield the polygons of a label raster, exact to the pixel.

    Categories: 4-connected pieces. Objects: all pixels of a number, in several parts where they do
    not touch. Memory: a window, outlines that are not complete, 16 bytes for each code, and
    objects of which a part is still missing.

    Raises:
        RasterError: a block is broken, or an object touches hundreds of others.
    """
    classes = _classes(label, counts, meaning, control)
    objects = _ObjectParts(label, counts) if meaning.names is None else None
    names = sorted(set((meaning.names or {}).values()))
    windows = list(windows_over(label.grid.window))
    with Vectoriser(label.grid.window, PolygonOptions()) as vectoriser:
        for number, window in enumerate(windows):
            control.check()
            control.progress(number / len(windows), f"Outlining {label.name}")
            codes = read_codes(label, window, counts.voids)
            pixels = _looked_up(codes, counts.codes, classes)
            components = vectoriser.add(window, pixels, pixels)
            if objects is not None:
                batch = objects.batch(components, window, codes, target, meaning.category)
            else:
                batch = _category_batch(components, names, target)
            if len(batch.geometries):
                yield batch
        vectoriser.check_complete()


def _category_batch(
    components: Components, names: Sequence[str], target: TargetRaster
) -> PolygonBatch:
    """Return components with the names of their classes; their ids are those of predictions."""
    shapes = components.geometries
    ids = (components.first_rows * target.grid.width + components.first_columns).tolist()
    categories = [names[number - 1] for number in components.classes.tolist()]
    return PolygonBatch(target, shapes, ids, categories, [None] * len(shapes))


def _classes(
    label: Raster, counts: CodeCounts, meaning: ValueMeaning, control: Control
) -> NDArray[np.uint8]:
    """Return the class, from 1, of each code; different ones for objects that touch."""
    names = meaning.names
    if names is not None:
        numbers = {name: i for i, name in enumerate(sorted(set(names.values())), start=1)}
        return np.array([numbers[names[code]] for code in counts.codes.tolist()], dtype=np.uint8)
    colours = coloured(_touching(label, counts, control), len(counts.codes))
    if colours is None:
        raise RasterError(
            f"In {label.name} an object touches hundreds of others, and those one another. "
            "Expected numbers of objects; choose 'categories' for the values, or another raster."
        )
    return colours


def _touching(label: Raster, counts: CodeCounts, control: Control) -> Codes:
    """Return (n, 2) which codes, by number, lie side by side or one above the other."""
    count = max(len(counts.codes), 1)
    pairs = np.empty(0, dtype=np.int64)
    for window in windows_over(label.grid.window):
        control.check()
        wider = Window(window.row, window.column, window.height + 1, window.width + 1)
        codes = read_codes(label, wider, counts.voids)
        numbers = np.searchsorted(counts.codes, codes)
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


class _ObjectParts:
    """Parts of objects, until all of an object's parts are there."""

    def __init__(self, label: Raster, counts: CodeCounts) -> None:
        self._label, self._counts = label, counts
        self._missing_px: dict[int, int] = {}
        self._parts: dict[int, list[shapely.Geometry]] = {}

    def batch(
        self,
        components: Components,
        window: Window,
        codes: Codes,
        target: TargetRaster,
        category: str,
    ) -> PolygonBatch:
        """Add the components; return the objects that are complete now, with codes as ids."""
        complete = self._add(components, self._codes_of(components, window, codes))
        shapes = as_geometries([_joined(self._parts.pop(code)) for code in complete])
        return PolygonBatch(
            target, shapes, complete, [category] * len(shapes), [None] * len(shapes)
        )

    def _add(self, components: Components, codes: Sequence[int]) -> list[int]:
        """Add components; return the codes of the objects that are complete now."""
        complete: list[int] = []
        for geometry, code, size in zip(
            components.geometries, codes, components.sizes_px.tolist(), strict=True
        ):
            if code not in self._missing_px:
                index = int(np.searchsorted(self._counts.codes, code))
                self._missing_px[code] = int(self._counts.counts[index])
            self._missing_px[code] -= size
            self._parts.setdefault(code, []).append(geometry)
            if self._missing_px[code] == 0:
                del self._missing_px[code]
                complete.append(code)
        return complete

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


def _joined(parts: list[shapely.Geometry]) -> shapely.Geometry:
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
