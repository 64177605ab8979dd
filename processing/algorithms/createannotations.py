"""The algorithm ``deepseg:createannotations``, the one that needs no engine."""

from __future__ import annotations

import os
from typing import Any

from deepseg_qgis.processing.algorithms.algorithm import DeepSegAlgorithm, is_step, qgis_error
from deepseg_qgis.processing.algorithms.parameters import Parameters
from deepseg_qgis.processing.algorithms.vector_destinations import (
    DRIVERS,
    DrawableOutput,
    wrong_ending,
)
from deepseg_qgis.processing.layers.attribute_texts import nfc
from deepseg_qgis.processing.layers.colours import with_palette
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.layer_styler import LayerStyler
from deepseg_qgis.processing.layers.style_files import save_beside
from deepseg_qgis.processing.layers.styles import AnnotationStyle
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterCrs,
    QgsProcessingParameterString,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

from deepseg_qgis.errors import DeepSegError, OutputError, ParameterError, counted
from deepseg_qgis.jobs import CATEGORY_FIELD
from deepseg_qgis.overwriting import OWN_STYLE, check_replaceable, layer_name
from deepseg_qgis.sidecars import sidecars

LONGEST_NAME = 254
"""Characters of a category's name; a Shapefile holds no more."""


class CreateAnnotations(DeepSegAlgorithm):
    """Make an empty layer to draw annotations in."""

    ID = "createannotations"
    TITLE = "Create an annotation layer"
    GROUP = "Prepare"
    SUMMARY = "An empty polygon layer with your categories, ready to draw in"
    TAGS = (
        "annotate,annotation,label,draw,digitize,digitise,polygon,training data,"
        "category,class,building,tree,new layer"
    )
    HELP = """
    Makes an empty polygon layer with a 'category' field. When you draw a polygon, QGIS offers
    your categories in a list, and the polygon takes its category's colour. The layer arrives with
    editing switched on: choose 'Add Polygon Feature' and draw.

    Categories: their names, separated by commas, or one on each line (then names may hold
    commas).

    CRS: that of your raster is a good choice. Leave it empty for pictures without georeference.

    An existing layer that has polygons is never overwritten.

    Tip: name what you can tell apart in the picture, and start with few categories. What has no
    polygon inside the area of interest counts as background: it needs no category.
    """

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            QgsProcessingParameterString(
                "CATEGORIES", "Categories (separated by commas, or one on each line)", None, True
            ),
            QgsProcessingParameterCrs("CRS", "CRS (empty: none)", "ProjectCrs", True),
            DrawableOutput("OUTPUT", "Annotations"),
        ]

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Write the layer and its style; return where it is."""
        text = self.parameterAsString(parameters, "CATEGORIES", context)
        crs = self.parameterAsCrs(parameters, "CRS", context)
        try:
            path = Destinations(self, parameters, context, self.edited).path("OUTPUT")
            style = AnnotationStyle(with_palette(split_names(text), {}))
            create_layer(path, style, crs)
        except DeepSegError as error:
            raise qgis_error(str(error)) from error
        if not crs.isValid():
            feedback.pushWarning(
                "The layer has no CRS, which is right for pictures without georeference alone."
            )
        self.style_on_load(LayerStyler(style, alone=not is_step(feedback)), path, context)
        return {"OUTPUT": path}


def split_names(text: str) -> list[str]:
    """Return the names in a text, each once: one a line, or separated by commas on one line.

    Raises:
        ParameterError: there is none, or one is too long.
    """
    separator = "\n" if "\n" in text.strip() else ","
    written = nfc(text).split(separator)
    names = list(dict.fromkeys(name.strip() for name in written if name.strip()))
    if not names:
        raise ParameterError(
            "Categories: expected at least one name, found none. Enter names separated by commas, "
            "for example: building, road, water."
        )
    for name in names:
        if len(name) > LONGEST_NAME:
            raise ParameterError(
                f"Categories: expected names of at most {LONGEST_NAME} characters, got one of "
                f"{len(name)} that begins with '{name[:40]}'. Separate names by commas."
            )
    return names


def create_layer(path: str, style: AnnotationStyle, crs: QgsCoordinateReferenceSystem) -> None:
    """Write an empty polygon layer whose form lists the categories, drawn in their colours.

    The style is the layer's default: inside a GeoPackage, and as ``.qml`` beside any file.

    Raises:
        OutputError: the file cannot be written, or has polygons already.
    """
    _check_empty(path)
    for old in sidecars(path):
        os.remove(old)
    _write_empty(path, crs)
    layer = QgsVectorLayer(path, os.path.splitext(os.path.basename(path))[0], "ogr")
    style.apply_to(layer)
    save_beside(path, layer, QgsMapLayer.StyleCategory.AllStyleCategories)
    if path.lower().endswith(".gpkg"):
        layer.saveStyleToDatabase("categories", OWN_STYLE, True, "")


def _check_empty(path: str) -> None:
    """Check that a file is not there, or holds an empty layer alone."""
    check_replaceable(path)
    if not os.path.exists(path) or os.path.getsize(path) == 0:
        return
    layer = QgsVectorLayer(path, "existing", "ogr")
    if not layer.isValid() or layer.featureCount() != 0:
        count = layer.featureCount() if layer.isValid() else 0
        held = f"has {counted(count, 'feature')}" if count > 0 else "is no empty layer"
        raise OutputError(
            f"{path} exists and {held}, which would be lost. Choose another name, or delete that "
            "file first."
        )


def _driver(path: str) -> str:
    ending = os.path.splitext(path)[1].lower()
    if ending not in DRIVERS:
        raise OutputError(wrong_ending(path))
    return DRIVERS[ending]


def _write_empty(path: str, crs: QgsCoordinateReferenceSystem) -> None:
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = _driver(path)
    options.layerName = layer_name(path)
    columns = QgsVectorLayer(
        f"NoGeometry?field={CATEGORY_FIELD}:string({LONGEST_NAME},0)", "", "memory"
    )
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}). Choose a folder that you may write to."
        ) from error
    writer = QgsVectorFileWriter.create(
        path,
        columns.fields(),
        QgsWkbTypes.Type.MultiPolygon,
        crs,
        QgsCoordinateTransformContext(),
        options,
    )
    failed = writer.hasError() != QgsVectorFileWriter.WriterError.NoError
    message = writer.errorMessage()
    del writer  # which finishes the file
    if failed:
        raise OutputError(
            f"{path} could not be written ({message}). Choose another folder, and .gpkg as the "
            "format."
        )
