"""Polygon layers of QGIS on their way into a GeoPackage for the engine.

Features are streamed as QGIS shows them: with unsaved edits, only the selected ones if so asked, in
the CRS that the layer was assigned, valid or not.
"""

from __future__ import annotations

import os

from deepseg_qgis.processing.engine.window_events import WindowEvents
from deepseg_qgis.processing.layers.attribute_texts import category_text, nfc
from deepseg_qgis.processing.layers.colours import renderer_colours, with_palette
from deepseg_qgis.processing.layers.layer_files import files_of
from deepseg_qgis.processing.layers.multipolygons import as_multipolygon
from deepseg_qgis.processing.layers.polygon_fields import field_index, raster_field_index
from deepseg_qgis.processing.layers.raster_layers import wkt_of
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSink,
    QgsFields,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

from deepseg_qgis.errors import OutputError, Stopped, VectorError, counted
from deepseg_qgis.jobs import CATEGORY_FIELD, SCORE_FIELD, SOURCE_FIELD, VectorSource

TABLE = "polygons"
MOST_COLOURS = 256
"""A field with more values holds no categories, and the engine will say so."""

SAID_EVERY = 100_000
"""Features, which take a few seconds."""


class PolygonLayer:
    """The polygons that the user chose for one parameter.

    ``source`` gives the features and ``layer`` the style, if there is one; ``field`` holds the
    categories, or is None; ``label`` is what the dialog calls the parameter; ``selected_only`` says
    that the user wants the selected features alone; ``score_field`` holds the scores, or is None.

    Raises:
        VectorError: the layer has no such field.
    """

    def __init__(
        self,
        source: QgsProcessingFeatureSource,
        layer: QgsVectorLayer | None,
        field: str | None,
        label: str,
        *,
        selected_only: bool = False,
        score_field: str | None = None,
    ) -> None:
        self._source = source
        self._score_index = field_index(score_field, source.fields()) if score_field else -1
        self._scored = score_field is not None
        self._field = field
        self._label = label
        self._selected_only = selected_only
        self.name = nfc(source.sourceName())
        self.crs_wkt = wkt_of(source.sourceCrs())
        self._crs = source.sourceCrs()
        self._index = field_index(field, source.fields()) if field else -1
        self._raster_index = -1
        if field and self._index < 0 and not self._has_no_schema:
            raise self._without_field()
        self._colours = renderer_colours(layer, field) if layer and field else {}
        self.being_edited = layer is not None and layer.isEditable()
        self._files = files_of(layer) if layer is not None else ()

    def written_to(self, path: str, feedback: QgsProcessingFeedback) -> VectorSource:
        """Stream the features into a new GeoPackage at ``path``; a layer may be empty.

        Raises:
            VectorError: there are features, but none of them is a polygon; or none is selected.
            Stopped: the user asked to stop.
            OutputError: the temporary folder has no room.
        """
        tally = _Tally()
        self._raster_index = raster_field_index(self._source)
        # nobody may go on editing what is being read
        window = WindowEvents(input_allowed=not self.being_edited)
        writer = _new_writer(path, self._crs, _columns(scored=self._scored))
        for feature in self._source.getFeatures(
            QgsFeatureRequest(), QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks
        ):
            window.process_events()
            if feedback.isCanceled() or window.application_ends:
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
            files=self._files,
        )

    @property
    def _has_no_schema(self) -> bool:
        """Whether the layer has no field at all: an empty GeoJSON file keeps none."""
        return self._source.fields().count() == 0

    def _without_field(self) -> VectorError:
        return VectorError(
            f"The layer '{self.name}' has no field '{self._field}'; its fields are: "
            f"{', '.join(self._source.fields().names()) or 'none'}. Choose one of them as category "
            "field, or leave it empty."
        )

    def _write(self, feature: QgsFeature, writer: QgsVectorFileWriter, tally: _Tally) -> None:
        tally.features += 1
        if self._field and self._index < 0:
            raise self._without_field()
        geometry = as_multipolygon(feature.geometry())
        if geometry is None:
            return
        tally.polygons += 1
        category = category_text(feature[self._index]) if self._field else None
        if category is not None:
            tally.categories.add(category)
        copy = QgsFeature()
        copy.setGeometry(geometry)
        raster = category_text(feature[self._raster_index]) if self._raster_index >= 0 else None
        score = [self._score(feature)] if self._scored else []
        copy.setAttributes([category, raster, *score])
        writer.addFeature(copy, QgsFeatureSink.Flag.FastInsert)

    def _score(self, feature: QgsFeature) -> float | None:
        """Return how sure a feature is; None where that is no number."""
        text = category_text(feature[self._score_index]) if self._score_index >= 0 else None
        try:
            return None if text is None else float(text)
        except ValueError:
            return None

    def _report(self, tally: _Tally, feedback: QgsProcessingFeedback) -> None:
        if not tally.features and self._selected_only:
            raise VectorError(
                f"{self._label}: expected selected features, but none is selected in the layer "
                f"'{self.name}'. Select some, or untick 'Selected features only'."
            )
        if tally.features and not tally.polygons:
            raise VectorError(
                f"{self._label}: expected polygons, found {counted(tally.features, 'feature')} "
                f"without an area in the layer '{self.name}'. Choose a polygon layer."
            )
        left_out = tally.features - tally.polygons
        if left_out:
            feedback.pushWarning(
                f"{counted(left_out, 'feature')} of '{self.name}' without an area left out: "
                "expected polygons, found points or lines."
            )
        kinds = counted(len(tally.categories), "category", "categories")
        in_kinds = f" in {kinds}" if self._field else ""
        polygons = counted(tally.polygons, "polygon")
        feedback.pushInfo(f"Read {polygons}{in_kinds} from '{self.name}'.")


class _Tally:
    """What went by while features were streamed."""

    def __init__(self) -> None:
        self.features = 0
        self.polygons = 0
        self.categories: set[str] = set()


def _new_writer(
    path: str, crs: QgsCoordinateReferenceSystem, columns: QgsFields
) -> QgsVectorFileWriter:
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = TABLE
    options.layerOptions = ["SPATIAL_INDEX=NO"]  # the engine reads it all, once
    writer = QgsVectorFileWriter.create(
        path,
        columns,
        QgsWkbTypes.Type.MultiPolygon,
        crs,
        QgsCoordinateTransformContext(),
        options,
    )
    _check(writer, path)
    return writer


def _columns(*, scored: bool) -> QgsFields:
    # taken from a layer, since the constructor of a field differs between Qt 5 and Qt 6
    table = f"NoGeometry?field={CATEGORY_FIELD}:string(0,0)&field={SOURCE_FIELD}:string(0,0)"
    score = f"&field={SCORE_FIELD}:double" if scored else ""
    return QgsVectorLayer(table + score, "columns", "memory").fields()


def _check(writer: QgsVectorFileWriter, path: str) -> None:
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise OutputError(
            f"The temporary file {os.path.basename(path)} could not be written "
            f"({writer.errorMessage()}). Make room on the disk of {os.path.dirname(path)}."
        )
