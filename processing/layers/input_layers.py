"""The layers that the user entered, opened in QGIS's main thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from deepseg_qgis.processing.layers.polygon_fields import field_index, likely_category_field
from deepseg_qgis.processing.layers.polygon_layers import PolygonLayer
from deepseg_qgis.processing.layers.raster_layers import is_georeferenced, raster_sources
from deepseg_qgis.processing.layers.sample_points import sample_source
from qgis.core import (
    QgsFields,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsRasterLayer,
    QgsVectorLayer,
)

from deepseg_qgis.errors import ParameterError, RasterError
from deepseg_qgis.jobs import SCORE_FIELD, RasterSource, SampleSource, VectorSource

EMPTY = (None, "")
RASTERS = ("raster", "multilayer")
MAP_PARAMETER, REFERENCE_PARAMETER = "MAP_FIELD", "REFERENCE_FIELD"
"""The parameters that name the fields of a layer of points."""
SCORES = "SCORE_FIELD"
"""The parameter for the field of scores; all others for fields are for categories."""


class InputLayers:
    """The layers of all parameters of an algorithm; made in QGIS's main thread.

    ``folder`` takes the streamed features; ``default_category_field`` returns the category field to
    take where none was chosen. A layer that is being edited is streamed at once, since its edits
    must not be read while the user goes on with them.

    Raises:
        RasterError: a raster is no file.
        VectorError: a field is missing, or a layer in editing has no polygons.
    """

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        folder: str,
        default_category_field: Callable[[QgsVectorLayer | None], str | None],
    ) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context
        self._folder = folder
        self._field_if_empty = default_category_field
        self._polygons: dict[str, PolygonLayer] = {}
        self._streamed: dict[str, VectorSource] = {}
        self.rasters: dict[str, tuple[RasterSource, ...]] = {}
        self.samples: dict[str, SampleSource] = {}
        self.score_fields: dict[str, str] = {}
        self.georeferenced = True
        for definition in algorithm.parameterDefinitions():
            name = definition.name()
            if parameters.get(name) in (*EMPTY, []):
                continue
            if definition.type() in RASTERS:
                self._add_rasters(name)
            elif definition.type() == "layer":
                self._add_map(definition, feedback)
            elif _takes_points(definition):
                self._add_sample(definition)
            elif definition.type() == "source":
                self._add_polygons(definition, feedback)

    def polygons(self, name: str, feedback: QgsProcessingFeedback) -> VectorSource | None:
        """Return a parameter's features, streamed to a file; None where none was chosen."""
        if name in self._polygons and name not in self._streamed:
            path = os.path.join(self._folder, f"{name.lower()}.gpkg")
            self._streamed[name] = self._polygons[name].written_to(path, feedback)
        return self._streamed.get(name)

    def _add_map(
        self, definition: QgsProcessingParameterDefinition, feedback: QgsProcessingFeedback
    ) -> None:
        name = definition.name()
        layer = self._algorithm.parameterAsLayer(self._parameters, name, self._context)
        if isinstance(layer, QgsRasterLayer):
            self.rasters[name] = raster_sources([layer])
            self.georeferenced &= is_georeferenced(layer)
        else:
            self._add_polygons(definition, feedback)

    def _add_sample(self, definition: QgsProcessingParameterDefinition) -> None:
        arguments = (self._parameters, definition.name(), self._context)
        source = self._algorithm.parameterAsSource(*arguments)
        if source is None:
            raise _unopened(definition, self._parameters[definition.name()])
        layer = self._algorithm.parameterAsVectorLayer(*arguments)
        fields = [
            self._algorithm.parameterAsString(self._parameters, name, self._context)
            or self._algorithm.parameterDefinition(name).defaultValue()
            for name in (MAP_PARAMETER, REFERENCE_PARAMETER)
        ]
        self.samples[definition.name()] = sample_source(source, layer, fields[0], fields[1])

    def _add_rasters(self, name: str) -> None:
        layers = self._algorithm.parameterAsLayerList(self._parameters, name, self._context)
        chosen = [layer for layer in layers if isinstance(layer, QgsRasterLayer)]
        if not chosen or len(chosen) < len(layers):
            raise RasterError("Input: expected one or more rasters. Choose raster layers or files.")
        self.rasters[name] = raster_sources(chosen)
        self.georeferenced &= all(map(is_georeferenced, chosen))

    def _add_polygons(
        self, definition: QgsProcessingParameterDefinition, feedback: QgsProcessingFeedback
    ) -> None:
        name = definition.name()
        arguments = (self._parameters, name, self._context)
        source = self._algorithm.parameterAsSource(*arguments)
        if source is None:
            raise _unopened(definition, self._parameters[name])
        layer = self._algorithm.parameterAsVectorLayer(*arguments)
        if layer is not None and self._context.temporaryLayerStore().mapLayer(layer.id()):
            layer.loadDefaultStyle()  # QGIS opens files without the style beside them
        field = self._category_field(name, layer)
        score_field = self._score_field(name, source.fields())
        likely = likely_category_field(source.fields(), layer)
        if field == "" and likely:
            feedback.pushWarning(
                f"'{source.sourceName()}' has a field '{likely}', but no category field is "
                "chosen: all its polygons count as one category. Choose the field if it holds "
                "categories."
            )
        given = self._parameters[name]
        self._polygons[name] = PolygonLayer(
            source,
            layer,
            field or None,
            definition.description(),
            selected_only=isinstance(given, QgsProcessingFeatureSourceDefinition)
            and given.selectedFeaturesOnly,
            score_field=score_field,
        )
        if score_field:
            self.score_fields[name] = score_field
        if self._polygons[name].being_edited:
            self.polygons(name, feedback)

    def _category_field(self, parent: str, layer: QgsVectorLayer | None) -> str | None:
        """Return the field that was chosen from the layer of the parameter ``parent``.

        It is '' where none was chosen, and None where the layer's categories do not matter.
        """
        for definition in self._algorithm.parameterDefinitions():
            if (
                isinstance(definition, QgsProcessingParameterField)
                and definition.parentLayerParameterName() == parent
                and definition.name() != SCORES
            ):
                chosen = self._algorithm.parameterAsString(
                    self._parameters, definition.name(), self._context
                )
                return chosen or self._field_if_empty(layer) or ""
        return None

    def _score_field(self, parent: str, fields: QgsFields) -> str | None:
        """Return the field of scores: that which was chosen, else the one called 'score', or None.

        Raises:
            ParameterError: the layer has no such field.
        """
        definition = self._algorithm.parameterDefinition(SCORES)
        if (
            not isinstance(definition, QgsProcessingParameterField)
            or definition.parentLayerParameterName() != parent
        ):
            return None
        chosen = self._algorithm.parameterAsString(self._parameters, SCORES, self._context)
        if chosen and field_index(chosen, fields) < 0:
            raise ParameterError(
                f"{definition.description()}: the layer has no field '{chosen}'. Choose one of "
                "its fields, or leave it empty."
            )
        own = fields.lookupField(SCORE_FIELD)
        return chosen or (fields.at(own).name() if own >= 0 else None)


def _takes_points(definition: QgsProcessingParameterDefinition) -> bool:
    """Whether a parameter is for a layer of points, which is a sample."""
    return (
        isinstance(definition, QgsProcessingParameterFeatureSource)
        and QgsProcessing.SourceType.TypeVectorPoint in definition.dataTypes()
    )


def _unopened(definition: QgsProcessingParameterDefinition, value: Any) -> ParameterError:
    return ParameterError(
        f"{definition.description()}: the layer {value} could not be opened. Check that it opens "
        "in QGIS."
    )
