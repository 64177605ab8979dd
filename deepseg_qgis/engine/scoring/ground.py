"""The ground of two sides of polygons compared, by exact areas and without any pixel. No I/O."""

from __future__ import annotations

import numpy as np
import shapely

from deepseg_qgis.engine.geometry.areas import AnnotatedArea
from deepseg_qgis.engine.scoring.confusion import Confusion, check_categories
from deepseg_qgis.engine.scoring.objects import Floats, Objects
from deepseg_qgis.engine.scoring.polygon_overlaps import shared_areas


def ground_confusion(
    predicted: Objects, reference: Objects, categories: int, area: float
) -> Confusion:
    """Return which area was predicted as what, in the square of the objects' unit.

    Each place is of one class on each side: where objects of a side overlap, the smaller lies on
    top, as in a class map. Objects that are ignored have their ground as well. ``area`` is that of
    all compared ground; what no object covers is background. Memory: the objects twice.

    Raises:
        ParameterError: there are more than 255 categories.
    """
    check_categories(categories)
    above, below = _visible(predicted), _visible(reference)
    i, j, shared = shared_areas(above.visible, below.visible)
    classes = categories + 1
    pairs = below.classes[j].astype(np.int64) * classes + above.classes[i]
    matrix = np.bincount(pairs, shared, classes**2).astype(np.float64).reshape(classes, classes)
    matrix[0, 1:] = np.maximum(_areas(above, classes)[1:] - matrix[1:, 1:].sum(axis=0), 0.0)
    matrix[1:, 0] = np.maximum(_areas(below, classes)[1:] - matrix[1:, 1:].sum(axis=1), 0.0)
    matrix[0, 0] = max(area - matrix.sum(), 0.0)
    return Confusion(matrix)


def _visible(objects: Objects) -> AnnotatedArea:
    return AnnotatedArea(objects.geometries, (objects.categories + 1).astype(np.uint8))


def _areas(side: AnnotatedArea, classes: int) -> Floats:
    areas: Floats = shapely.area(side.visible)
    return np.bincount(side.classes, areas, classes).astype(np.float64)
