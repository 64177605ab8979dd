"""Raster layers of QGIS, as the engine is told about them."""

from __future__ import annotations

import os
import re

from qgis.core import QgsCoordinateReferenceSystem, QgsProviderRegistry, QgsRasterLayer

from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import RasterSource

UNDEFINED = re.compile(r'\w+\["Undefined ')
IN_MEMORY = ("/vsimem/", "MEM:")


def raster_source(layer: QgsRasterLayer) -> RasterSource:
    """Return what the engine needs to open the layer's raster: its path and the *layer's* CRS.

    Raises:
        RasterError: the layer is no file that another process could open.
    """
    uri = layer.source()
    if layer.providerType() != "gdal" or uri.startswith(IN_MEMORY):
        raise RasterError(
            f"The raster layer '{layer.name()}' is not read from a file (it is of the kind "
            f"'{layer.providerType()}'). Save it as a GeoTIFF first (right-click the layer, Export "
            "> Save As) and choose that."
        )
    decoded = QgsProviderRegistry.instance().decodeUri("gdal", uri)
    path = _absolute(uri.partition("|option:")[0], decoded["path"])
    return RasterSource(path, wkt_of(layer.crs()), _name(layer, decoded))


def raster_sources(layers: list[QgsRasterLayer]) -> tuple[RasterSource, ...]:
    """Return `raster_source` of each layer, with names that tell them apart.

    Raises:
        RasterError: a layer is no file, or is there twice.
    """
    sources = [raster_source(layer) for layer in layers]
    paths = [source.path for source in sources]
    for path in paths:
        if paths.count(path) > 1:
            raise RasterError(f"The raster {path} was chosen twice. Choose each raster once.")
    names = [source.name for source in sources]
    return tuple(
        source if names.count(source.name) == 1 else _renamed(source) for source in sources
    )


def wkt_of(crs: QgsCoordinateReferenceSystem) -> str:
    """Return a CRS as WKT 2, or '' where it is unknown.

    GeoPackages without CRS come with one that is called undefined.
    """
    if not crs.isValid():
        return ""
    wkt = crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)
    return "" if UNDEFINED.match(wkt) else wkt


def is_georeferenced(layer: QgsRasterLayer) -> bool:
    """Whether a layer lies somewhere on the ground, rather than on its own pixels."""
    box = layer.extent()
    on_pixels = (box.xMinimum(), box.yMaximum(), box.xMaximum()) == (0.0, 0.0, layer.width())
    return layer.crs().isValid() and not on_pixels


def _absolute(uri: str, path: str) -> str:
    """Return the address with its path absolute: the engine has another working directory."""
    if os.path.isabs(path) or not os.path.exists(path):
        return uri
    return uri.replace(path, os.path.abspath(path), 1)


def _name(layer: QgsRasterLayer, decoded: dict) -> str:
    if not os.path.exists(decoded["path"]):
        return layer.name()
    part = decoded.get("layerName")
    return os.path.basename(decoded["path"]) + (f":{part}" if part else "")


def _renamed(source: RasterSource) -> RasterSource:
    """Return the source with its folder in its name, as another has the same file name."""
    folder = os.path.basename(os.path.dirname(source.path))
    return RasterSource(source.path, source.crs_wkt, f"{folder}/{source.name}")
