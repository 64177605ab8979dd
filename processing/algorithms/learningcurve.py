"""The algorithm ``deepseg:learningcurve``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm
from deepseg_qgis.processing.algorithms.parameters import (
    WEB_PAGES,
    Parameters,
    file_output,
    table_output,
    whole_number,
)
from deepseg_qgis.processing.algorithms.training_parameters import (
    annotated_ground,
    learning,
    training_values,
)
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs

from deepseg_qgis import bounds
from deepseg_qgis.jobs import LearningCurveJob


class LearningCurve(EngineAlgorithm):
    """Tell whether more polygons would help."""

    ID = "learningcurve"
    TITLE = "Learning curve: how many polygons are enough?"
    GROUP = "Train"
    SUMMARY = "What twice as many polygons would bring"
    TAGS = "sample size,number of samples,annotation effort,how many,enough,training data,accuracy"
    HELP = """
    Tells whether it pays to draw more polygons.

    What it needs: what 'Train a model' needs, with some tens of polygons at least.

    What it does: trains on a quarter of your annotated ground, then on more and more of it, and
    tests each model on the same validation area. It takes about as long as one training.

    What comes out: one sentence, such as 'With twice as many polygons, expect F1 0.71 (0.66 to
    0.75) instead of 0.66', a page with the curve, and the curve as a table. In nine of ten cases
    the score lies within the bounds. Where nothing is counted, the score is the mean IoU instead
    of F1. With fewer than 20 polygons in the validation area it says that it cannot tell.

    Tip: a larger share for validation makes the bounds narrower. The models are not kept: run
    'Train a model' for one that learns from all polygons.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "EXPECTED_GAIN": "Expected gain with twice as many polygons",
    }

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            *annotated_ground(),
            whole_number("SUBSETS", "Number of trainings (points of the curve)", 4, bounds.SUBSETS),
            *learning(),
            table_output("OUTPUT", "Learning curve"),
            file_output("OUTPUT_HTML", "Report", WEB_PAGES),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> LearningCurveJob:
        """Return what the engine is asked to do."""
        return LearningCurveJob(
            **training_values(inputs),
            subsets=inputs.whole("SUBSETS"),
            output=destinations.path("OUTPUT"),
            output_html=destinations.optional_path("OUTPUT_HTML"),
        )
