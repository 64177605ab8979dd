"""Parameters for rasters, which leave nothing beside them.

Without a desktop, QGIS opens a raster to see whether a value is one, computes statistics for
colours that nobody will see, and has GDAL keep them in an .aux.xml beside the user's file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
)

from deepseg_qgis.disk_files import files_in_uri

PAM = "GDAL_PAM_ENABLED"
"""GDAL's option for .aux.xml files, which is fixed for a raster when it is opened."""


class RasterInput(QgsProcessingParameterRasterLayer):
    """One raster."""

    def checkValueIsAcceptable(
        self, value: Any, context: QgsProcessingContext | None = None
    ) -> bool:
        """Return whether the value can be opened, and open it."""
        with without_aux_xml(value):
            return super().checkValueIsAcceptable(value, context)

    def clone(self) -> RasterInput:
        """Return a copy, which QGIS takes as its own."""
        return type(self)(self)


class RasterInputs(QgsProcessingParameterMultipleLayers):
    """One or more rasters."""

    def checkValueIsAcceptable(
        self, value: Any, context: QgsProcessingContext | None = None
    ) -> bool:
        """Return whether the values can be opened, and open them."""
        with without_aux_xml(value):
            return super().checkValueIsAcceptable(value, context)

    def clone(self) -> RasterInputs:
        """Return a copy, which QGIS takes as its own."""
        return type(self)(self)


class MapInput(QgsProcessingParameterMapLayer):
    """A map of categories: one raster of classes, or one layer of polygons."""

    def __init__(self, name: str, label: str, optional: bool = False) -> None:
        kinds = [QgsProcessing.SourceType.TypeRaster, QgsProcessing.SourceType.TypeVectorPolygon]
        super().__init__(name, label, None, optional, kinds)

    def checkValueIsAcceptable(
        self, value: Any, context: QgsProcessingContext | None = None
    ) -> bool:
        """Return whether the value can be opened, and open it."""
        with without_aux_xml(value):
            return super().checkValueIsAcceptable(value, context)

    def clone(self) -> MapInput:
        """Return a copy, which QGIS takes as its own."""
        copy = type(self)(self.name(), self.description())
        copy.fromVariantMap(self.toVariantMap())
        return copy


@contextlib.contextmanager
def without_aux_xml(value: Any) -> Iterator[None]:
    """Switch .aux.xml files off, but for rasters that have one, which GDAL has to read.

    In a desktop other threads ask for GDAL's options meanwhile, so there nothing is done.
    """
    from qgis.utils import iface

    values = value if isinstance(value, (list, tuple)) else [value]
    files = [file for each in values for file in files_in_uri(os.path.abspath(str(each)))]
    usual = os.environ.get(PAM)
    if iface is not None or any(os.path.exists(f"{file}.aux.xml") for file in files):
        yield
        return
    os.environ[PAM] = "NO"
    try:
        yield
    finally:
        del os.environ[PAM]
        if usual is not None:
            os.environ[PAM] = usual
