"""The algorithm ``deepseg:evaluatelayers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.evaluate import JSON_FILES, Evaluate
from deepseg_qgis.processing.algorithms.parameters import (
    TABLES,
    WEB_PAGES,
    Parameters,
    area_of_interest,
    category_field,
    file_output,
    number,
    polygons,
    score_field,
)
from deepseg_qgis.processing.algorithms.vector_destinations import GeoPackageOutput
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.styles import error_style
from qgis.core import QgsVectorLayer

from deepseg_qgis import bounds
from deepseg_qgis.jobs import CATEGORY_FIELD, EvaluateLayersJob


class EvaluateLayers(EngineAlgorithm):
    """Compare two layers of polygons."""

    ID = "evaluatelayers"
    TITLE = "Evaluate layers"
    GROUP = "Evaluate"
    SUMMARY = "How well two polygon layers agree, and where not"
    TAGS = (
        "accuracy,quality,validation,compare,agreement,annotators,errors,missed,false alarm,"
        "confusion matrix,F1,IoU,precision,recall,mAP"
    )
    HELP = """
    Compares two polygon layers, whoever made them: predictions of any program with a reference, or
    the drawings of two people.

    What it needs: the two layers, in any CRS, with or without categories and scores. An area of
    interest around ground where the reference is complete; without one it is the bounding box of
    the reference. Categories are compared if both layers have a category field.

    What comes out: a layer of errors with each polygon of both layers: right, missed, false alarm,
    merged, split, wrong category or badly outlined, with the reason in words and a rank, 1 for the
    worst. A page to read, the scores as JSON and as a table, and the main numbers, from 0 to 1.

    Areas are exact and true on the ground, no pixels are involved. Average precision (AP) needs a
    score for each prediction; without scores it is left out.

    Tip: sort the layer of errors by its field 'rank', and look at the first ten on the map.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        **Evaluate.NUMBER_OUTPUTS,
        "MEAN_IOU": "Mean IoU of the ground",
    }

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        label = "(empty = 'category', if there)"
        return [
            polygons("PREDICTIONS", "Predictions"),
            polygons("REFERENCE", "Reference"),
            category_field("PREDICTIONS", f"Category field of the predictions {label}"),
            category_field(
                "REFERENCE", f"Category field of the reference {label}", "REFERENCE_CATEGORY_FIELD"
            ),
            score_field("PREDICTIONS"),
            area_of_interest("evaluated (empty: the bounding box of the reference)"),
            number(
                "IOU_THRESHOLD",
                "IoU from which an object counts as found, 0 to 1",
                0.5,
                bounds.IOU_THRESHOLD,
            ),
            GeoPackageOutput("OUTPUT_ERRORS", "Errors", optional=True),
            file_output("OUTPUT_CSV", "Scores by category", TABLES, created=False),
            file_output("OUTPUT_JSON", "Scores as JSON", JSON_FILES, created=False),
            file_output("OUTPUT_HTML", "Report", WEB_PAGES),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> EvaluateLayersJob:
        """Return what the engine is asked to do."""
        return EvaluateLayersJob(
            predictions=inputs.polygons("PREDICTIONS"),
            reference=inputs.polygons("REFERENCE"),
            score_field=inputs.score_field("PREDICTIONS"),
            aoi=inputs.optional_polygons("AOI"),
            iou_threshold=inputs.number("IOU_THRESHOLD"),
            output_errors=destinations.optional_path("OUTPUT_ERRORS"),
            output_csv=destinations.optional_path("OUTPUT_CSV"),
            output_json=destinations.optional_path("OUTPUT_JSON"),
            output_html=destinations.optional_path("OUTPUT_HTML"),
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:  # noqa: ARG002
        """Return the colours of the kinds of errors."""
        return {"OUTPUT_ERRORS": error_style()}

    def default_category_field(self, layer: QgsVectorLayer | None) -> str | None:
        """Return the field that DeepSeg's own layers have, if this one has it."""
        has_it = layer is not None and layer.fields().lookupField(CATEGORY_FIELD) >= 0
        return CATEGORY_FIELD if has_it else None
