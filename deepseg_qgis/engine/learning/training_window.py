"""Training windows: half of them evenly over all ground, half around objects. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.augmentation import (
    SAME_GEOMETRY,
    SAME_LIGHT,
    GeometricTransform,
    PhotometricTransform,
)
from deepseg_qgis.engine.learning.object_sampler import ObjectSampler

LEAST_FILLED = 0.2
"""Where an area fills less of its bounding box, its pixels are counted to draw one."""
OBJECT_SHARE = 0.5
"""So many windows lie around objects, so that rare categories are seen; the others evenly over all
ground, so that empty ground is."""
TRIES = 4
"""So many windows around a pixel are tried, to find one clear of the validation areas."""


@dataclass(frozen=True)
class TrainingWindow:
    """A window to be read for training: of which raster, around where, and its augmentation."""

    labelled: LabelledRaster
    window: Window
    geometry: GeometricTransform = SAME_GEOMETRY
    light: PhotometricTransform = SAME_LIGHT


class WindowSampler:
    """Draws training windows around objects and over all ground, as clear of validation as can be.

    It holds no state that drawing changes: equal generators draw equal windows, from any thread.
    """

    def __init__(self, labelled_rasters: Sequence[LabelledRaster], tile_size_px: int) -> None:
        self.tile_size_px = tile_size_px
        self._labelled = [each for each in labelled_rasters if each.training.size_px > 0]
        self._pixels = [_PixelSampler(each.training) for each in self._labelled]
        self._objects = ObjectSampler(self._labelled)
        self._object_share = OBJECT_SHARE if self._objects.count else 0.0
        sizes = np.array([each.training.size_px for each in self._labelled])
        self.training_px = float(sizes.sum())
        self._shares = sizes / sizes.sum()

    def draw(self, rng: np.random.Generator) -> TrainingWindow:
        """Return a window around a random pixel, of an object or of all ground.

        Of some windows around it, the first clear of the validation areas, else the one that has
        least of them, which `read` blanks. Were another pixel taken instead, ground between
        validation areas would hardly ever be seen.
        """
        if rng.random() < self._object_share:
            number, row, column = self._objects.draw(rng)
        else:
            number = int(rng.choice(len(self._labelled), p=self._shares))
            row, column = self._pixels[number].draw(rng)
        labelled = self._labelled[number]
        tried = (self._around(labelled, row, column, rng) for _ in range(TRIES))
        window = _clearest(tried, labelled.withheld)
        return TrainingWindow(
            labelled, window, GeometricTransform.random(rng), PhotometricTransform.random(rng)
        )

    def _around(
        self, labelled: LabelledRaster, row: int, column: int, rng: np.random.Generator
    ) -> Window:
        """Return a window at a random offset around a pixel, inside the training area's bounds."""
        size = self.tile_size_px
        raster = labelled.raster.grid.window
        area = labelled.training.window(raster)
        up, left = (int(each) for each in rng.integers(size, size=2))
        return Window(
            _shifted(row - up, size, (area.row, area.row_end), (0, raster.height)),
            _shifted(column - left, size, (area.column, area.column_end), (0, raster.width)),
            size,
            size,
        )


class _PixelSampler:
    """Random pixels of an area, every one as likely.

    By rejection where the area fills its bounding box well; else by a row, as likely as it has
    pixels, and one of these. Memory: 8 bytes for each row of the bounding box.
    """

    def __init__(self, area: Area) -> None:
        self._area = area
        self._window = area.window(Window(0, 0, 2**31, 2**31))
        self._counts: NDArray[np.int64] | None = None
        if area.size_px < LEAST_FILLED * self._window.height * self._window.width:
            self._counts = area.row_counts(self._window).cumsum()

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Return the row and column of a pixel."""
        if self._counts is not None and self._counts[-1]:
            return self._by_number(self._counts, int(rng.integers(self._counts[-1])))
        while True:
            row = self._window.row + int(rng.integers(self._window.height))
            column = self._window.column + int(rng.integers(self._window.width))
            if self._counts is not None or self._area.touches(Window(row, column, 1, 1)):
                return row, column  # an area between the centres of pixels has none to look for

    def _by_number(self, counts: NDArray[np.int64], number: int) -> tuple[int, int]:
        """Return a pixel by its number, counted row by row (``counts``: pixels up to each row)."""
        window = self._window
        row = int(np.searchsorted(counts, number, side="right"))
        before = int(counts[row - 1]) if row else 0
        inside = self._area.mask(Window(window.row + row, window.column, 1, window.width))[0]
        return window.row + row, window.column + int(np.flatnonzero(inside)[number - before])


def _clearest(windows: Iterable[Window], area: Area) -> Window:
    """Return the first window that shares no ground with an area, else one that shares least."""
    best, least = None, math.inf
    for window in windows:
        shared = area.shared_px(window)
        if shared < least:
            best, least = window, shared
        if shared == 0.0:
            break
    assert best is not None
    return best


def _shifted(start: int, size: int, *bounds: tuple[int, int]) -> int:
    """Return the start moved as little as possible to keep the span inside each bound it fits."""
    for low, high in bounds:
        if high - low >= size:
            start = min(max(start, low), high - size)
    return start
