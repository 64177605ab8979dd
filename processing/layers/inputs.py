"""What the user entered, as the fields of a job.

Two steps, since QGIS runs them in two threads: `InputLayers` opens layers in the main thread,
`Inputs` reads all else, and streams features, where the work is done.
"""

from __future__ import annotations

import os
from typing import Any

from deepseg_qgis.processing.layers.input_layers import EMPTY, InputLayers
from deepseg_qgis.processing.layers.raster_layers import wkt_of
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
)

from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import Extent, RasterSource, SampleSource, VectorSource


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
    def polygon_extension(self) -> str | None:
        """The ending for polygons found on the rasters, None for the output's usual one.

        Of rasters without a place on the ground it is that of GeoPackages: a GeoJSON would claim
        that pixel coordinates are degrees.
        """
        return None if self._layers.georeferenced else "gpkg"

    def raster(self, name: str = "INPUT") -> RasterSource:
        """Return the one raster of a parameter."""
        return self._layers.rasters[name][0]

    def rasters(self) -> tuple[RasterSource, ...]:
        """Return the rasters of INPUT."""
        return self._layers.rasters["INPUT"]

    def optional_rasters(self) -> tuple[RasterSource, ...]:
        """Return the rasters of INPUT, none where it was left empty."""
        return self._layers.rasters.get("INPUT", ())

    def optional_raster(self, name: str) -> RasterSource | None:
        """Return the raster of a parameter; None where it is empty or a layer of polygons."""
        return next(iter(self._layers.rasters.get(name, ())), None)

    def sample(self, name: str = "INPUT") -> SampleSource:
        """Return the points of a sample layer."""
        return self._layers.samples[name]

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

    def score_field(self, name: str) -> str | None:
        """Return the field that the scores of a parameter's features are in, or None."""
        return self._layers.score_fields.get(name)

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

    def optional_choice(self, name: str) -> str | None:
        """Return the word that was chosen, or None."""
        return None if self._is_empty(name) else self.choice(name) or None

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

    def word_or_file(self, name: str, endings: tuple[str, ...]) -> str | None:
        """Return a word, or the absolute path of what ends like a file; None where it is empty."""
        value = self.optional_text(name)
        is_file = value is not None and value.lower().endswith(endings)
        return os.path.abspath(value) if value is not None and is_file else value

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
        return self._parameters.get(name, default) in EMPTY
