"""The algorithm ``deepseg:evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm
from deepseg_qgis.processing.algorithms.parameters import (
    WEB_PAGES,
    Parameters,
    area_of_interest,
    category_field,
    device,
    file_output,
    model,
    number,
    polygons,
    rasters,
    threshold,
)
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs

from deepseg_qgis import bounds
from deepseg_qgis.jobs import EvaluateJob

JSON_FILES = "JSON (*.json)"


class Evaluate(EngineAlgorithm):
    """Measure how good a model is."""

    ID = "evaluate"
    TITLE = "Evaluate a model"
    GROUP = "Evaluate"
    SUMMARY = "How good a model is on annotated ground"
    TAGS = (
        "accuracy,quality,validate,validation,assess,compare,confusion matrix,"
        "F1,IoU,precision,recall,mAP,model"
    )
    HELP = """
    Applies a model to ground that you annotated, and compares.

    Objects: a predicted polygon counts as found if it overlaps an annotation by at least the
    IoU threshold (overlap divided by union). Precision is the share of predictions that are
    right, recall the share of annotations that were found, F1 the balance of both. AP follows
    the rules of COCO, also for small, medium and large objects apart. The count error says by
    which share too many (or, below 0, too few) were counted. Pixels: IoU, Dice and the table of
    what was taken for what. Panoptic quality: how well everything was found and outlined.

    What it needs: the rasters, the model, annotations, and an area of interest around ground
    that is annotated completely and that the model was not trained on. Where it was, the scores
    flatter it, and the report says so.

    What comes out: a page to read and to pass on, the same as JSON, and the main numbers, from
    0 to 1; the count error is 0 at best, -0.5 where only half as many were counted, 0.5 where half
    too many.

    Scores of objects are of the categories that the model tells apart (of all, in connected
    pieces, if it is a semantic model); of the others, pixels and panoptic quality tell. What the
    model does not know counts as missed.

    Tip: where objects that touch melt into one polygon, pixels score well and objects poorly; then
    train with the task 'instance', and name what nobody counts.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "MAP": "Mean average precision (IoU 0.50 to 0.95)",
        "AP50": "Average precision at IoU 0.50",
        "PRECISION": "Precision of objects",
        "RECALL": "Recall of objects",
        "F1": "F1 of objects",
        "MEAN_IOU": "Mean IoU of pixels",
        "PQ": "Panoptic quality",
        "COUNT_ERROR": "Count error of objects, as a share of the reference",
    }

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            rasters(),
            model(),
            polygons("ANNOTATIONS", "Annotations"),
            category_field("ANNOTATIONS"),
            area_of_interest("evaluated (empty: around the annotations)"),
            threshold(),
            number(
                "IOU_THRESHOLD",
                "IoU from which an object counts as found, 0 to 1",
                0.5,
                bounds.IOU_THRESHOLD,
            ),
            device(),
            file_output("OUTPUT_JSON", "Scores as JSON", JSON_FILES, created=False),
            file_output("OUTPUT_HTML", "Report", WEB_PAGES),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> EvaluateJob:
        """Return what the engine is asked to do."""
        return EvaluateJob(
            rasters=inputs.rasters(),
            model=inputs.file("MODEL"),
            annotations=inputs.polygons("ANNOTATIONS"),
            aoi=inputs.optional_polygons("AOI"),
            threshold=inputs.optional_number("THRESHOLD"),
            iou_threshold=inputs.number("IOU_THRESHOLD"),
            device=inputs.choice("DEVICE"),
            output_json=destinations.optional_path("OUTPUT_JSON"),
            output_html=destinations.optional_path("OUTPUT_HTML"),
        )
