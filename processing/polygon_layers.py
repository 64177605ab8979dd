"""Polygon layers of QGIS on their way into a GeoPackage for the engine.

Features are streamed as QGIS shows them: with unsaved edits, only the selected ones if so asked, in
the CRS that the layer was assigned, valid or not.
"""

from __future__ import annotations

import math
import os
from typing import Any

from deepseg_qgis.processing.raster_layers import wkt_of
from deepseg_qgis.processing.styles import with_palette
from qgis.core import (
    NULL,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSink,
    QgsFields,
    QgsGeometry,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import Qt

from deepseg_qgis.errors import OutputError, Stopped, VectorError
from deepseg_qgis.jobs import VectorSource

TABLE = "polygons"
MOST_COLOURS = 256
"""A field with more values holds no categories, and the engine will say so."""

SAID_EVERY = 100_000
"""Features, which take a few seconds."""

SOURCE_FIELD = "source"
"""The field of predicted polygons that names their raster."""


class PolygonLayer:
    """The polygons that the user chose for one parameter.

    ``source`` gives the features and ``layer`` the style, if there is one; ``field`` holds the
    categories, or is None; ``label`` is what the dialog calls the parameter.

    Raises:
        VectorError: the layer has no such field.
    """

    def __init__(
        self,
        source: QgsProcessingFeatureSource,
        layer: QgsVectorLayer | None,
        field: str | None,
        label: str,
    ) -> None:
        self._source = source
        self._field = field
        self._label = label
        self.name = source.sourceName()
        self.crs_wkt = wkt_of(source.sourceCrs())
        self._crs = source.sourceCrs()
        self._index = source.fields().lookupField(field) if field else -1
        self._raster_index = source.fields().lookupField(SOURCE_FIELD)
        if field and self._index < 0:
            raise VectorError(
                f"The layer '{self.name}' has no field '{field}'; its fields are: "
                f"{', '.join(source.fields().names()) or 'none'}. Choose one of them as category "
                "field, or leave it empty."
            )
        self._colours = renderer_colours(layer, field) if layer and field else {}
        self.being_edited = layer is not None and layer.isEditable()

    def written_to(self, path: str, feedback: QgsProcessingFeedback) -> VectorSource:
        """Stream the features into a new GeoPackage at ``path``.

        Raises:
            VectorError: there are no polygons.
            Stopped: the user asked to stop.
            OutputError: the temporary folder has no room.
        """
        tally = _Tally()
        writer = _new_writer(path, self._crs)
        for feature in self._source.getFeatures(
            QgsFeatureRequest(), QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks
        ):
            if feedback.isCanceled():
                raise Stopped("Stopped. Nothing was written.")
            self._write(feature, writer, tally)
            if tally.features % SAID_EVERY == 0:
                feedback.setProgressText(f"Reading '{self.name}': {tally.features:,} features")
        writer.flushBuffer()
        _check(writer, path)
        del writer  # which finishes the file
        self._report(tally, feedback)
        names = sorted(tally.categories)[:MOST_COLOURS] if self._field else [self.name]
        return VectorSource(
            path=path,
            layer=TABLE,
            name=self.name,
            crs_wkt=self.crs_wkt,
            category_field=self._field,
            colours=with_palette(names, self._colours),
        )

    def _write(self, feature: QgsFeature, writer: QgsVectorFileWriter, tally: _Tally) -> None:
        tally.features += 1
        geometry = flat_polygons(feature.geometry())
        if geometry is None:
            return
        tally.polygons += 1
        category = category_text(feature[self._index]) if self._field else None
        if category is not None:
            tally.categories.add(category)
        copy = QgsFeature()
        copy.setGeometry(geometry)
        raster = category_text(feature[self._raster_index]) if self._raster_index >= 0 else None
        copy.setAttributes([category, raster])
        writer.addFeature(copy, QgsFeatureSink.Flag.FastInsert)

    def _report(self, tally: _Tally, feedback: QgsProcessingFeedback) -> None:
        if not tally.features:
            raise VectorError(
                f"{self._label}: expected polygons, found none in the layer '{self.name}'. Draw "
                "some, or, where only selected features are used, select some."
            )
        if not tally.polygons:
            raise VectorError(
                f"{self._label}: expected polygons, found {tally.features} features without an "
                f"area in the layer '{self.name}'. Choose a polygon layer."
            )
        left_out = tally.features - tally.polygons
        if left_out:
            feedback.pushWarning(
                f"{left_out} features of '{self.name}' are no polygons and were left out."
            )
        kinds = f" in {len(tally.categories)} categories" if self._field else ""
        feedback.pushInfo(f"Read {tally.polygons} polygons{kinds} from '{self.name}'.")


class _Tally:
    """What went by while features were streamed."""

    def __init__(self) -> None:
        self.features = 0
        self.polygons = 0
        self.categories: set[str] = set()


def category_text(value: Any) -> str | None:
    """Return an attribute as the text of a category, or None for NULL and empty text.

    Whole floats lose their ``.0``, so that 3 and 3.0 are one category.
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value == NULL:
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = int(value) if value.is_integer() else value
    if hasattr(value, "toString"):  # dates and times
        value = value.toString(Qt.DateFormat.ISODate)
    return str(value).strip() or None


def flat_polygons(geometry: QgsGeometry) -> QgsGeometry | None:
    """Return a geometry as a plain multipolygon: straight edges, no Z, no M; or None.

    A NULL geometry stays as it is: the engine counts those.
    """
    flat = QgsGeometry(geometry)
    if flat.isNull():
        return flat
    polygonal = QgsWkbTypes.GeometryType.PolygonGeometry
    if flat.type() != polygonal and not flat.convertGeometryCollectionToSubclass(polygonal):
        return None
    flat.convertToStraightSegment()
    shape = flat.get()
    shape.dropZValue()
    shape.dropMValue()
    flat.convertToMultiType()
    return flat


def renderer_colours(layer: QgsVectorLayer, field: str) -> dict[str, str]:
    """Return the colours of a layer's categories, if it is drawn by the categories of ``field``."""
    renderer = layer.renderer()
    if not isinstance(renderer, QgsCategorizedSymbolRenderer):
        return {}
    if renderer.classAttribute().strip('"') != field:
        return {}
    colours = {}
    for category in renderer.categories():
        values = category.value() if isinstance(category.value(), list) else [category.value()]
        for text in map(category_text, values):
            if text is not None and category.symbol() is not None:
                colours[text] = category.symbol().color().name()
    return colours


def _new_writer(path: str, crs: Any) -> QgsVectorFileWriter:
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = TABLE
    options.layerOptions = ["SPATIAL_INDEX=NO"]  # the engine reads it all, once
    writer = QgsVectorFileWriter.create(
        path,
        _columns(),
        QgsWkbTypes.Type.MultiPolygon,
        crs,
        QgsCoordinateTransformContext(),
        options,
    )
    _check(writer, path)
    return writer


def _columns() -> QgsFields:
    # taken from a layer, since the constructor of a field differs between Qt 5 and Qt 6
    table = "NoGeometry?field=category:string(0,0)&field=source:string(0,0)"
    return QgsVectorLayer(table, "columns", "memory").fields()


def _check(writer: QgsVectorFileWriter, path: str) -> None:
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise OutputError(
            f"The temporary file {os.path.basename(path)} could not be written "
            f"({writer.errorMessage()}). Make room on the disk of {os.path.dirname(path)}."
        )
