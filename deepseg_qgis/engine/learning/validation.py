"""How good the network is on the validation areas, and which thresholds suit it there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.engine.geometry.tiling import Tile
from deepseg_qgis.engine.inference import pipeline, windows
from deepseg_qgis.engine.inference.backend import Engine
from deepseg_qgis.engine.inference.decisions import ThresholdSearch
from deepseg_qgis.engine.scoring.confusion import mean_of_known
from deepseg_qgis.engine.truth.ground_truth import GroundTruth


@dataclass(frozen=True)
class Validation:
    """Scores on the validation areas, at each category's best threshold there.

    ``loss`` is the mean cross entropy of a pixel in nats; scores are IoU from 0 to 1, None for a
    category that does not occur.
    """

    loss: float
    thresholds: tuple[float, ...]
    category_iou: tuple[float | None, ...]

    @property
    def score(self) -> float | None:
        """The mean IoU over the categories that occur."""
        return mean_of_known(self.category_iou)


def validate(
    engine: Engine, categories: int, truths: Sequence[GroundTruth], training_tile_px: int
) -> Validation:
    """Return how good the network is on the validation areas, in tiles like those of training."""
    side = windows.default_tile_size(training_tile_px)
    sums = _Sums(categories)
    backend = engine.backend(side, side)
    for truth in truths:
        layout = windows.square(truth.raster.grid.window, truth.validation, side)
        for _ in pipeline.run(backend, truth.raster, layout, sums.adder(truth)):
            pass
    return sums.validation()


class _Sums:
    """What is summed up over the windows of all validation areas."""

    def __init__(self, categories: int) -> None:
        self._search = ThresholdSearch(categories)
        self._entropy, self._count = 0.0, 0

    def adder(self, truth: GroundTruth) -> Callable[[Tile, Pixels, NDArray[np.uint8]], None]:
        """Return what adds a window of one raster."""

        def add(tile: Tile, pixels: Pixels, found: NDArray[np.uint8]) -> None:
            core = tile.core.within(tile.window)
            known = pixels.valid[core] & truth.validation.mask(tile.core)
            classes = truth.annotated.mask(tile.core)
            probabilities = found[:, core[0], core[1]]
            self._search.add(probabilities, classes, known)
            self._entropy += _cross_entropy(probabilities, classes, known)
            self._count += int(known.sum())

        return add

    def validation(self) -> Validation:
        """Return the scores at each category's best threshold."""
        thresholds, scores = self._search.best()
        return Validation(self._entropy / max(self._count, 1), thresholds, scores)


def _cross_entropy(
    probabilities: NDArray[np.uint8], classes: NDArray[np.uint8], known: NDArray[np.bool_]
) -> float:
    """Return the summed cross entropy of the known pixels, in nats."""
    found = probabilities[:, known].astype(np.float32)
    background = np.maximum(255.0 - found.sum(axis=0, keepdims=True), 0.0)
    every = np.concatenate([background, found])
    right = np.take_along_axis(every, classes[known][None].astype(np.int64), axis=0)
    return float(-np.log(np.clip(right / 255.0, 1.0 / 510.0, 1.0)).sum(dtype=np.float64))
