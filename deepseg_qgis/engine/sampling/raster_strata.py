"""A raster of classes as strata: each pixel is a place, and counts by its ground.

Memory: a window at a time, and the places that are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyproj
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.label_rasters.value_names import (
    ValueNames,
    names_beside,
    names_in_tags,
)
from deepseg_qgis.engine.files.raster_output import NAMESPACE
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.local_crs import has_sizes
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates
from deepseg_qgis.engine.geometry.projections import affine
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.legend import MOST_CATEGORIES, PLAIN_COLOUR, Category
from deepseg_qgis.engine.sampling.strata import BACKGROUND, Stratum, strata_of
from deepseg_qgis.errors import RasterError, counted

WINDOW_PX = 1024
STEP_PX = 32
"""Between the places at which the ground of a pixel is measured…"""
STEPS = 128
"""…of which a raster has at least so many along its sides: in between it is interpolated."""
FEWEST_PIXELS = 2
"""From fewer no variance can be told."""

Classes = NDArray[np.int64]
Places = tuple[NDArray[np.float64], Coordinates]
"""Keys of the lottery, and pixel coordinates (x, y)."""


class RasterStrata:
    """The strata of a raster of classes, inside an area if there is one; see `CategoryMap`.

    The raster is read once here and once by `draw`.

    Raises:
        RasterError: it has several bands, holds no whole numbers, too many, or nothing but no data.
    """

    def __init__(self, raster: Raster, area: Area | None, control: Control) -> None:
        if raster.bands != 1 or np.dtype(raster.dtype).kind not in "iu":
            raise RasterError(
                f"{raster.name} is no raster of classes: expected one band of whole numbers, found "
                f"{counted(raster.bands, 'band')} of type {raster.dtype}. Choose the classes that "
                "'Predict' wrote (OUTPUT_CLASSES), or another classified raster."
            )
        self._raster, self._area, self._control = raster, area, control
        self._ground = PixelGround(raster.grid)
        pixels, sizes = self._survey()
        self._values = self._used_values(pixels)
        self._strata = strata_of(
            _categories(raster, self._values),
            np.array([sizes[value] for value in self._values]),
            in_m2=has_sizes(raster.grid.crs),
            most_points=[pixels[value] for value in self._values],
        )

    @property
    def strata(self) -> tuple[Stratum, ...]:
        """The strata, by value."""
        return self._strata

    @property
    def crs(self) -> pyproj.CRS | None:
        """The raster's CRS."""
        return self._raster.grid.crs

    def draw(self, sizes: Sequence[int], rng: np.random.Generator) -> list[Coordinates]:
        """Return the centres of random pixels of each stratum, no pixel twice.

        Each pixel's chance goes with its ground: A weight w gets the key E / w with a random E of
        the exponential distribution, and the smallest keys are drawn (Efraimidis and Spirakis,
        Weighted random sampling with a reservoir, Inf. Process. Lett. 97 (2006), 181-185).
        """
        drawn: list[Places] = [(np.empty(0), np.empty((0, 2)))] * len(self._values)
        for window, classes, known in self._windows():
            ground = self._ground.of(window)
            for number, value in enumerate(self._values):
                rows, columns = np.nonzero(known & (classes == value))
                keys = rng.standard_exponential(len(rows)) / ground[rows, columns]
                places = np.empty((len(rows), 2))
                places[:, 0], places[:, 1] = columns + window.column + 0.5, rows + window.row + 0.5
                drawn[number] = _smallest(drawn[number], (keys, places), sizes[number])
        return [affine(self._raster.grid.transform, places) for _, places in drawn]

    def _survey(self) -> tuple[dict[int, int], dict[int, float]]:
        """Return the pixels and the ground of each value."""
        pixels: dict[int, int] = {}
        sizes: dict[int, float] = {}
        for window, classes, known in self._windows():
            values, index, counts = np.unique(
                classes[known], return_inverse=True, return_counts=True
            )
            if len(values) > MOST_CATEGORIES + 1:
                raise _too_many(self._raster.name)
            ground = np.bincount(index, weights=self._ground.of(window)[known])
            for value, count, size in zip(
                values.tolist(), counts.tolist(), ground.tolist(), strict=False
            ):
                pixels[value] = pixels.get(value, 0) + count
                sizes[value] = sizes.get(value, 0.0) + size
            if len(pixels) > MOST_CATEGORIES + 1:
                raise _too_many(self._raster.name)
        return pixels, sizes

    def _used_values(self, pixels: Mapping[int, int]) -> list[int]:
        """Return the values that are strata, and tell of those that are too small."""
        for value, count in pixels.items():
            if count < FEWEST_PIXELS:
                self._control.warn(
                    f"The value {value} of {self._raster.name} is left out of the map: it has "
                    f"{counted(count, 'pixel')}, and a sample needs {FEWEST_PIXELS}."
                )
        used = sorted(value for value, count in pixels.items() if count >= FEWEST_PIXELS)
        if not used:
            raise RasterError(
                f"{self._raster.name} has no classes here: all is without data, or outside of the "
                "area of interest. Check that both lie over each other on the map."
            )
        return used

    def _windows(self) -> Iterator[tuple[Window, Classes, NDArray[np.bool_]]]:
        """Yield windows with their values and where these count."""
        grid = self._raster.grid.window
        corners = [
            (row, column)
            for row in range(0, grid.height, WINDOW_PX)
            for column in range(0, grid.width, WINDOW_PX)
        ]
        for number, (row, column) in enumerate(corners):
            self._control.check()
            self._control.progress(number / len(corners), "Reading the map")
            window = Window(row, column, WINDOW_PX, WINDOW_PX).intersection(grid)
            if self._area is not None and not self._area.touches(window):
                continue
            pixels = self._raster.read(window)
            known = pixels.valid
            if self._area is not None:
                known = known & self._area.mask(window)
            if known.any():
                yield window, pixels.values[0].astype(np.int64), known


class PixelGround:
    """The ground of the pixels of a grid in m²; 1 everywhere where sizes are not known.

    Measured on the ellipsoid at places of a lattice and interpolated bilinearly between them.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._known = has_sizes(grid.crs)
        self._step = int(np.clip(max(grid.height, grid.width) // STEPS, 1, STEP_PX))

    def of(self, window: Window) -> NDArray[np.float64]:
        """Return (rows, columns) the ground of each pixel of a window.

        Raises:
            RasterError: there are pixels that are nowhere on the ground.
        """
        if not self._known:
            return np.ones((window.height, window.width))
        rows, of_rows = self._along(window.row, window.height)
        columns, of_columns = self._along(window.column, window.width)
        xy = np.stack([np.tile(columns, len(rows)), np.repeat(rows, len(columns))], axis=1)
        nodes = self._grid.pixel_areas_m2(xy).reshape(len(rows), len(columns))
        if not np.isfinite(nodes).all():
            raise RasterError(
                "The map reaches beyond the places that its CRS can describe, so that the ground "
                "of its pixels is not known. Check its CRS, or clip it."
            )
        return np.asarray(of_rows @ nodes @ of_columns.T)

    def _along(self, start: int, length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the nodes along a side, and (pixels, nodes) how much of each a pixel takes."""
        nodes = np.append(np.arange(0.0, length - 1, self._step), length - 1.0)
        pixels = np.arange(float(length))
        unit = np.eye(len(nodes))
        weights = np.stack([np.interp(pixels, nodes, each) for each in unit], axis=1)
        return nodes + start + 0.5, weights


def _categories(raster: Raster, values: Sequence[int]) -> list[Category]:
    """Return what the values are called, by the raster or the file beside it."""
    names = ValueNames(colours=dict(raster.colours))
    names.update(names_beside(raster.source.path))
    names.update(names_in_tags(raster.tags(NAMESPACE)))
    result: list[Category] = []
    taken: set[str] = set()
    for value in values:
        usual = BACKGROUND if value == 0 else Category(str(value), PLAIN_COLOUR)
        name = names.names.get(value, usual.name)
        name = f"{name} ({value})" if name in taken else name
        taken.add(name)
        result.append(Category(name, names.colours.get(value, usual.colour)))
    return result


def _smallest(one: Places, other: Places, count: int) -> Places:
    """Return those of two sets of places that have the smallest keys."""
    keys, places = np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
    if len(keys) > count:
        kept = np.sort(np.argpartition(keys, count - 1)[:count])
        keys, places = keys[kept], places[kept]
    return keys, places


def _too_many(name: str) -> RasterError:
    return RasterError(
        f"{name} holds more than {MOST_CATEGORIES} different values. Expected a raster of classes, "
        "in which each value is a category. Choose the classes that 'Predict' wrote."
    )
