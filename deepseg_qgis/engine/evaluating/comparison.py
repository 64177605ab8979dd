"""Comparing a model's class map with annotations, as pixels and as objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.annotation_layer import Annotations, placed
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box, clipped
from deepseg_qgis.engine.geometry.local_crs import are_comparable
from deepseg_qgis.engine.geometry.projections import Geometries
from deepseg_qgis.engine.geometry.repair import repair
from deepseg_qgis.engine.inference.class_maps import ClassMap, class_map
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.instances.finder import objects_at_once
from deepseg_qgis.engine.legend.legend import Category, InstanceRule
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.scoring import confusion, matching
from deepseg_qgis.engine.scoring.confusion import ConfusionMatrix
from deepseg_qgis.engine.scoring.matches import Matches
from deepseg_qgis.engine.scoring.objects import Objects

MARGIN_PX = 128
"""So far beyond the AOI is predicted, to tell how much of an object lies inside."""


@dataclass(frozen=True)
class Compared:
    """What one raster gave: its class map, the reference classes and areas of the same region."""

    raster: Raster
    found: ClassMap
    reference: NDArray[np.uint8]
    counted: NDArray[np.bool_]
    matches: Matches


class Comparison:
    """Compares raster after raster, and sums up.

    ``categories`` are the model's, then those that only the reference has: these count as missed.
    ``countable`` says of each whether it comes as objects, or as ground that nobody counts.
    ``confusions`` holds the pixels of each raster that was added.

    Raises:
        ParameterError: there are too many categories.
    """

    def __init__(
        self,
        annotations: Annotations,
        categories: tuple[Category, ...],
        countable: tuple[bool, ...],
        iou_threshold: float,
    ) -> None:
        confusion.check_categories(len(categories))
        self.categories, self.countable = categories, countable
        self._annotations, self._iou_threshold = annotations, iou_threshold
        self.confusions: list[ConfusionMatrix] = []
        self._matches: list[Matches] = []

    @property
    def confusion(self) -> ConfusionMatrix:
        """The pixels of all rasters together."""
        return ConfusionMatrix.joined(self.confusions)

    @property
    def matches(self) -> Matches:
        """The objects of all rasters together."""
        return Matches.joined(self._matches)

    def add(self, raster: Raster, area: Area, predictor: Predictor, control: Control) -> Compared:
        """Predict around the area of interest and compare inside it."""
        around = Area(shapely.buffer(area.geometry, MARGIN_PX, join_style="mitre"))
        looked_at = around.within(Area(box(raster.grid.window)))
        found = class_map(predictor, raster, looked_at, control)
        annotated = self._annotations.over(raster, self.categories)
        reference = annotated.mask(found.region)
        counted = found.known & area.mask(found.region)
        pixels = ConfusionMatrix(len(self.categories))
        pixels.add(reference, found.classes, counted)
        matches = matching.match(
            self._predicted(found, area, predictor.legend.instance_rule),
            _reference(annotated, area, found),
            len(self.categories),
            iou_threshold=self._iou_threshold,
        )
        self.confusions.append(pixels)
        self._matches.append(matches)
        return Compared(raster, found, reference, counted, matches)

    def _predicted(
        self, found: ClassMap, area: Area, instance_rule: InstanceRule | None
    ) -> Objects:
        maps = found.classes, found.probabilities, found.heights
        objects = objects_at_once(maps, found.region, instance_rule)
        return _objects(objects.geometries, objects.classes, objects.scores, area)


def _reference(annotated: AnnotatedArea, area: Area, found: ClassMap) -> Objects:
    """Return what of each annotation is not hidden by others; ignored if most of it is no data."""
    numbers, inside = annotated.objects(found.region), area.mask(found.region)
    count = len(annotated.classes) + 1
    there = np.bincount(numbers[inside], minlength=count)[1:]
    known = np.bincount(numbers[inside & found.known], minlength=count)[1:]
    ones = np.ones(len(annotated.classes))
    return _objects(annotated.visible, annotated.classes, ones, area, known < 0.5 * there)


def _objects(
    geometries: Geometries,
    classes: NDArray[np.uint8],
    scores: NDArray[np.float64],
    area: Area,
    ignored: NDArray[np.bool_] | None = None,
) -> Objects:
    """Return objects clipped to the area; ignored too with less than half of theirs inside."""
    inside, usable, _ = repair(clipped(geometries, area))
    mostly_outside = shapely.area(inside) < 0.5 * shapely.area(geometries)
    return Objects(
        inside[usable],
        classes[usable].astype(np.int64) - 1,
        scores[usable],
        (mostly_outside if ignored is None else mostly_outside | ignored)[usable],
    )


def trained_share(card: ModelCard, raster: Raster, area: Area) -> float:
    """Return which share of an area (0 to 1) the model was trained on.

    Areas of training are found by their place on the ground, or, without georeference, by the
    raster's name. What a card holds that is no area counts for nothing.
    """
    if area.size_px == 0:
        return 0.0
    parts = [_trained_part(entry, raster) for entry in card.footprint]
    known = np.array([part for part in parts if part is not None], dtype=object)
    return Area.of(known).within(area).size_px / area.size_px if len(known) else 0.0


def _trained_part(entry: Mapping[str, Any], raster: Raster) -> shapely.Geometry | None:
    try:
        shape = shapely.from_geojson(json.dumps(entry["area"]))
        crs = pyproj.CRS.from_wkt(entry["crs"]) if entry["crs"] else None
    except (KeyError, TypeError, ValueError, shapely.GEOSException, pyproj.exceptions.CRSError):
        return None
    if not are_comparable(crs, raster.grid.crs) and not _may_be(entry.get("raster"), raster.name):
        return None
    return placed(np.array([shape], dtype=object), crs, raster.grid)[0]


def _may_be(name: object, other: str) -> bool:
    """Whether two names may be of one raster: beside its namesakes it gets folders in front."""
    return isinstance(name, str) and (
        f"/{name}".endswith(f"/{other}") or other.endswith(f"/{name}")
    )
