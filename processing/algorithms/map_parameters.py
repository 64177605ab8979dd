"""Parameters of a map of categories: a raster of classes, or a layer of polygons."""

from __future__ import annotations

from deepseg_qgis.processing.algorithms.parameters import Definition
from deepseg_qgis.processing.algorithms.raster_parameters import MapInput
from qgis.core import QgsProcessingParameterField


def category_map(name: str, label: str, *, optional: bool = False) -> Definition:
    """Return a parameter for a map of categories."""
    return MapInput(name, label, optional)


def strata_field(parent: str) -> Definition:
    """Return STRATA, the field of a polygon map that holds the categories."""
    return QgsProcessingParameterField(
        "STRATA",
        "Category field of a polygon map (empty = 'category', if there)",
        None,
        parent,
        QgsProcessingParameterField.DataType.Any,
        False,
        True,
    )
