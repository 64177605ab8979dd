"""How good the network is on the validation areas, and which thresholds suit it there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.backends.backend import Backend
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.tiling import Tile, Window
from deepseg_qgis.engine.inference import pipeline, windows
from deepseg_qgis.engine.learning.annotation_gaps import AnnotationGaps
from deepseg_qgis.engine.learning.instance_rule_search import (
    ScoredInstanceRule,
    ValidationRegion,
    best_instance_rule,
)
from deepseg_qgis.engine.learning.threshold_search import ThresholdSearch
from deepseg_qgis.engine.legend.legend import OBJECT_PLANES, InstanceRule
from deepseg_qgis.engine.scoring.confusion import mean_of_known

PLACE_PX = 512
"""Tiles of validation whose corners lie in one square of this size lie in one place."""
OnCore = Callable[[Raster, Window, NDArray[np.uint8]], None]
"""Hears of a core of a raster what the network says there: (planes, rows, columns)."""


class ValidationListener(NamedTuple):
    """Who hears of a validation: how far it is, and what the network says."""

    control: Control
    on_core: OnCore | None = None


@dataclass(frozen=True)
class Validation:
    """Scores on the validation areas, at each category's threshold (see `ThresholdSearch`).

    ``loss`` is the mean cross entropy of a pixel in nats; scores are IoU from 0 to 1, None for a
    category that does not occur. ``instance_rule`` is the best there, None where nothing is
    countable. ``open_shares`` says of each category how much of what looks most like it has no
    polygon (see `AnnotationGaps`).
    """

    loss: float
    thresholds: tuple[float, ...]
    category_iou: tuple[float | None, ...]
    instance_rule: ScoredInstanceRule | None = None
    open_shares: tuple[float | None, ...] = ()

    @property
    def category_score(self) -> tuple[float | None, ...]:
        """The panoptic quality of each countable category, the IoU of the others."""
        rule = self.instance_rule
        qualities = rule.qualities if rule else (None,) * len(self.category_iou)
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
    usual: InstanceRule | None = None,
    listener: ValidationListener | None = None,
) -> Validation:
    """Return how good the network is on the validation areas, in tiles like those of training.

    ``countable`` (categories,) says which categories consist of objects that are told apart;
    ``usual`` is the rule that tells them apart unless another one is clearly better.
    Memory: with objects, as many bytes for each pixel of the windows around the parts of the
    validation area as there are categories, and some ten more.
    """
    side = windows.default_tile_size(training_tile_px)
    listener = listener or ValidationListener(Control())
    control = listener.control
    sums = _ValidationSums(countable, usual, listener.on_core)
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


def validation_px(labelled_rasters: Sequence[LabelledRaster], training_tile_px: int) -> int:
    """Return how many pixels a network is run on by `validate`."""
    side = windows.default_tile_size(training_tile_px)
    layouts = (
        windows.square(each.raster.grid.window, each.validation, side).wanted_alone
        for each in labelled_rasters
    )
    return sum(len(layout.tiles) for layout in layouts) * side**2


def default_validation(
    countable: NDArray[np.bool_], usual: InstanceRule | None = None
) -> Validation:
    """Return what suits a network that was never validated: plain thresholds, usual objects."""
    return _ValidationSums(countable, usual).validation(Control())


class _ValidationSums:
    """What is summed up over the windows of all validation areas."""

    def __init__(
        self,
        countable: NDArray[np.bool_],
        usual: InstanceRule | None,
        on_core: OnCore | None = None,
    ) -> None:
        self._countable, self._usual, self._on_core = countable, usual, on_core
        self._search = ThresholdSearch(len(countable))
        self._gaps = AnnotationGaps(len(countable))
        self._entropy, self._count = 0.0, 0
        self._numbers = itertools.count()
        self._regions: list[ValidationRegion] = []

    def adder(self, labelled: LabelledRaster) -> Callable[[Tile, Pixels, NDArray[np.uint8]], None]:
        """Return what adds a window of one raster."""
        number = next(self._numbers)
        collectors = _collectors(labelled, self._countable) if self._countable.any() else []
        self._regions += [each.region for each in collectors]

        def add(tile: Tile, pixels: Pixels, planes: NDArray[np.uint8]) -> None:
            core = tile.core.within(tile.window)
            known = pixels.valid[core] & labelled.validation.mask(tile.core)
            classes = labelled.annotated.mask(tile.core)
            planes = planes[:, core[0], core[1]]
            if self._on_core is not None:
                self._on_core(labelled.raster, tile.core, planes)
            probabilities = planes[: len(self._countable)]
            place = number, tile.core.row // PLACE_PX, tile.core.column // PLACE_PX
            self._search.add(probabilities, classes, known, place)
            self._gaps.add(probabilities, classes, known)
            self._entropy += _cross_entropy(probabilities, classes, known)
            self._count += int(known.sum())
            for collector in collectors:
                collector.add(tile.core, planes, known)

        return add

    def validation(self, control: Control) -> Validation:
        """Return the scores at each category's threshold, objects told apart as is best."""
        thresholds, scores = self._search.best()
        loss = self._entropy / max(self._count, 1)
        rule = None
        if self._countable.any():
            rule = best_instance_rule(
                self._regions, thresholds, self._countable, control, self._usual
            )
        return Validation(loss, thresholds, scores, rule, self._gaps.shares())


@dataclass(frozen=True)
class _RegionCollector:
    """Fills in a region, window by window; ``counts`` is where what is found there counts."""

    window: Window
    region: ValidationRegion
    counts: NDArray[np.bool_]

    def add(self, core: Window, planes: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
        """Take what was predicted in a core, as far as it lies in the region."""
        shared = core.intersection(self.window)
        target, source = shared.within(self.window), shared.within(core)
        self.region.planes[:, target[0], target[1]] = planes[:, source[0], source[1]]
        self.region.known[target] = known[source] & self.counts[target]


def _collectors(labelled: LabelledRaster, countable: NDArray[np.bool_]) -> list[_RegionCollector]:
    """Return collectors of the regions of the validation area, still empty.

    As in `evaluate`, an object that the area's edge cuts counts if half of it lies inside.
    """
    annotated, categories = labelled.annotated, len(countable)
    counts = np.append(
        True, labelled.in_validation | ~countable[annotated.classes.astype(np.int64) - 1]
    )
    collectors = []
    for window in labelled.validation.windows(labelled.raster.grid.window):
        objects = annotated.objects(window)
        region = ValidationRegion(
            np.zeros((categories + len(OBJECT_PLANES), *objects.shape), dtype=np.uint8),
            objects,
            annotated.mask(window),
            np.zeros(objects.shape, dtype=bool),
        )
        collectors.append(_RegionCollector(window, region, counts[objects]))
    return collectors


def _cross_entropy(
    probabilities: NDArray[np.uint8], classes: NDArray[np.uint8], known: NDArray[np.bool_]
) -> float:
    """Return the summed cross entropy of the known pixels, in nats."""
    categories = probabilities[:, known].astype(np.float32)
    background = np.maximum(255.0 - categories.sum(axis=0, keepdims=True), 0.0)
    channels = np.concatenate([background, categories])
    right = np.take_along_axis(channels, classes[known][None].astype(np.int64), axis=0)
    return float(-np.log(np.clip(right / 255.0, 1.0 / 510.0, 1.0)).sum(dtype=np.float64))
