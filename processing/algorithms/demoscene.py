"""The algorithm ``deepseg:demoscene``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.parameters import Parameters, flag, whole_number
from deepseg_qgis.processing.algorithms.vector_destinations import GeoPackageOutput
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.styles import (
    TEST_COLOUR,
    TRAINING_COLOUR,
    annotation_style,
    outline_style,
)
from qgis.core import (
    QgsProcessingParameterRasterDestination,
)

from deepseg_qgis import bounds
from deepseg_qgis.jobs import DemoSceneJob


class DemoScene(EngineAlgorithm):
    """Make a made-up landscape with exact annotations, to try everything out."""

    ID = "demoscene"
    TITLE = "Make a demo scene"
    GROUP = "Prepare"
    SUMMARY = "A made-up aerial picture with exact annotations, to try DeepSeg out"
    TAGS = "example,sample,test data,synthetic,tutorial,demonstration,building,tree"
    HELP = """
    Paints an aerial picture of a landscape that does not exist: houses with roofs and shadows,
    some of them touching in rows, fields, trees, roads and water.

    You get the picture in a projected CRS, polygons that are exact to the pixel for all that is
    on it, an area to train on and another, apart from the first, to test on. It needs no data
    of yours.

    Tip: run 'Train a model' on the training area and 'Evaluate a model' on the test area to see
    the whole way once, in a few minutes. The same seed paints the same scene.
    """

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            whole_number("SIZE", "Width and height (px)", 2048, bounds.SCENE_SIZE_PX),
            whole_number("SEED", "Seed: each number is another scene", 1, bounds.SEED),
            flag("TOUCHING", "Some buildings touch, in rows", True),
            QgsProcessingParameterRasterDestination("OUTPUT", "Scene"),
            GeoPackageOutput("ANNOTATIONS", "Annotations"),
            GeoPackageOutput("TRAINING_AOI", "Training area"),
            GeoPackageOutput("TEST_AOI", "Test area"),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> DemoSceneJob:
        """Return what the engine is asked to do."""
        return DemoSceneJob(
            size_px=inputs.whole("SIZE"),
            seed=inputs.whole("SEED"),
            touching=inputs.flag("TOUCHING"),
            output=destinations.path("OUTPUT"),
            annotations=destinations.path("ANNOTATIONS"),
            training_aoi=destinations.path("TRAINING_AOI"),
            test_aoi=destinations.path("TEST_AOI"),
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:
        """Return how to draw the annotations and the two areas."""
        return {
            "ANNOTATIONS": annotation_style(values),
            "TRAINING_AOI": outline_style(TRAINING_COLOUR),
            "TEST_AOI": outline_style(TEST_COLOUR),
        }
