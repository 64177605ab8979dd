"""The reference of an evaluation: annotations, and the areas in which they are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.annotation_layer import Annotations
from deepseg_qgis.engine.annotations.labelled_raster import labelled_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.evaluating.comparison import Segmentation, objects_inside
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.scoring.objects import Objects
from deepseg_qgis.errors import VectorError, listed
from deepseg_qgis.jobs import VectorSource


@dataclass(frozen=True)
class Reference:
    """Annotations that predictions are compared with.

    ``categories`` are those that may be predicted, then those that only the annotations have.
    ``areas`` has one for each raster, in its pixel coordinates; empty where none lies on it.
    """

    annotations: Annotations
    areas: tuple[Area, ...]
    categories: tuple[Category, ...]

    def over(
        self, raster: Raster, area: Area, region: Window, known: NDArray[np.bool_]
    ) -> Segmentation:
        """Return the reference in a region of a raster; ``known`` is where the region has data."""
        annotated = self.annotations.over(raster, self.categories)
        objects = annotated_objects(annotated, area, region, known)
        return Segmentation(annotated.mask(region), objects)


def read_reference(
    source: VectorSource,
    aoi: VectorSource | None,
    predictable: tuple[Category, ...],
    rasters: Sequence[Raster],
    control: Control,
) -> Reference:
    """Return the annotations of a layer with the names of the ``predictable`` categories.

    Raises:
        VectorError: annotations, area, rasters and categories do not go together.
    """
    annotations = _annotations(source, aoi, predictable, rasters, control)
    areas = _areas(annotations, aoi, rasters, control)
    return Reference(annotations, areas, _all_categories(annotations, predictable, control))


def annotated_objects(
    annotated: AnnotatedArea, area: Area, region: Window, known: NDArray[np.bool_]
) -> Objects:
    """Return what of each annotation is not hidden by others; ignored if most of it is no data."""
    numbers, inside = annotated.objects(region), area.mask(region)
    count = len(annotated.classes) + 1
    pixels = np.bincount(numbers[inside], minlength=count)[1:]
    known_pixels = np.bincount(numbers[inside & known], minlength=count)[1:]
    scores = np.ones(len(annotated.classes))
    no_data = known_pixels < 0.5 * pixels
    return objects_inside(area, annotated.visible, annotated.classes, scores, no_data)


def _annotations(
    source: VectorSource,
    aoi: VectorSource | None,
    predictable: Sequence[Category],
    rasters: Sequence[Raster],
    control: Control,
) -> Annotations:
    """Return the annotations; with an area, an empty layer says that nothing is there."""
    annotations = annotation_layer.load(source, control, may_be_empty=aoi is not None)
    if not len(annotations.names):
        control.warn(
            f"The annotation layer '{source.name}' is empty: all that the model finds in the "
            "area counts as a false positive."
        )
        return annotations
    annotation_layer.require_touching(annotations, list(rasters))
    return annotations.named_as(predictable, control)


def _all_categories(
    annotations: Annotations, predictable: tuple[Category, ...], control: Control
) -> tuple[Category, ...]:
    """Return the predictable categories, then those that only the annotations have.

    Raises:
        VectorError: none of the annotated ones is predictable: there is nothing to compare.
    """
    known = {category.name for category in predictable}
    unknown = tuple(each for each in annotations.categories if each.name not in known)
    if unknown and len(unknown) == len(annotations.categories):
        field = annotations.layer.category_field
        source = f"the field '{field}'" if field else "no category field (CATEGORY_FIELD)"
        raise VectorError(
            f"The model knows {listed(sorted(known))}, but the annotations, with {source}, have "
            f"only {listed([each.name for each in unknown])}. Choose the field that holds the "
            "category, or the model that belongs to these annotations."
        )
    if unknown:
        names = listed([category.name for category in unknown])
        control.warn(
            f"The model does not know {names}: all of it counts as missed. If it is not to count, "
            "filter the annotations."
        )
    return predictable + unknown


def _areas(
    annotations: Annotations,
    aoi: VectorSource | None,
    rasters: Sequence[Raster],
    control: Control,
) -> tuple[Area, ...]:
    areas = tuple(labelled_area(annotations, aoi, raster, control) for raster in rasters)
    if not any(area.size_px for area in areas):
        raise VectorError(
            "The area of interest does not touch any of the rasters. Draw it over annotated "
            "ground, or leave it empty."
        )
    if aoi is None:
        control.warn(
            "No area of interest was given: the bounding box of the annotations is evaluated, and "
            "what is not annotated in it counts as background."
        )
    return areas
