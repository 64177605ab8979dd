"""Outputs of polygons that are not GeoJSON by default, as the provider's are.

QGIS asks the provider for formats, which knows nothing of a single output; so these ask themselves.
"""

from __future__ import annotations

import os
from typing import Any

from deepseg_qgis.processing.layers.destinations import file_of
from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterVectorDestination,
)

GEOPACKAGE = "gpkg"
DRIVERS = {f".{GEOPACKAGE}": "GPKG", ".shp": "ESRI Shapefile"}
"""Formats to draw in, by the ending of the file: GDAL's names of them."""


class GeoPackageOutput(QgsProcessingParameterVectorDestination):
    """A destination for polygons that somebody will edit: GeoPackage first.

    Models hold copies of parameters, so `clone` makes one of this kind.
    """

    def __init__(self, name: str, label: str, optional: bool = False) -> None:
        polygons = QgsProcessing.SourceType.TypeVectorPolygon
        super().__init__(name, label, polygons, None, optional, True)

    def clone(self) -> QgsProcessingParameterDefinition:
        """Return a copy."""
        copy = type(self)(self.name(), self.description())
        copy.fromVariantMap(self.toVariantMap())
        return copy

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Return the endings that the Save dialog offers."""
        others = super().supportedOutputVectorLayerExtensions()
        return [GEOPACKAGE, *(each for each in others if each != GEOPACKAGE)]

    def defaultFileExtension(self) -> str:
        """Return the ending of a temporary file, and of a name without one."""
        return GEOPACKAGE


class DrawableOutput(GeoPackageOutput):
    """A destination for an empty layer to draw in: `DRIVERS` alone.

    GeoJSON loses the field of an empty layer, and others cannot be edited in QGIS.
    """

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Return the endings that the Save dialog offers."""
        return [ending[1:] for ending in DRIVERS]

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


class SampleOutput(QgsProcessingParameterVectorDestination):
    """A destination for points to fill in: GeoPackage alone, which keeps their fields' names."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name, label, QgsProcessing.SourceType.TypeVectorPoint, None, False, True)

    def clone(self) -> QgsProcessingParameterDefinition:
        """Return a copy."""
        copy = type(self)(self.name(), self.description())
        copy.fromVariantMap(self.toVariantMap())
        return copy

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Return the endings that the Save dialog offers."""
        return [GEOPACKAGE]

    def defaultFileExtension(self) -> str:
        """Return the ending of a temporary file, and of a name without one."""
        return GEOPACKAGE

    def isSupportedOutputValue(self, value: Any, context: QgsProcessingContext) -> tuple[bool, str]:
        """Return whether a sample can be written there, and else why not."""
        path = file_of(value, context)
        ending = os.path.splitext(path)[1].lower()
        if ending and ending != f".{GEOPACKAGE}":
            return False, (
                f"{path}: expected a file that ends in .gpkg (GeoPackage), since other formats "
                "shorten the fields of a sample, or cannot be edited. Choose .gpkg."
            )
        return True, ""
