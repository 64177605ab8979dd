"""How good the network is on the validation areas, and which thresholds suit it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine import inference
from deepseg_qgis.engine.confusion import mean_of_known
from deepseg_qgis.engine.decisions import ThresholdSearch
from deepseg_qgis.engine.ground_truth import GroundTruth
from deepseg_qgis.engine.inference import Predictor, area_tiles, default_tile_size


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
    predictor: Predictor, truths: Sequence[GroundTruth], training_tile_px: int
) -> Validation:
    """Return how good the network is on the validation areas, in the tiles `predict` takes."""
    predictor.network.eval()
    tile_size_px = default_tile_size(training_tile_px)
    search = ThresholdSearch(predictor.categories)
    entropy, count = 0.0, 0
    for truth in truths:
        tiles = area_tiles(truth.raster.grid, truth.validation, tile_size_px)
        for tile, found, pixels in inference.predicted(predictor, truth.raster, tiles):
            core = tile.core.within(tile.window)
            known = pixels.valid[core] & truth.validation.mask(tile.core)
            classes = truth.annotated.mask(tile.core)
            probabilities = found[:, core[0], core[1]]
            search.add(probabilities, classes, known)
            entropy += _cross_entropy(probabilities, classes, known)
            count += int(known.sum())
    thresholds, scores = search.best()
    return Validation(entropy / max(count, 1), thresholds, scores)


def _cross_entropy(
    probabilities: NDArray[np.uint8], classes: NDArray[np.uint8], known: NDArray[np.bool_]
) -> float:
    """Return the summed cross entropy of the known pixels, in nats."""
    found = probabilities[:, known].astype(np.float32)
    background = np.maximum(255.0 - found.sum(axis=0, keepdims=True), 0.0)
    every = np.concatenate([background, found])
    right = np.take_along_axis(every, classes[known][None].astype(np.int64), axis=0)
    return float(-np.log(np.clip(right / 255.0, 1.0 / 510.0, 1.0)).sum(dtype=np.float64))
