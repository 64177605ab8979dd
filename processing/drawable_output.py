"""The output of an algorithm that makes a layer to draw in: fewer formats than polygons have.

GeoJSON loses the field of an empty layer, and others cannot be edited in QGIS.
"""

from __future__ import annotations

import os
from typing import Any

from deepseg_qgis.processing.destinations import file_of
from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterVectorDestination,
)

DRIVERS = {".gpkg": "GPKG", ".shp": "ESRI Shapefile"}
"""GDAL's name of each format, by the ending of the file; the first is proposed."""


class DrawableOutput(QgsProcessingParameterVectorDestination):
    """A destination for polygons whose Save dialog offers `DRIVERS` alone.

    QGIS asks the provider for formats, which knows nothing of a single output. Models hold copies
    of parameters, so `clone` makes one of this kind.
    """

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name, label, QgsProcessing.SourceType.TypeVectorPolygon)

    def clone(self) -> QgsProcessingParameterDefinition:
        """Return a copy."""
        copy = DrawableOutput(self.name(), self.description())
        copy.fromVariantMap(self.toVariantMap())
        return copy

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Return the endings that the Save dialog offers."""
        return [ending[1:] for ending in DRIVERS]

    def defaultFileExtension(self) -> str:
        """Return the ending of a temporary file, and of a name without one."""
        return next(iter(DRIVERS))[1:]

    def isSupportedOutputValue(self, value: Any, context: QgsProcessingContext) -> tuple[bool, str]:
        """Return whether a layer to draw in can be written there, and else why not."""
        path = file_of(value, context)
        ending = os.path.splitext(path)[1].lower()
        if ending and ending not in DRIVERS:
            return False, wrong_ending(path)
        return True, ""


def wrong_ending(path: str) -> str:
    """Return why a layer to draw in cannot be a file of this name, and what to do."""
    return (
        f"{path}: expected a file that ends in {' or '.join(DRIVERS)}, since other formats "
        "cannot be drawn in or lose the field of an empty layer. Choose .gpkg (GeoPackage)."
    )
