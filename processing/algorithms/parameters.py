"""Declarations of parameters that several algorithms share, and short ways to write the others.

Names are an interface: models and scripts of users hold them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepseg_qgis.processing.algorithms.raster_parameters import RasterInput, RasterInputs
from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from deepseg_qgis import bounds
from deepseg_qgis.bounds import Bounds
from deepseg_qgis.choices import DEVICES, OUTLINES

Definition = QgsProcessingParameterDefinition
Parameters = list[Definition]

MODEL_FILES = "DeepSeg model (*.safetensors)"
WEB_PAGES = "Web page (*.html)"
TABLES = "Table (*.csv)"
COCO_FILES = "COCO (*.json)"


def rasters(label: str = "Rasters", optional: bool = False) -> Definition:
    """Return INPUT as one or more rasters."""
    return RasterInputs("INPUT", label, QgsProcessing.SourceType.TypeRaster, None, optional)


def raster(name: str = "INPUT", label: str = "Raster") -> Definition:
    """Return a parameter for one raster."""
    return RasterInput(name, label)


def polygons(name: str, label: str, *, optional: bool = False) -> Definition:
    """Return a parameter for a layer of polygons."""
    return QgsProcessingParameterFeatureSource(
        name, label, [QgsProcessing.SourceType.TypeVectorPolygon], None, optional
    )


def category_field(
    parent: str,
    label: str = "Category field (empty: all polygons are of one category)",
    name: str = "CATEGORY_FIELD",
) -> Definition:
    """Return CATEGORY_FIELD, a field of the layer of another parameter."""
    return QgsProcessingParameterField(
        name,
        label,
        None,
        parent,
        QgsProcessingParameterField.DataType.Any,
        False,
        True,
    )


def score_field(parent: str) -> Definition:
    """Return SCORE_FIELD, a field of numbers of the layer of another parameter."""
    return QgsProcessingParameterField(
        "SCORE_FIELD",
        "Score field (empty = 'score', if there)",
        None,
        parent,
        QgsProcessingParameterField.DataType.Numeric,
        False,
        True,
    )


def area_of_interest(what: str) -> Definition:
    """Return AOI; ``what`` says what is done with it."""
    return polygons("AOI", f"Area of interest: {what}", optional=True)


def model(name: str = "MODEL", label: str = "Model", *, optional: bool = False) -> Definition:
    """Return a model file, in most algorithms MODEL."""
    return QgsProcessingParameterFile(
        name,
        label,
        QgsProcessingParameterFile.Behavior.File,
        "safetensors",
        None,
        optional,
    )


def file(name: str, label: str, *, optional: bool = False) -> Definition:
    """Return a file of any kind that is read."""
    return QgsProcessingParameterFile(
        name, label, QgsProcessingParameterFile.Behavior.File, "", None, optional
    )


def folder(name: str, label: str, *, optional: bool = False) -> Definition:
    """Return a folder that is read."""
    return QgsProcessingParameterFile(
        name, label, QgsProcessingParameterFile.Behavior.Folder, "", None, optional
    )


def text(name: str, label: str, default: str | None = None) -> Definition:
    """Return a line of text that may stay empty."""
    return QgsProcessingParameterString(name, label, default, False, True)


def device() -> Definition:
    """Return DEVICE, what to compute on."""
    return advanced(
        choice("DEVICE", "Compute on (auto: a GPU where there is one)", DEVICES, "auto")
    )


def threshold() -> Definition:
    """Return THRESHOLD, for probabilities from 0 to 1."""
    return number(
        "THRESHOLD",
        "Probability threshold, 0 to 1 (empty: the model's own, one per category)",
        None,
        bounds.THRESHOLD,
    )


def shaping() -> Parameters:
    """Return what polygons are drawn by: THRESHOLD, MIN_AREA, SIMPLIFY and OUTLINES."""
    return [threshold(), min_area(), simplify(), outlines()]


def min_area() -> Definition:
    """Return MIN_AREA, below which polygons are left out."""
    return number(
        "MIN_AREA",
        "Smallest area of a polygon (m²; px² without georeference)",
        0.0,
        bounds.MIN_AREA,
    )


def simplify() -> Definition:
    """Return SIMPLIFY, by how much outlines may be straightened."""
    return number(
        "SIMPLIFY",
        "Simplify outlines by at most (px; 0: along the pixels' edges)",
        1.0,
        bounds.SIMPLIFY_PX,
    )


def outlines() -> Definition:
    """Return OUTLINES, the style that outlines are drawn in."""
    return advanced(
        choice(
            "OUTLINES",
            "Outlines (right_angles: for buildings; smooth: for crowns and ponds)",
            OUTLINES,
            "plain",
        )
    )


def flag(name: str, label: str, default: bool) -> Definition:
    """Return a box to tick."""
    return QgsProcessingParameterBoolean(name, label, default)


def number(name: str, label: str, default: float | None, limits: Bounds) -> Definition:
    """Return a real number; it is optional if its default is None."""
    return _number(name, label, default, limits, QgsProcessingParameterNumber.Type.Double)


def whole_number(name: str, label: str, default: int | None, limits: Bounds) -> Definition:
    """Return a whole number; it is optional if its default is None."""
    return _number(name, label, default, limits, QgsProcessingParameterNumber.Type.Integer)


def _number(
    name: str,
    label: str,
    default: float | None,
    limits: Bounds,
    kind: QgsProcessingParameterNumber.Type,
) -> Definition:
    definition = QgsProcessingParameterNumber(name, label, kind, default, default is None)
    # QGIS has numbers of its own for "unbounded", which differ between whole and real ones
    if math.isfinite(limits.least):
        definition.setMinimum(limits.least)
    if math.isfinite(limits.most):
        definition.setMaximum(limits.most)
    return definition


def choice(name: str, label: str, options: Sequence[str], default: str | None) -> Definition:
    """Return a choice whose values are words, so that a new choice never shifts a saved model.

    Without a default it can be left empty.
    """
    optional = default is None
    return QgsProcessingParameterEnum(name, label, list(options), False, default, optional, True)


def advanced(definition: Definition) -> Definition:
    """Return the parameter folded away under 'Advanced Parameters'."""
    flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    definition.setFlags(definition.flags() | flag)
    return definition


def vector_output(name: str, label: str, *, optional: bool = False) -> Definition:
    """Return a destination for polygons."""
    return QgsProcessingParameterVectorDestination(
        name, label, QgsProcessing.SourceType.TypeVectorPolygon, None, optional, True
    )


def raster_output(name: str, label: str) -> Definition:
    """Return a destination for a raster, which is not made unless asked for."""
    return QgsProcessingParameterRasterDestination(name, label, None, True, False)


def table_output(
    name: str, label: str, *, optional: bool = False, created: bool = True
) -> Definition:
    """Return a destination for a table without geometry, which opens as a layer of its own."""
    return QgsProcessingParameterVectorDestination(
        name, label, QgsProcessing.SourceType.TypeVector, None, optional, created
    )


def file_output(
    name: str, label: str, files: str, *, optional: bool = True, created: bool = True
) -> Definition:
    """Return a destination for a file; ``created`` is whether the dialog proposes to write it."""
    return QgsProcessingParameterFileDestination(name, label, files, None, optional, created)


def folder_output(name: str, label: str) -> Definition:
    """Return a destination for a folder, which is not made unless asked for."""
    return QgsProcessingParameterFolderDestination(name, label, None, True, False)
