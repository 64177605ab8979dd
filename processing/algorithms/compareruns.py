"""The algorithm ``deepseg:compareruns``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm
from deepseg_qgis.processing.algorithms.parameters import (
    WEB_PAGES,
    Parameters,
    file_output,
    folder,
    table_output,
)
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs

from deepseg_qgis.jobs import CompareRunsJob


class CompareRuns(EngineAlgorithm):
    """Compare the trainings of a folder."""

    ID = "compareruns"
    TITLE = "Compare trainings"
    GROUP = "Evaluate"
    SUMMARY = "The models of a folder side by side: settings, scores, curves"
    TAGS = "experiment,model,models,learning curve,hyperparameter,history,leaderboard,accuracy"
    HELP = """
    Puts all models of a folder side by side: with which settings each was trained, how good it
    became, and how fast.

    What it needs: a folder with models that 'Train a model' made, in subfolders, too. Where a
    folder also holds scores that 'Evaluate a model' wrote (OUTPUT_JSON), each model gets its
    newest ones. Learning curves (OUTPUT_LOG) tell how long each took. Reports that are called
    like their model are linked.

    What comes out: a table layer with a row for each model, and a page with the settings that
    differ, the best model and the learning curves. Files that are no models are listed with the
    reason.

    Validation scores can be compared between models that were validated on the same ground for the
    same categories. For all others run 'Evaluate a model' on one test area; models are then ranked
    by F1, or by IoU where nothing is counted.

    Tip: change one setting at a time, and give each training two or three random seeds: scores
    differ by some hundredths from seed to seed.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {"COUNT": "Number of models"}

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            folder("FOLDER", "Folder of models"),
            table_output("OUTPUT", "Comparison"),
            file_output("OUTPUT_HTML", "Report", WEB_PAGES),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> CompareRunsJob:
        """Return what the engine is asked to do."""
        return CompareRunsJob(
            folder=inputs.file("FOLDER"),
            output=destinations.path("OUTPUT"),
            output_html=destinations.optional_path("OUTPUT_HTML"),
        )
