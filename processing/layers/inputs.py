"""What the user entered, as the fields of a job.

Two steps, since QGIS runs them in two threads: `InputLayers` opens layers in the main thread,
`Inputs` reads all else, and streams features, where the work is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from deepseg_qgis.processing.layers.category_fields import likely_category_field
from deepseg_qgis.processing.layers.polygon_layers import PolygonLayer
from deepseg_qgis.processing.layers.raster_layers import is_georeferenced, raster_sources, wkt_of
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterField,
    QgsRasterLayer,
    QgsVectorLayer,
)

from deepseg_qgis.errors import ParameterError, RasterError
from deepseg_qgis.jobs import Extent, RasterSource, VectorSource

NOTHING = (None, "")
RASTERS = ("raster", "multilayer")


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
        self.georeferenced = True
        for definition in algorithm.parameterDefinitions():
            name = definition.name()
            if parameters.get(name) in (*NOTHING, []):
                continue
            if definition.type() in RASTERS:
                self._add_rasters(name)
            elif definition.type() == "source":
                self._add_polygons(definition, feedback)

    def polygons(self, name: str, feedback: QgsProcessingFeedback) -> VectorSource | None:
        """Return a parameter's features, streamed to a file; None where none was chosen."""
        if name in self._polygons and name not in self._streamed:
            path = os.path.join(self._folder, f"{name.lower()}.gpkg")
            self._streamed[name] = self._polygons[name].written_to(path, feedback)
        return self._streamed.get(name)

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
            raise ParameterError(
                f"{definition.description()}: the layer {self._parameters[name]} could not be "
                "opened. Check that it opens in QGIS."
            )
        layer = self._algorithm.parameterAsVectorLayer(*arguments)
        if layer is not None and self._context.temporaryLayerStore().mapLayer(layer.id()):
            layer.loadDefaultStyle()  # QGIS opens files without the style beside them
        field = self._category_field(name, layer)
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
        )
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
            ):
                chosen = self._algorithm.parameterAsString(
                    self._parameters, definition.name(), self._context
                )
                return chosen or self._field_if_empty(layer) or ""
        return None


class Inputs:
    """The values of an algorithm's parameters, by name; made where the work is done."""

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        layers: InputLayers,
    ) -> None:
        self._algorithm, self._feedback, self._layers = algorithm, feedback, layers
        self._parameters, self._context = parameters, context

    @property
    def georeferenced(self) -> bool:
        """Whether all rasters lie somewhere on the ground."""
        return self._layers.georeferenced

    def raster(self, name: str = "INPUT") -> RasterSource:
        """Return the one raster of a parameter."""
        return self._layers.rasters[name][0]

    def rasters(self) -> tuple[RasterSource, ...]:
        """Return the rasters of INPUT."""
        return self._layers.rasters["INPUT"]

    def optional_rasters(self) -> tuple[RasterSource, ...]:
        """Return the rasters of INPUT, none where it was left empty."""
        return self._layers.rasters.get("INPUT", ())

    def polygons(self, name: str) -> VectorSource:
        """Return the features of a parameter that must be there."""
        source = self.optional_polygons(name)
        if source is None:
            label = self._algorithm.parameterDefinition(name).description()
            raise ParameterError(f"{label}: expected a layer, found none. Choose one.")
        return source

    def optional_polygons(self, name: str) -> VectorSource | None:
        """Return the features of a parameter, or None."""
        return self._layers.polygons(name, self._feedback)

    def number(self, name: str) -> float:
        """Return a real number."""
        return self._algorithm.parameterAsDouble(self._parameters, name, self._context)

    def optional_number(self, name: str) -> float | None:
        """Return a real number, or None (for which QGIS itself would return 0)."""
        return None if self._is_empty(name) else self.number(name)

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return self._algorithm.parameterAsInt(self._parameters, name, self._context)

    def optional_whole(self, name: str) -> int | None:
        """Return a whole number, or None."""
        return None if self._is_empty(name) else self.whole(name)

    def flag(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return self._algorithm.parameterAsBoolean(self._parameters, name, self._context)

    def choice(self, name: str) -> str:
        """Return the word that was chosen."""
        return self._algorithm.parameterAsEnumString(self._parameters, name, self._context)

    def file(self, name: str) -> str:
        """Return the absolute path of a file."""
        path = self._algorithm.parameterAsFile(self._parameters, name, self._context)
        return os.path.abspath(path)

    def optional_file(self, name: str) -> str | None:
        """Return the absolute path of a file or folder, or None."""
        return None if self._is_empty(name) else self.file(name)

    def optional_text(self, name: str) -> str | None:
        """Return a line of text, or None where there is none."""
        value = self._algorithm.parameterAsString(self._parameters, name, self._context)
        return value.strip() or None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the entries of a line of text that commas separate; none where it is empty."""
        entries = (self.optional_text(name) or "").split(",")
        return tuple(entry.strip() for entry in entries if entry.strip())

    def extent(self, name: str) -> Extent | None:
        """Return a rectangle with its CRS, or None."""
        if self._is_empty(name):
            return None
        arguments = (self._parameters, name, self._context)
        box = self._algorithm.parameterAsExtent(*arguments)
        crs = self._algorithm.parameterAsExtentCrs(*arguments)
        return Extent(box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum(), wkt_of(crs))

    def _is_empty(self, name: str) -> bool:
        default = self._algorithm.parameterDefinition(name).defaultValue()
        return self._parameters.get(name, default) in NOTHING
