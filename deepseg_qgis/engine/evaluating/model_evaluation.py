"""A model's predictions beside a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating.comparison import Comparison, Segmentation, objects_inside
from deepseg_qgis.engine.evaluating.reference import Reference
from deepseg_qgis.engine.evaluating.trained_ground import trained_share
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.class_maps import ClassMap, class_map
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.instances.finder import objects_at_once
from deepseg_qgis.engine.legend.legend import InstanceRule, Legend
from deepseg_qgis.engine.models.model_file import ModelFile
from deepseg_qgis.engine.scoring.matches import Matches
from deepseg_qgis.engine.scoring.objects import Objects
from deepseg_qgis.engine.scoring.scores import Evaluation

MARGIN_PX = 128
"""So far beyond the area is predicted, to tell how much of an object lies inside."""

NO_SHARE = 0.0005
"""A share of trained ground up to this one reads as 0.0 %."""


@dataclass(frozen=True)
class ComparedRaster:
    """The class maps of both sides, and where they count, (rows, columns) of ``region``."""

    region: Window
    predicted: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    counted: NDArray[np.bool_]


class ModelEvaluation:
    """Compares a model's predictions with a reference, raster after raster, and sums up.

    Raises:
        ParameterError: there are too many categories.
    """

    def __init__(
        self, model: ModelFile, rasters: Sequence[Raster], reference: Reference, iou: float
    ) -> None:
        self._model, self.rasters, self._reference = model, rasters, reference
        categories = reference.categories
        countable = _countable(model.card.legend, len(categories))
        self._comparison = Comparison(categories, countable, iou)

    def add(self, predictor: Predictor, number: int, control: Control) -> ComparedRaster | None:
        """Predict on the raster of that number and compare; None where it holds no area."""
        raster, area = self.rasters[number], self._reference.areas[number]
        if not area.size_px:
            return None
        predicted = class_map(predictor, raster, _with_margin(area, raster), control)
        region, known = predicted.region, predicted.known
        counted = known & area.mask(region)
        reference = self._reference.over(raster, area, region, known)
        objects = _objects(predicted, area, self._model.card.legend.instance_rule)
        self._comparison.add(Segmentation(predicted.classes, objects), reference, counted)
        return ComparedRaster(region, predicted.classes, reference.classes, counted)

    @property
    def matches(self) -> Sequence[Matches]:
        """Who was matched to whom, on one raster after the other."""
        return self._comparison.matches

    def scores(self, threshold: float | None) -> Evaluation:
        """Return all scores, with what they were taken on; None is each category's threshold."""
        card, areas = self._model.card, self._reference.areas
        size = sum(area.size_px for area in areas)
        trained = sum(
            trained_share(card.footprint, raster, area) * area.size_px
            for raster, area in zip(self.rasters, areas, strict=True)
        )
        scores = self._comparison.scores(card.legend.with_threshold(threshold).thresholds)
        return scores | {
            "model": Path(self._model.path).name,
            "rasters": [raster.name for raster in self.rasters],
            "aoi_px": size,
            "trained_share": trained / size,
            "validation_score": card.validation_score,
        }


def notes(scores: Evaluation) -> list[str]:
    """Return what the reader of the scores must know."""
    texts = []
    if scores["trained_share"] > NO_SHARE:
        texts.append(
            f"The model was trained on {scores['trained_share']:.1%} of this area, so the scores "
            "flatter it. Evaluate on ground that it has never seen."
        )
    if not any(map(any, scores["confusion"]["matrix"])):
        texts.append("The area holds no data in the raster: there is nothing to compare.")
    return texts


def _countable(legend: Legend, categories: int) -> tuple[bool, ...]:
    """Return which categories come as objects: of a semantic model all, as connected ground."""
    known = legend.countable if legend.has_objects else (True,) * len(legend.categories)
    return known + (True,) * (categories - len(known))


def _with_margin(area: Area, raster: Raster) -> Area:
    around = Area(shapely.buffer(area.geometry, MARGIN_PX, join_style="mitre"))
    return around.within(Area(box(raster.grid.window)))


def _objects(predicted: ClassMap, area: Area, instance_rule: InstanceRule | None) -> Objects:
    maps = predicted.classes, predicted.probabilities, predicted.heights
    objects = objects_at_once(maps, predicted.region, instance_rule)
    return objects_inside(area, objects.geometries, objects.classes, objects.scores)
