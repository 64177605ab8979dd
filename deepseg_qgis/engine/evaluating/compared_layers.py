"""Two layers of polygons made comparable: in one plane, with one list of categories."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.annotation_layer import LEFT_OUT, no_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import layers
from deepseg_qgis.engine.geometry.area_of_interest import area_of_interest
from deepseg_qgis.engine.geometry.areas import Area, clipped
from deepseg_qgis.engine.geometry.local_crs import are_comparable
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.repair import repair
from deepseg_qgis.engine.geometry.reprojection import equal_area_plane, to_crs
from deepseg_qgis.engine.legend.legend import MOST_CATEGORIES, PLAIN_COLOUR, Category
from deepseg_qgis.errors import VectorError, counted, listed
from deepseg_qgis.jobs import CATEGORY_FIELD, SCORE_FIELD, VectorSource


@dataclass(frozen=True)
class PolygonSide:
    """The usable polygons of a layer; arrays of one length.

    ``geometries`` are in ``crs``; ``flat`` are the same in the plane of the comparison. ``names``
    are categories, ``scores`` NaN where there is none.
    """

    layer: VectorSource
    crs: pyproj.CRS | None
    geometries: Geometries
    flat: Geometries
    names: NDArray[np.object_]
    scores: NDArray[np.float64]

    def selected(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> PolygonSide:
        """Return some of the polygons, or all in another order."""
        return replace(
            self,
            geometries=self.geometries[which],
            flat=self.flat[which],
            names=self.names[which],
            scores=self.scores[which],
        )


@dataclass(frozen=True)
class ComparedLayers:
    """Predictions and reference in one ``plane`` (None: no CRS), and the area that is compared.

    Polygons that share no ground with the area are left out.
    """

    predictions: PolygonSide
    reference: PolygonSide
    categories: tuple[Category, ...]
    plane: pyproj.CRS | None
    area: Area

    def classes(self, side: PolygonSide) -> NDArray[np.uint8]:
        """Return the number of each polygon's category, from 1."""
        numbers = {category.name: i for i, category in enumerate(self.categories, 1)}
        return np.array([numbers[name] for name in side.names], dtype=np.uint8)


def read_compared_layers(
    predictions: VectorSource,
    reference: VectorSource,
    aoi: VectorSource | None,
    control: Control,
) -> ComparedLayers:
    """Read both layers and the area; what had to be repaired, left out or assumed is logged.

    Raises:
        VectorError: the layers cannot be compared.
    """
    sides = _read(predictions, control), _read(reference, control)
    if aoi is None and not len(sides[1].geometries):
        raise VectorError(
            f"The reference '{reference.name}' has no polygon. Choose another layer, or an area "
            "of interest in which there is truly nothing."
        )
    sides = _with_categories(*sides, control)
    plane = equal_area_plane([(side.geometries, side.crs) for side in sides])
    _tell_of_plane(*sides, control)
    flat = [_flattened(side, plane, control) for side in sides]
    area = _area(aoi, flat[0], flat[1], plane, control)
    inside = [side.selected(repair(clipped(side.flat, area))[1]) for side in flat]
    return ComparedLayers(inside[0], inside[1], _categories(*inside), plane, area)


def _read(source: VectorSource, control: Control) -> PolygonSide:
    features = layers.read_features(source)
    shapes, usable, repaired = repair(features.geometries)
    if repaired:
        control.warn(f"Layer '{source.name}': {counted(repaired, 'invalid polygon')} repaired.")
    if not usable.all():
        control.warn(
            f"Layer '{source.name}': {counted(int((~usable).sum()), 'feature')} {LEFT_OUT}."
        )
    names = np.array(features.columns[CATEGORY_FIELD], dtype=object)
    scores = np.asarray(features.columns.get(SCORE_FIELD, np.full(len(shapes), np.nan)), np.float64)
    scores = np.where(np.isfinite(scores), scores, np.nan)
    return PolygonSide(source, layers.crs_of(source), shapes, shapes, names, scores).selected(
        usable
    )


def _with_categories(
    predictions: PolygonSide, reference: PolygonSide, control: Control
) -> tuple[PolygonSide, PolygonSide]:
    """Return both sides in categories that can be compared.

    Raises:
        VectorError: none of their categories is one of the other's, or there are too many.
    """
    sides = predictions, reference
    if any(side.layer.category_field is None for side in sides):
        if any(side.layer.category_field is not None for side in sides):
            control.warn("Only one layer has a category field: all polygons count as one category.")
        return _as_one(predictions, reference)
    predictions, reference = _named(predictions, control), _named(reference, control)
    said, there = (sorted(set(side.names)) for side in (predictions, reference))
    if said and there and not set(said) & set(there):
        if len(said) == len(there) == 1:
            control.warn(
                f"The predictions are all '{said[0]}' and the reference all '{there[0]}': they "
                "count as one category."
            )
            return _as_one(predictions, reference)
        raise VectorError(
            f"No category is in both layers: the predictions have {listed(said)}, the reference "
            f"has {listed(there)}. Choose the fields that hold the same categories, or rename them."
        )
    if len(set(said) | set(there)) > MOST_CATEGORIES:
        raise VectorError(
            f"Expected at most {MOST_CATEGORIES} categories, found {len(set(said) | set(there))}. "
            "Choose the fields that hold the category, not an identifier."
        )
    return predictions, reference


def _as_one(*sides: PolygonSide) -> tuple[PolygonSide, PolygonSide]:
    """Return both sides with one category for all, called like the reference."""
    name = sides[1].layer.name
    first, second = (
        replace(side, names=np.full(len(side.names), name, dtype=object)) for side in sides
    )
    return first, second


def _named(side: PolygonSide, control: Control) -> PolygonSide:
    named = np.array([name is not None for name in side.names], dtype=bool)
    if not named.all():
        control.warn(
            f"Layer '{side.layer.name}': {counted(int((~named).sum()), 'polygon')} without a value "
            f"in '{side.layer.category_field}' left out."
        )
    return side.selected(named)


def _categories(predictions: PolygonSide, reference: PolygonSide) -> tuple[Category, ...]:
    colours = predictions.layer.colours | reference.layer.colours
    names = sorted({*predictions.names, *reference.names})
    return tuple(Category(name, colours.get(name, PLAIN_COLOUR)) for name in names)


def _tell_of_plane(predictions: PolygonSide, reference: PolygonSide, control: Control) -> None:
    if are_comparable(predictions.crs, reference.crs):
        return
    if predictions.crs is None and reference.crs is None:
        control.warn(
            "The layers have no CRS: their coordinates are compared as they are, and areas in "
            "square metres are not known."
        )
        return
    control.warn(
        "It is not known how the layers lie to each other, since one of them has no CRS or a local "
        "one: their coordinates are compared as they are."
    )


def _flattened(side: PolygonSide, plane: pyproj.CRS | None, control: Control) -> PolygonSide:
    flat, usable, _ = repair(to_crs(side.geometries, side.crs, plane))
    if not usable.all():
        control.warn(
            f"Layer '{side.layer.name}': {counted(int((~usable).sum()), 'polygon')} outside of the "
            "reach of its CRS left out. Check that this is the CRS that the layer was made in."
        )
    side = replace(side, flat=flat).selected(usable)
    # scores and overlaps that tie must not depend on the order of the features
    order = np.lexsort((*shapely.bounds(side.flat).T, shapely.area(side.flat)))
    return side.selected(order)


def _area(
    aoi: VectorSource | None,
    predictions: PolygonSide,
    reference: PolygonSide,
    plane: pyproj.CRS | None,
    control: Control,
) -> Area:
    if aoi is None:
        control.warn(
            "No area of interest was given: the bounding box of the reference is evaluated, and "
            "what the reference leaves out in it counts as background."
        )
        return Area(shapely.box(*shapely.total_bounds(reference.flat)))
    shapes, usable, _ = repair(layers.read_features(aoi).geometries)
    if not usable.any():
        raise no_area(aoi)
    flat = np.concatenate([predictions.flat, reference.flat])
    place = shapely.total_bounds(flat) if len(flat) else np.full(4, np.nan)
    shape, _ = area_of_interest(shapes[usable], layers.crs_of(aoi), plane, place)
    if len(flat) and not shapely.intersects(shape, flat).any():
        raise VectorError(
            f"No polygon of either layer lies in the area of interest '{aoi.name}'. If they meet "
            "on the map, check the CRS of all layers."
        )
    return Area(shape)
