"""Polygons from classes, exact on pixel edges. No I/O.

An object is a 4-connected component of pixels of one class. Its polygon follows the pixels' edges,
so that its area in pixel coordinates is the number of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
import shapely.geometry
from numpy.typing import NDArray
from rasterio.features import shapes
from skimage.measure import label

from deepseg_qgis.engine.projections import Geometries
from deepseg_qgis.engine.tiling import Window


@dataclass(frozen=True)
class Components:
    """The objects of a class map, in the order of their first pixels (row by row).

    All arrays have one entry per object: polygons in pixel coordinates, classes (from 1), sizes
    in pixels, mean probability from 0 to 1, and the first pixel's row and column.
    """

    geometries: Geometries
    classes: NDArray[np.uint8]
    sizes_px: NDArray[np.int64]
    scores: NDArray[np.float64]
    first_rows: NDArray[np.int64]
    first_columns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def chosen(self, which: NDArray[np.bool_]) -> Components:
        """Return the objects for which ``which`` is True."""
        return Components(
            self.geometries[which],
            self.classes[which],
            self.sizes_px[which],
            self.scores[which],
            self.first_rows[which],
            self.first_columns[which],
        )


def components(
    classes: NDArray[np.uint8], probabilities: NDArray[np.uint8], region: Window
) -> Components:
    """Return the objects of a class map.

    Args:
        classes: (rows, columns), 0 for background.
        probabilities: (rows, columns), of each pixel's class, in 1/255.
        region: where the map lies on the raster.

    Memory: about 12 bytes a pixel, and the polygons.
    """
    labels = np.asarray(label(classes, connectivity=1, background=0), dtype=np.int32)
    flat = labels.ravel()
    sizes = np.bincount(flat)[1:].astype(np.int64)
    sums = np.bincount(flat, weights=probabilities.ravel())[1:]
    first = _first_pixels(flat, len(sizes))
    return Components(
        _outlines(labels, len(sizes), region),
        classes.ravel()[first],
        sizes,
        sums / (255.0 * sizes),
        first // region.width + region.row,
        first % region.width + region.column,
    )


def _first_pixels(flat: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return where each label from 1 to ``count`` first occurs."""
    first = np.zeros(count + 1, dtype=np.int64)
    backwards = np.flatnonzero(flat)[::-1]
    first[flat[backwards]] = backwards  # the last one written is the first in the array
    return first[1:]


def _outlines(labels: NDArray[np.int32], count: int, region: Window) -> Geometries:
    """Return the polygon around each label, in the raster's pixel coordinates."""
    outlines = np.empty(count, dtype=object)
    for outline, number in shapes(labels, mask=labels > 0, connectivity=4):
        outlines[int(number) - 1] = shapely.geometry.shape(outline)
    broken = ~shapely.is_valid(outlines)
    outlines[broken] = shapely.make_valid(outlines[broken])
    return np.asarray(
        shapely.transform(outlines, lambda xy: xy + np.array([region.column, region.row])),
        dtype=object,
    )
