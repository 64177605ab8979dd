"""Geometries of QGIS, however drawn, as plain polygons."""

from __future__ import annotations

from qgis.core import QgsGeometry, QgsWkbTypes


def as_multipolygon(geometry: QgsGeometry) -> QgsGeometry | None:
    """Return a geometry as a plain multipolygon: straight edges, no Z, no M; or None.

    A NULL geometry stays as it is: the engine counts those.
    """
    flat = QgsGeometry(geometry)
    if flat.isNull():
        return flat
    flat.convertToStraightSegment()
    if not _is_polygonal(flat):
        polygons = _polygons_in(flat)
        if not polygons:
            return None
        flat = QgsGeometry.collectGeometry(polygons)
    shape = flat.get()
    shape.dropZValue()
    shape.dropMValue()
    flat.convertToMultiType()
    return flat


def _polygons_in(geometry: QgsGeometry) -> list[QgsGeometry]:
    """Return the polygons in a collection, however deep; QGIS's own conversion takes the plain."""
    if QgsWkbTypes.flatType(geometry.wkbType()) != QgsWkbTypes.Type.GeometryCollection:
        return []
    found = []
    for part in geometry.asGeometryCollection():
        found += [part] if _is_polygonal(part) else _polygons_in(part)
    return found


def _is_polygonal(geometry: QgsGeometry) -> bool:
    return bool(geometry.type() == QgsWkbTypes.GeometryType.PolygonGeometry)
