"""The algorithm ``deepseg:train``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from deepseg_qgis.processing.algorithms.algorithm import OBJECT_TAGS
from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.parameters import (
    MODEL_FILES,
    TABLES,
    WEB_PAGES,
    Parameters,
    advanced,
    file_output,
    flag,
    model,
    text,
)
from deepseg_qgis.processing.algorithms.training_parameters import (
    annotated_ground,
    learning,
    training_values,
)
from deepseg_qgis.processing.algorithms.vector_destinations import GeoPackageOutput
from deepseg_qgis.processing.engine.client import EngineProgram
from deepseg_qgis.processing.engine.environment import torchrun_options
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.styles import VALIDATION_COLOUR, outline_style

from deepseg_qgis.jobs import TrainJob


class Train(EngineAlgorithm):
    """Train a model from polygons."""

    ID = "train"
    TITLE = "Train a model"
    GROUP = "Train"
    SUMMARY = "Learn to find what your polygons show"
    TAGS = f"learn,model,fit,detect,classify,classification,U-Net,supervised,{OBJECT_TAGS}"
    HELP = """
    Learns from polygons that you drew over one or more rasters, and writes a model file that
    'Predict' can apply to other ground.

    What it needs: rasters with the same bands, and polygons in any CRS. Draw an area of
    interest around ground that you annotated completely: in there, whatever has no polygon
    counts as background; outside nothing is assumed. A category field tells kinds of things
    apart.

    What comes out: the model (one file that knows its bands, resolution and categories), the
    areas that were kept from training to choose the epoch to keep, a report with the learning
    curve, and the curve as a table.

    The task says what becomes one polygon. 'Semantic': all ground of a category that hangs
    together; right for water or forest. 'Instance': every single object, also where houses
    stand wall to wall. 'Panoptic': objects for the categories that one counts, connected
    ground for the others. 'Auto' looks at each category of your polygons: objects are told
    apart if at least a tenth of them lie within two pixels of another one of their category and
    most are smaller than a quarter of a tile. The log says what was chosen, and why.

    Under 'Categories that nobody counts' you name those whose ground stays connected, whatever
    the polygons look like. 'Auto' judges the others; 'instance' and 'panoptic' tell apart all
    others. ('Panoptic' without a name judges like 'auto', and ends if there is nothing to count.)
    'Semantic' needs no names.

    The model size says how large the network is. 'Medium' suits most work. 'Small' predicts a fifth
    faster and needs more training for the same quality. 'Large' takes a quarter longer to train.

    Rare categories are shown more often than their ground alone would have it. Without an area of
    interest the log warns at the end if most of what looks like a category has no polygon: draw
    an area around ground that you annotated completely, or the missing polygons.

    The validation score goes from 0 to 1, over the areas kept from training: the mean IoU
    (overlap divided by union), or, where objects are told apart, the panoptic quality, which
    is the F1 of the objects times the mean IoU of those that were found; of a panoptic model the
    mean over the categories, each by its kind. For an honest figure
    run 'Evaluate a model' on a third area.

    Training starts from an encoder that has learned from a million photos, so that a hundred
    polygons go far. Its weights came with the engine; for other encoders run 'Fetch encoder
    weights' once, or name a file of your own, such as weights from satellite images. The log says
    where it starts. Training itself never uses the network.

    To improve a model, draw or correct polygons and give it as 'Model to continue from': its
    network, bands and resolution stay, and so do its categories, by their names; new names are
    learned, and names that the layer no longer has are dropped. Leave the old polygons in the
    layer, so that nothing is forgotten.

    After each epoch the model so far is saved, at its place, or beside an older model that stands
    there (the log says where). Cancel validates and keeps the model as it is, which is about as
    good as if no more had been planned. A training that was cancelled or interrupted goes on where
    it was when you run it again with the same values.

    Tip: start with a small area and few epochs, predict, look at the errors on the map,
    annotate there, and train again. A few hundred polygons often do.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "VALIDATION_SCORE": "Validation score (mean IoU or panoptic quality)",
        "EPOCHS_RUN": "Epochs run",
    }
    COSTLY_OUTPUTS: ClassVar[tuple[str, ...]] = ("OUTPUT",)
    STOP_GRACE_S: ClassVar[float] = 300.0

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            *annotated_ground(),
            model("INITIAL_MODEL", "Model to continue from (empty = start anew)", optional=True),
            *learning(),
            advanced(flag("RESUME", "Resume an interrupted run of the same training", True)),
            advanced(text("TRACKING_URI", "MLflow server or folder to log to (URI; empty = none)")),
            file_output("OUTPUT", "Model", MODEL_FILES, optional=False),
            GeoPackageOutput("OUTPUT_VALIDATION", "Areas kept from training", optional=True),
            file_output("OUTPUT_HTML", "Report", WEB_PAGES),
            file_output("OUTPUT_LOG", "Learning curve", TABLES, created=False),
        ]

    def engine(self) -> EngineProgram:
        """Return the program that does the job, in several processes if torchrun is wanted."""
        return replace(super().engine(), torchrun=torchrun_options(os.environ))

    def job(self, inputs: Inputs, destinations: Destinations) -> TrainJob:
        """Return what the engine is asked to do."""
        return TrainJob(
            **training_values(inputs),
            initial_model=inputs.optional_file("INITIAL_MODEL"),
            resume=inputs.flag("RESUME"),
            tracking_uri=inputs.optional_text("TRACKING_URI"),
            output=destinations.path("OUTPUT"),
            output_validation=destinations.optional_path("OUTPUT_VALIDATION"),
            output_html=destinations.optional_path("OUTPUT_HTML"),
            output_log=destinations.optional_path("OUTPUT_LOG"),
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:  # noqa: ARG002
        """Return how to draw the areas kept from training."""
        return {"OUTPUT_VALIDATION": outline_style(VALIDATION_COLOUR)}

    def message_when_stopped(self, paths: Mapping[str, str], values: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return where the model that was kept lies."""
        return (
            f"Training was stopped before its end. The model up to then was kept: {paths['OUTPUT']}"
        )
