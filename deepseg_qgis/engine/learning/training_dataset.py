"""The training data as an indexable, seeded data set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.learning import training_sample
from deepseg_qgis.engine.learning.class_weights import class_weights
from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.learning.training_sample import TrainingSample
from deepseg_qgis.engine.learning.training_window import TrainingWindow, WindowSampler

FEWEST_WINDOWS = 256
"""An epoch has at least so many windows, however small the labelled area."""
TIMES_SHOWN = 4
MOST_REPEATED = 512
"""Small areas are shown so many times in an epoch, up to so many windows; large ones once."""
STATISTICS_WINDOWS = 64
"""The normalisation is computed from so many training windows."""
WEIGHING_WINDOWS = 256
"""The classes' weights are computed from so many training windows."""


@dataclass(frozen=True)
class TrainingDataset(Dataset[TrainingSample]):
    """The samples of one epoch, by their index.

    Sample n of epoch e hangs on seed, e and n alone: whatever order, thread or process reads it,
    and whatever was read before. `dataclasses.replace` gives the same data in another epoch.
    ``class_weights`` (classes,) is how much a pixel of each class counts, background first; None
    for all alike.
    """

    sampler: WindowSampler
    countable: NDArray[np.bool_]
    windows: int
    seed: int
    epoch: int = 0
    class_weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return self.windows

    def __getitem__(self, index: int) -> TrainingSample:
        sample = training_sample.read(self.window(index), self.countable)
        return replace(sample, class_weights=self.class_weights)

    def window(self, index: int) -> TrainingWindow:
        """Return where a sample lies, and its augmentation.

        Raises:
            IndexError: an epoch has fewer windows.
        """
        if not 0 <= index < self.windows:
            raise IndexError(f"expected a window from 0 to {self.windows - 1}, got {index}")
        return self.sampler.draw(self._generator(self.epoch, index))

    def normalisation(self) -> Normalisation:
        """Return the normalisation from random training windows, the same ones in each epoch.

        Raises:
            RasterError: the training area has no data.
        """
        return Normalisation.of(self._known_pixels())

    def weighted(self) -> TrainingDataset:
        """Return the same data, each class weighed by how often it is drawn."""
        return replace(self, class_weights=class_weights(self._drawn_px()))

    def _drawn_px(self) -> NDArray[np.int64]:
        """Return (classes,): the pixels of each class in some training windows."""
        counts = np.zeros(len(self.countable) + 1, dtype=np.int64)
        for number in range(WEIGHING_WINDOWS):
            drawn = self.sampler.draw(self._generator(number))
            known = drawn.labelled.training.mask(drawn.window)
            classes = drawn.labelled.annotated.mask(drawn.window)[known]
            counts += np.bincount(classes, minlength=len(counts))
        return counts

    def _known_pixels(self) -> Iterator[NDArray[np.float64]]:
        for number in range(STATISTICS_WINDOWS):
            sample = training_sample.read(self.sampler.draw(self._generator(number)))
            yield sample.pixels.values[:, sample.known].astype(np.float64)

    def _generator(self, *key: int) -> np.random.Generator:
        # a spawn key, since numbers appended to the seed would not tell (5, 0) from (5,)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def training_dataset(
    labelled_rasters: Sequence[LabelledRaster],
    countable: Sequence[bool],
    tile_size_px: int,
    batch_size: int,
    seed: int,
    magnification: int = 1,
) -> TrainingDataset:
    """Return the first epoch of training on labelled rasters, of full batches.

    ``countable`` (categories,) says which categories consist of objects that are told apart.
    ``tile_size_px`` is what the network sees; magnified, windows are so many times smaller, and an
    epoch has no more of them: it takes as long.
    """
    sampler = WindowSampler(labelled_rasters, tile_size_px // magnification)
    once = math.ceil(sampler.training_px / tile_size_px**2)
    windows = max(FEWEST_WINDOWS, once, min(TIMES_SHOWN * once, MOST_REPEATED))
    full = math.ceil(windows / batch_size) * batch_size
    return TrainingDataset(sampler, np.array(countable, dtype=bool), full, seed)
