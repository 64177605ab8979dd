"""What a network learns from: categories, and rasters on which they are annotated."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely

from deepseg_qgis.engine.annotations import (
    annotation_layer,
    continued_split,
    countability,
    labelled_raster,
    validation_split,
)
from deepseg_qgis.engine.annotations.annotation_layer import Annotations
from deepseg_qgis.engine.annotations.countability import AnnotationStatistics
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, clipped
from deepseg_qgis.engine.learning import object_sizes
from deepseg_qgis.engine.learning.earlier_training import EarlierTraining
from deepseg_qgis.engine.legend.legend import LONGEST_NAME, Category, task_of
from deepseg_qgis.errors import MOST_LISTED, VectorError, counted, listed
from deepseg_qgis.jobs import TrainingJob, VectorSource

NEW_TILES = 2
"""New ground of fewer tiles is not divided again when a model goes on learning."""
FEW = 10
"""Fewer polygons of a category than these are worth a warning."""


@dataclass(frozen=True)
class TrainingSet:
    """Categories, and rasters on which they are annotated.

    ``categories`` are those that occur on labelled ground, and ``countable`` says of each whether
    its objects are told apart.
    """

    categories: tuple[Category, ...]
    countable: tuple[bool, ...]
    labelled_rasters: tuple[LabelledRaster, ...]

    @functools.cached_property
    def amount(self) -> dict[str, int]:
        """How much there is to learn from: the polygons and pixels of the training areas."""
        polygons = sum(
            int(each.annotated.mostly_within(each.training).sum()) for each in self.labelled_rasters
        )
        pixels = sum(each.training.size_px for each in self.labelled_rasters)
        return {"training_polygons": polygons, "training_px": int(pixels)}

    @functools.cached_property
    def least_px(self) -> tuple[int, ...]:
        """How many pixels an object of each category has at least, by the annotations alone."""
        return object_sizes.least_sizes(self.labelled_rasters, len(self.categories))


def load_training_set(
    job: TrainingJob,
    rasters: Sequence[Raster],
    control: Control,
    rng: np.random.Generator,
    earlier: EarlierTraining | None = None,
) -> TrainingSet:
    """Return what the annotations of a job teach on its rasters; say what was found.

    ``earlier`` is the training of the initial model, if there is one.

    Raises:
        DeepSegError: layers or names of categories cannot be used.
    """
    layer = annotation_layer.load(job.annotations, control)
    if earlier is not None:
        layer = layer.named_as(earlier.categories, control)
    _check_names([each.name for each in layer.categories], job.annotations.name)
    stuff = countability.stuff_categories(
        job.stuff_categories, [each.name for each in layer.categories]
    )
    earlier = earlier or EarlierTraining()
    categories, labelled_rasters = _labelled(job, layer, rasters, earlier, control, rng)
    countable = _countable(job, stuff, labelled_rasters, categories, earlier, control)
    return TrainingSet(categories, countable, tuple(labelled_rasters))


def _check_names(names: Sequence[str], layer: str) -> None:
    """Check that the names of categories can stand in a model file."""
    longest = max(names, key=len)
    if len(longest) > LONGEST_NAME:
        raise VectorError(
            f"A category of '{layer}' has a name of {len(longest):,} characters "
            f"({longest[:40]!r}…); DeepSeg takes up to {LONGEST_NAME:,}. Choose the field that "
            "holds the category, not a description."
        )


def _labelled(
    job: TrainingJob,
    layer: Annotations,
    rasters: Sequence[Raster],
    earlier: EarlierTraining,
    control: Control,
    rng: np.random.Generator,
) -> tuple[tuple[Category, ...], list[LabelledRaster]]:
    """Return the categories, and each raster with its annotations, training and validation area."""
    annotation_layer.require_touching(layer, list(rasters))
    areas = [labelled_raster.labelled_area(layer, job.aoi, raster, control) for raster in rasters]
    if not any(area.size_px for area in areas):
        raise VectorError(
            "The area of interest does not touch any of the rasters. Draw it over the annotated "
            "ground, or leave it empty."
        )
    categories = _categories_in(layer, rasters, areas, earlier)
    if earlier.categories:
        earlier.log([each.name for each in categories], control)
    whole = [
        LabelledRaster(
            raster,
            layer.over(raster, categories),
            area,
            area.without(area),
            unknown=layer.unknown_on(raster),
        )
        for raster, area in zip(rasters, areas, strict=True)
    ]
    if job.aoi is None:
        _warn_of_no_area(whole, control)
    split = validation_split.withhold_overlaps(
        _split(job, whole, categories, earlier, control, rng)
    )
    _log_areas(categories, split, control)
    _warn_of_not_learned(categories, split, earlier, control)
    return categories, split


def _warn_of_no_area(labelled_rasters: Sequence[LabelledRaster], control: Control) -> None:
    """Warn of what is learned without an area of interest: too much, or of some rasters nothing."""
    control.warn(
        "No area of interest was given: everything inside the bounding box of the annotations "
        "that is not annotated counts as background. Draw an AOI around the ground that you "
        "annotated completely for a better model."
    )
    empty = [each.raster.name for each in labelled_rasters if not each.training.size_px]
    if empty:
        control.warn(
            f"Nothing is learned from {listed(empty)}: no polygon lies there. If the categories do "
            "not occur there, draw an AOI over it, too: background is worth learning."
        )


def _split(
    job: TrainingJob,
    labelled_rasters: Sequence[LabelledRaster],
    categories: tuple[Category, ...],
    earlier: EarlierTraining,
    control: Control,
    rng: np.random.Generator,
) -> list[LabelledRaster]:
    """Return the labelled rasters with a part of their ground kept for validation."""
    ground = [earlier.ground(labelled.raster) for labelled in labelled_rasters]

    def by_area(given: Sequence[LabelledRaster], area: VectorSource) -> list[LabelledRaster]:
        return validation_split.split_by_area(given, area, control, drawn=job.aoi is not None)

    def by_cells(given: Sequence[LabelledRaster]) -> list[LabelledRaster]:
        return validation_split.split_by_cells(
            given, job.validation_fraction, job.tile_size_px, categories, rng
        )

    if job.validation_aoi is not None:
        drawn = functools.partial(by_area, area=job.validation_aoi)
        return continued_split.keep_validated(labelled_rasters, ground, drawn)
    if not earlier.trained:
        return by_cells(labelled_rasters)
    least_px = NEW_TILES * job.tile_size_px**2
    return continued_split.split_beside(labelled_rasters, ground, by_cells, least_px, control)


def _categories_in(
    layer: Annotations, rasters: Sequence[Raster], areas: Sequence[Area], earlier: EarlierTraining
) -> tuple[Category, ...]:
    """Return the categories that occur in at least one labelled area: others cannot be learned.

    Of those that the initial model knows already, one polygon anywhere is enough.

    Raises:
        VectorError: there is none.
    """
    names: set[str] = set()
    for raster, area in zip(rasters, areas, strict=True):
        geometries, found = layer.on(raster)
        names.update(found[shapely.area(clipped(geometries, area)) > 0.0])
    if not names:
        raise VectorError(
            f"The area of interest holds no polygon of '{layer.layer.name}'. Draw it around "
            "annotated ground, or leave it empty."
        )
    names.update(each.name for each in layer.categories if each.name in earlier.names)
    return tuple(earlier.coloured(each) for each in layer.categories if each.name in names)


def _log_areas(
    categories: tuple[Category, ...], labelled_rasters: Sequence[LabelledRaster], control: Control
) -> None:
    training = sum(labelled.training.size_px for labelled in labelled_rasters) / 1e6
    validation = sum(labelled.validation.size_px for labelled in labelled_rasters) / 1e6
    names = listed([category.name for category in categories])
    count = counted(len(categories), "category", "categories")
    control.log(
        f"{count} ({names}). Training area {training:.2f} Mpx, validation "
        f"area {validation:.2f} Mpx."
    )


def _warn_of_not_learned(
    categories: tuple[Category, ...],
    labelled_rasters: Sequence[LabelledRaster],
    earlier: EarlierTraining,
    control: Control,
) -> None:
    """Warn of new categories that lie in the validation area alone."""
    learned: set[int] = set()
    for labelled in labelled_rasters:
        inside = shapely.area(clipped(labelled.annotated.geometries, labelled.training)) > 0.0
        learned.update(labelled.annotated.classes[inside].tolist())
    missing = [each.name for number, each in enumerate(categories, 1) if number not in learned]
    kept = [name for name in missing if name in earlier.names]
    if kept:
        control.log(
            f"No polygon of {listed(kept)} to train on: the model keeps what it knows of it."
        )
    missing = [name for name in missing if name not in kept]
    if missing:
        control.warn(
            f"All ground of {listed(missing)} lies in the validation area, so it cannot be "
            "learned. Annotate more of it, or draw another validation area."
        )


def _countable(
    job: TrainingJob,
    stuff: Sequence[str],
    labelled_rasters: Sequence[LabelledRaster],
    categories: tuple[Category, ...],
    earlier: EarlierTraining,
    control: Control,
) -> tuple[bool, ...]:
    """Return for each category whether its objects are told apart; say so, and why."""
    names = [each.name for each in categories]
    statistics = [
        replace(each, known=earlier.is_countable(each.category.name, names))
        for each in countability.annotation_statistics(labelled_rasters, categories)
    ]
    _warn_of_few(statistics, job.tile_size_px, control)
    result = countability.countable_categories(job.task, stuff, statistics, job.tile_size_px)
    by_annotations = countability.decided_by_annotations(job.task, stuff)
    for each, is_countable in zip(statistics, result, strict=True):
        kept = "objects are told apart" if is_countable else "connected ground is one object"
        free = by_annotations and each.category.name not in stuff
        why = each.reason(job.tile_size_px) if free else "as asked for"
        control.log(f"{each.text}: {kept} ({why}).")
        _warn_of_shapes(each, is_countable, control)
    countability.check_slots(result, control)
    asked = "chosen from the annotations" if by_annotations else "as asked for"
    control.log(f"Task: {task_of(result)}, {asked}.")
    return result


def _warn_of_shapes(statistics: AnnotationStatistics, is_countable: bool, control: Control) -> None:
    """Warn of polygons of a category that a network hardly learns from."""
    name = statistics.category.name
    if is_countable and statistics.in_parts:
        control.warn(
            f"Polygons of '{name}' in several parts: {statistics.in_parts:,}. Each "
            "counts as one object, and none will ever be found as one: run 'Multipart to "
            "singleparts' if the parts are objects of their own."
        )
    if statistics.tiny:
        control.warn(
            f"Polygons of '{name}' smaller than a pixel: {statistics.tiny:,} of "
            f"{statistics.objects:,}. Their ground counts mostly as background. Train on a raster "
            "of higher resolution, or check the CRS of the layer."
        )


def _warn_of_few(
    statistics: Sequence[AnnotationStatistics], tile_size_px: int, control: Control
) -> None:
    """Warn of categories with few polygons, unless these are large ground beside many others."""
    total = sum(each.objects for each in statistics)
    few = [
        each
        for each in statistics
        if each.known is None
        and each.objects < FEW
        and (total < FEW or each.objects * each.median_px < tile_size_px**2)
    ]
    if few:
        rarest = sorted(few, key=lambda each: each.objects)[:MOST_LISTED]
        named = ", ".join(f"{each.objects} of '{each.category.name}'" for each in rarest)
        rest = counted(len(few) - MOST_LISTED, "more category", "more categories")
        more = f" and {rest}" if len(few) > MOST_LISTED else ""
        control.warn(
            f"Training on few polygons: {named}{more}. A model hardly learns from fewer than "
            f"{FEW}; some tens of each category, in different places, are a good start. Draw more, "
            "and train again."
        )
