"""Which layers of the project a dialog proposes."""

from __future__ import annotations

from collections import Counter

from qgis.core import Qgis, QgsMapLayer, QgsProject, QgsRasterLayer, QgsVectorLayer, QgsWkbTypes

from deepseg_qgis.processing.layers.polygon_fields import likely_category_field

PICTURE_BANDS = 3
"""A raster with fewer is rarely a picture."""


def similar_rasters(project: QgsProject) -> list[QgsRasterLayer]:
    """Return the rasters that one model could take together, the topmost first.

    They are those that are shown (all, if none is), come from files, and are of one kind: pictures
    rather than single bands (heights, classes), and of these the kind that most of them are.
    """
    files = [
        layer
        for layer in project.layerTreeRoot().layerOrder()
        if isinstance(layer, QgsRasterLayer) and layer.isValid() and layer.providerType() == "gdal"
    ]
    chosen = [layer for layer in files if _is_shown(layer, project)] or files
    kinds = Counter(map(_kind, chosen))
    usual = max(
        kinds, key=lambda kind: (kind[0] >= PICTURE_BANDS, kinds[kind], kind[0]), default=None
    )
    return [layer for layer in chosen if _kind(layer) == usual]


def _kind(layer: QgsRasterLayer) -> tuple[int, Qgis.DataType]:
    """Return the number of bands and their type."""
    return layer.bandCount(), layer.dataProvider().dataType(1)


def annotation_layer(project: QgsProject, active: QgsMapLayer | None) -> QgsVectorLayer | None:
    """Return the polygon layer that most likely holds annotations: with categories, or active."""
    first = _polygon_layer(active)
    for layer in (first, *map(_polygon_layer, project.layerTreeRoot().layerOrder())):
        if layer is not None and likely_category_field(layer.fields(), layer):
            return layer
    return first


def _is_shown(layer: QgsMapLayer, project: QgsProject) -> bool:
    return bool(project.layerTreeRoot().findLayer(layer.id()).isVisible())


def _polygon_layer(layer: QgsMapLayer | None) -> QgsVectorLayer | None:
    """Return a layer if it has polygons."""
    polygonal = QgsWkbTypes.GeometryType.PolygonGeometry
    if isinstance(layer, QgsVectorLayer) and layer.geometryType() == polygonal:
        return layer
    return None
