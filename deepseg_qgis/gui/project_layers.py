"""Which layers of the project a dialog proposes."""

from __future__ import annotations

from collections import Counter

from qgis.core import QgsMapLayer, QgsProject, QgsRasterLayer, QgsVectorLayer, QgsWkbTypes

from deepseg_qgis.processing.category_fields import likely_category_field


def rasters_alike(project: QgsProject) -> list[QgsRasterLayer]:
    """Return the rasters that one model could take together, the topmost first.

    They are those that are shown (all, if none is), come from files, and have the number of bands
    that most of them have: an orthophoto's, rather than an elevation model's beside it.
    """
    files = [
        layer
        for layer in project.layerTreeRoot().layerOrder()
        if isinstance(layer, QgsRasterLayer) and layer.isValid() and layer.providerType() == "gdal"
    ]
    chosen = [layer for layer in files if _is_shown(layer, project)] or files
    bands = Counter(layer.bandCount() for layer in chosen)
    usual = max(bands, key=lambda count: (bands[count], count), default=0)
    return [layer for layer in chosen if layer.bandCount() == usual]


def annotation_layer(project: QgsProject, active: QgsMapLayer | None) -> QgsVectorLayer | None:
    """Return the polygon layer that most likely holds annotations: with categories, or active."""
    layers = [active, *project.layerTreeRoot().layerOrder()]
    polygons = [layer for layer in layers if _has_polygons(layer)]
    with_categories = (each for each in polygons if likely_category_field(each.fields(), each))
    first = active if _has_polygons(active) else None
    return next(with_categories, first)


def _is_shown(layer: QgsMapLayer, project: QgsProject) -> bool:
    return bool(project.layerTreeRoot().findLayer(layer.id()).isVisible())


def _has_polygons(layer: QgsMapLayer | None) -> bool:
    polygonal = QgsWkbTypes.GeometryType.PolygonGeometry
    return isinstance(layer, QgsVectorLayer) and layer.geometryType() == polygonal
