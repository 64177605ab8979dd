"""Raster layers of QGIS, as the engine is told about them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deepseg_qgis.processing.layers.raster_names import Address, distinct_names
from qgis.core import QgsCoordinateReferenceSystem, QgsProviderRegistry, QgsRasterLayer

from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import RasterSource

UNDEFINED = re.compile(r'\w+\["Undefined ')
LOCAL = re.compile(r'(COMPOUNDCRS\["[^"]*",\s*)?(ENGCRS|ENGINEERINGCRS|LOCAL_CS)\[')
"""A CRS of a site's own, without a place on the ground."""
IN_MEMORY = ("/vsimem/", "MEM:")


def raster_sources(layers: Sequence[QgsRasterLayer]) -> tuple[RasterSource, ...]:
    """Return what the engine needs to open the layers' rasters, with names that tell them apart.

    Raises:
        RasterError: a layer is no file, or a raster is there twice.
    """
    addresses = [_address(layer) for layer in layers]
    chosen: dict[object, Address] = {}
    for address in addresses:
        first = chosen.setdefault(address.identity, address)
        if first is not address:
            again = f", again as {address.uri}" if address.uri != first.uri else ""
            raise RasterError(
                f"The raster {first.uri} was chosen twice{again}. Choose each raster once."
            )
    return tuple(
        RasterSource(address.uri, wkt_of(layer.crs()), name)
        for layer, address, name in zip(layers, addresses, distinct_names(addresses))
    )


def _address(layer: QgsRasterLayer) -> Address:
    uri = layer.source()
    if layer.providerType() != "gdal" or uri.startswith(IN_MEMORY):
        raise RasterError(
            f"The raster layer '{layer.name()}' is not read from a file (it is of the kind "
            f"'{layer.providerType()}'). Save it as a GeoTIFF first (right-click the layer, Export "
            "> Save As) and choose that."
        )
    decoded = QgsProviderRegistry.instance().decodeUri("gdal", uri)
    return Address.of(uri.partition("|option:")[0], decoded, layer.name())


def wkt_of(crs: QgsCoordinateReferenceSystem) -> str:
    """Return a CRS as WKT 2, or '' where it is unknown.

    GeoPackages without CRS come with one that is called undefined.
    """
    if not crs.isValid():
        return ""
    wkt = crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)
    return "" if UNDEFINED.match(wkt) else wkt


def is_georeferenced(layer: QgsRasterLayer) -> bool:
    """Whether a layer lies somewhere on the ground, not on its own pixels or a local plane."""
    box = layer.extent()
    on_pixels = (box.xMinimum(), box.yMaximum(), box.xMaximum()) == (0.0, 0.0, layer.width())
    wkt = wkt_of(layer.crs())
    return wkt != "" and not LOCAL.match(wkt) and not on_pixels
