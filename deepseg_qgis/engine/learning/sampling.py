"""Training windows: where they lie, and what is read for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.augmentation import PLAIN_LIGHT, PLAIN_VIEW, Light, View
from deepseg_qgis.engine.learning.targets import CONTACT_WEIGHT, Targets, targets
from deepseg_qgis.engine.models.networks import network_input
from deepseg_qgis.errors import RasterError

FEWEST_WINDOWS = 256
"""An epoch has at least so many windows, however small the labelled area."""
TIMES_SHOWN = 4
MOST_REPEATED = 512
"""Small areas are shown so many times in an epoch, up to so many windows; large ones once."""
LEAST_FILLED = 0.2
"""Where an area fills less of its bounding box, its pixels are counted to draw one."""
TRIES = 4
"""So many windows around a place are tried, to find one clear of the validation areas."""
STATISTICS_WINDOWS = 64
"""The normalisation is computed from so many training windows."""


@dataclass(frozen=True)
class Draw:
    """A window to be read for training: of which raster, around where, and how it is seen."""

    labelled: LabelledRaster
    window: Window
    view: View = PLAIN_VIEW
    light: Light = PLAIN_LIGHT


@dataclass(frozen=True)
class Sample:
    """What the network learns from.

    ``values`` (bands, size, size) of any dtype with ``valid`` (size, size), ``classes``
    (size, size) uint8 with 0 for background, and ``known`` where the classes count; ``targets`` of
    single objects, if there are any to be told apart. ``light`` is what the network will see it in.
    """

    pixels: Pixels
    classes: NDArray[np.uint8]
    known: NDArray[np.bool_]
    targets: Targets | None = None
    light: Light = PLAIN_LIGHT


@dataclass(frozen=True)
class Batch:
    """Samples as one: ``values`` (N, bands, H, W) float32, ``classes`` (N, H, W) int64.

    ``weight`` (N, H, W) float32 is how much a pixel counts, 0 where it is not known; ``heights``
    (N, H, W) float32 and ``edges`` (N, H, W) bool, or None.
    """

    values: NDArray[np.float32]
    classes: NDArray[np.int64]
    weight: NDArray[np.float32]
    heights: NDArray[np.float32] | None = None
    edges: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each band over training pixels, in the raster's units."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]


class Sampler:
    """Draws training windows evenly over the training areas, as clear of validation as can be."""

    def __init__(
        self,
        labelled_rasters: Sequence[LabelledRaster],
        tile_size_px: int,
        rng: np.random.Generator,
    ) -> None:
        self._truths = [labelled for labelled in labelled_rasters if labelled.training.size_px > 0]
        self._places = [_PointSource(labelled.training) for labelled in self._truths]
        sizes = np.array([labelled.training.size_px for labelled in self._truths])
        self._shares = sizes / sizes.sum()
        self._tile_size = tile_size_px
        self._rng = rng
        once = math.ceil(float(sizes.sum()) / tile_size_px**2)
        repeated = min(TIMES_SHOWN * once, MOST_REPEATED)
        self.windows_per_epoch = max(FEWEST_WINDOWS, once, repeated)

    def epoch(self, batch_size: int) -> Iterator[list[Draw]]:
        """Yield the batches of an epoch, all full."""
        for _ in range(math.ceil(self.windows_per_epoch / batch_size)):
            yield [self.draw() for _ in range(batch_size)]

    def draw(self) -> Draw:
        """Return a window around a random training pixel, every pixel as likely.

        Of some windows around it, the first clear of the validation areas, else the one that has
        least of them, which `read` blanks. Were another pixel taken instead, ground between
        validation areas would hardly ever be seen.
        """
        number = int(self._rng.choice(len(self._truths), p=self._shares))
        labelled = self._truths[number]
        row, column = self._places[number].pixel(self._rng)
        tried = (self._window(labelled, row, column) for _ in range(TRIES))
        window = _clearest(tried, labelled.withheld)
        return Draw(labelled, window, View.random(self._rng), Light.random(self._rng))

    def _window(self, labelled: LabelledRaster, row: int, column: int) -> Window:
        """Return a window at a random offset around a pixel, inside the training area's bounds."""
        size = self._tile_size
        raster = labelled.raster.grid.window
        area = labelled.training.window(raster)
        up, left = (int(each) for each in self._rng.integers(size, size=2))
        return Window(
            _kept(row - up, size, (area.row, area.row_end), (0, raster.height)),
            _kept(column - left, size, (area.column, area.column_end), (0, raster.width)),
            size,
            size,
        )


class _PointSource:
    """Random pixels of an area, every one as likely.

    By rejection where the area fills its bounding box well; else by a row, as likely as it has
    pixels, and one of these. Memory: 8 bytes for each row of the bounding box.
    """

    def __init__(self, area: Area) -> None:
        self._area = area
        self._window = area.window(Window(0, 0, 2**31, 2**31))
        self._pixels: NDArray[np.int64] | None = None
        if area.size_px < LEAST_FILLED * self._window.height * self._window.width:
            self._pixels = area.row_counts(self._window).cumsum()

    def pixel(self, rng: np.random.Generator) -> tuple[int, int]:
        if self._pixels is not None and self._pixels[-1]:
            return self._counted(self._pixels, int(rng.integers(self._pixels[-1])))
        while True:
            row = self._window.row + int(rng.integers(self._window.height))
            column = self._window.column + int(rng.integers(self._window.width))
            if self._pixels is not None or self._area.touches(Window(row, column, 1, 1)):
                return row, column  # an area between the centres of pixels has none to look for

    def _counted(self, pixels: NDArray[np.int64], number: int) -> tuple[int, int]:
        """Return a pixel by its number, counted row by row."""
        window = self._window
        row = int(np.searchsorted(pixels, number, side="right"))
        before = int(pixels[row - 1]) if row else 0
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


def read(draw: Draw, countable: NDArray[np.bool_] | None = None) -> Sample:
    """Return the sample of a window as it is seen; nothing of a validation area is in it.

    ``countable`` (categories,) says which categories consist of objects that are told apart.
    """
    labelled, view, size = draw.labelled, draw.view, draw.window.height
    window = draw.window.grown(view.margin_px(size))
    sight = view.sight(window.height, size)
    pixels = labelled.raster.read(window)
    valid = pixels.valid & ~labelled.withheld.mask(window)
    known = sight.of_whole(valid & labelled.training.mask(window))
    values = np.where(valid, pixels.values, 0)
    found = None
    if countable is not None and countable.any():
        plain = targets(labelled.annotated, countable, window)
        found = Targets(
            sight.of(plain.heights), sight.of_kinds(plain.edges), sight.of_kinds(plain.contacts)
        )
    return Sample(
        Pixels(sight.of(values), sight.of_whole(valid)),
        sight.of_kinds(labelled.annotated.mask(window)),
        known,
        found,
        draw.light,
    )


def batch(samples: Sequence[Sample], normalisation: Normalisation) -> Batch:
    """Return the samples as one batch, normalised."""
    mean, std = normalisation.mean, normalisation.std
    found = [each.targets for each in samples if each.targets is not None]
    return Batch(
        np.stack([_seen(each, mean, std) for each in samples]),
        np.stack([each.classes.astype(np.int64) for each in samples]),
        np.stack([_weight(each) for each in samples]),
        np.stack([each.heights for each in found]) if found else None,
        np.stack([each.edges for each in found]) if found else None,
    )


def _seen(
    sample: Sample, mean: NDArray[np.float32], std: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (bands, rows, columns) float32: what the network sees, 0 where no data."""
    values = sample.light.on(network_input(sample.pixels, mean, std))
    return np.where(sample.pixels.valid, values, np.float32(0.0))


def _weight(sample: Sample) -> NDArray[np.float32]:
    """Return how much each pixel counts: more where it decides whether two objects are two."""
    weight = sample.known.astype(np.float32)
    if sample.targets is not None:
        weight[sample.targets.contacts] *= CONTACT_WEIGHT
    return weight


def measure(sampler: Sampler) -> Normalisation:
    """Return the normalisation from random training windows.

    Raises:
        RasterError: the training area has no data.
    """
    moments = _Moments()
    for _ in range(STATISTICS_WINDOWS):
        sample = read(sampler.draw())
        moments.add(sample.pixels.values[:, sample.known].astype(np.float64))
    if moments.count == 0:
        raise RasterError(
            "The labelled area holds no data in the raster (all of it is masked or no-data). Check "
            "the raster's no-data value, or draw the AOI where the raster has data."
        )
    smallest = np.maximum(np.abs(moments.mean) * 1e-6, 1e-6)
    return Normalisation(
        moments.mean.astype(np.float32), np.maximum(moments.std, smallest).astype(np.float32)
    )


class _Moments:
    """Mean and standard deviation of each band, over pixels that come in pieces.

    Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, COMPSTAT 1982.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(1)
        self._squares: NDArray[np.float64] = np.zeros(1)

    @property
    def std(self) -> NDArray[np.float64]:
        """The standard deviation."""
        deviation: NDArray[np.float64] = np.sqrt(self._squares / self.count)
        return deviation

    def add(self, values: NDArray[np.float64]) -> None:
        """Take (bands, pixels) float64."""
        count = values.shape[1]
        if count == 0:
            return
        mean = values.mean(axis=1)
        apart, total = mean - self.mean, self.count + count
        self._squares = self._squares + np.square(values - mean[:, None]).sum(axis=1)
        self._squares += apart**2 * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total


def _kept(start: int, size: int, *bounds: tuple[int, int]) -> int:
    """Return the start moved as little as possible to keep the span inside each bound it fits."""
    for low, high in bounds:
        if high - low >= size:
            start = min(max(start, low), high - size)
    return start
