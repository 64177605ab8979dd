"""How good the network is on the validation areas, and which thresholds suit it there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.backends.backend import Backend
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Pixels
from deepseg_qgis.engine.geometry.tiling import Tile, Window
from deepseg_qgis.engine.inference import pipeline, windows
from deepseg_qgis.engine.learning.object_search import Ground, Rule, best_rule
from deepseg_qgis.engine.learning.threshold_search import ThresholdSearch
from deepseg_qgis.engine.legend.legend import OBJECT_PLANES
from deepseg_qgis.engine.scoring.confusion import mean_of_known

PLACE_PX = 512
"""Tiles of validation whose corners lie in one square of this size lie in one place."""


@dataclass(frozen=True)
class Validation:
    """Scores on the validation areas, at each category's threshold (see `ThresholdSearch`).

    ``loss`` is the mean cross entropy of a pixel in nats; scores are IoU from 0 to 1, None for a
    category that does not occur. ``rule`` tells objects apart best there, None where none are.
    """

    loss: float
    thresholds: tuple[float, ...]
    category_iou: tuple[float | None, ...]
    rule: Rule | None = None

    @property
    def category_score(self) -> tuple[float | None, ...]:
        """The panoptic quality of each countable category, the IoU of the others."""
        qualities = self.rule.qualities if self.rule else (None,) * len(self.category_iou)
        pairs = zip(qualities, self.category_iou, strict=True)
        return tuple(iou if quality is None else quality for quality, iou in pairs)

    @property
    def score(self) -> float | None:
        """The mean of `category_score` over the categories that occur.

        With both in one number, the best epoch is one with good outlines and good objects.
        """
        return mean_of_known(list(self.category_score))


def validate(
    backend: Backend,
    countable: NDArray[np.bool_],
    labelled_rasters: Sequence[LabelledRaster],
    training_tile_px: int,
    control: Control | None = None,
) -> Validation:
    """Return how good the network is on the validation areas, in tiles like those of training.

    ``countable`` (categories,) says which categories consist of objects that are told apart;
    ``control`` hears how far it is.
    Memory: with objects, as many bytes for each pixel of the windows around the parts of the
    validation area as there are categories, and some ten more.
    """
    side = windows.default_tile_size(training_tile_px)
    control = control or Control()
    sums = _Sums(countable)
    session = backend.session(side, side)
    for labelled in labelled_rasters:
        layout = windows.square(labelled.raster.grid.window, labelled.validation, side).wanted_alone
        total = len(layout.tiles)
        for number, _ in enumerate(
            pipeline.run(session, labelled.raster, layout, sums.adder(labelled)), start=1
        ):
            control.progress(
                number / total, f"Validation on {labelled.raster.name}, tile {number} of {total}"
            )
    return sums.validation(control)


def default_validation(countable: NDArray[np.bool_]) -> Validation:
    """Return what suits a network that was never validated: plain thresholds, usual objects."""
    return _Sums(countable).validation(Control())


class _Sums:
    """What is summed up over the windows of all validation areas."""

    def __init__(self, countable: NDArray[np.bool_]) -> None:
        self._countable = countable
        self._search = ThresholdSearch(len(countable))
        self._entropy, self._count = 0.0, 0
        self._numbers = itertools.count()
        self._grounds: list[Ground] = []

    def adder(self, labelled: LabelledRaster) -> Callable[[Tile, Pixels, NDArray[np.uint8]], None]:
        """Return what adds a window of one raster."""
        number = next(self._numbers)
        pieces = _pieces(labelled, self._countable) if self._countable.any() else []
        self._grounds += [piece.ground for piece in pieces]

        def add(tile: Tile, pixels: Pixels, found: NDArray[np.uint8]) -> None:
            core = tile.core.within(tile.window)
            known = pixels.valid[core] & labelled.validation.mask(tile.core)
            classes = labelled.annotated.mask(tile.core)
            planes = found[:, core[0], core[1]]
            probabilities = planes[: len(self._countable)]
            place = number, tile.core.row // PLACE_PX, tile.core.column // PLACE_PX
            self._search.add(probabilities, classes, known, place)
            self._entropy += _cross_entropy(probabilities, classes, known)
            self._count += int(known.sum())
            for piece in pieces:
                piece.add(tile.core, planes, known)

        return add

    def validation(self, control: Control) -> Validation:
        """Return the scores at each category's threshold, objects told apart as is best."""
        thresholds, scores = self._search.best()
        loss = self._entropy / max(self._count, 1)
        rule = None
        if self._countable.any():
            rule = best_rule(self._grounds, thresholds, self._countable, control)
        return Validation(loss, thresholds, scores, rule)


@dataclass(frozen=True)
class _Piece:
    """A piece of the validation area: its window, what is found there, and where that counts."""

    region: Window
    ground: Ground
    counts: NDArray[np.bool_]

    def add(self, core: Window, planes: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
        """Take what was found in a core, as far as it lies in the piece."""
        here = core.intersection(self.region)
        target, source = here.within(self.region), here.within(core)
        self.ground.planes[:, target[0], target[1]] = planes[:, source[0], source[1]]
        self.ground.known[target] = known[source] & self.counts[target]


def _pieces(labelled: LabelledRaster, countable: NDArray[np.bool_]) -> list[_Piece]:
    """Return the pieces of the validation area; nothing was found there yet.

    As in `evaluate`, an object that the area's edge cuts counts if half of it lies inside.
    """
    annotated, categories = labelled.annotated, len(countable)
    regions = labelled.validation.windows(labelled.raster.grid.window)
    counts = np.append(
        True, labelled.in_validation | ~countable[annotated.classes.astype(np.int64) - 1]
    )
    pieces = []
    for region in regions:
        objects = annotated.objects(region)
        ground = Ground(
            np.zeros((categories + len(OBJECT_PLANES), *objects.shape), dtype=np.uint8),
            objects,
            annotated.mask(region),
            np.zeros(objects.shape, dtype=bool),
        )
        pieces.append(_Piece(region, ground, counts[objects]))
    return pieces


def _cross_entropy(
    probabilities: NDArray[np.uint8], classes: NDArray[np.uint8], known: NDArray[np.bool_]
) -> float:
    """Return the summed cross entropy of the known pixels, in nats."""
    found = probabilities[:, known].astype(np.float32)
    background = np.maximum(255.0 - found.sum(axis=0, keepdims=True), 0.0)
    every = np.concatenate([background, found])
    right = np.take_along_axis(every, classes[known][None].astype(np.int64), axis=0)
    return float(-np.log(np.clip(right / 255.0, 1.0 / 510.0, 1.0)).sum(dtype=np.float64))
