"""What all of DeepSeg's algorithms have in common: their face, and a job run by the engine."""

from __future__ import annotations

import contextlib
import math
import os
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from deepseg_qgis.processing.algorithms.checks import problem_with, problem_with_names
from deepseg_qgis.processing.engine.choice import find_engine
from deepseg_qgis.processing.engine.client import Listener, run_job
from deepseg_qgis.processing.engine.private_folders import PrivateFolder, parent_folder
from deepseg_qgis.processing.engine.relay import Relay, tell_details
from deepseg_qgis.processing.engine.window_events import WindowEvents
from deepseg_qgis.processing.layers.destinations import Destinations, is_temporary
from deepseg_qgis.processing.layers.inputs import ChosenLayers, Inputs
from deepseg_qgis.processing.layers.layer_files import files_being_edited
from deepseg_qgis.processing.layers.styles import Painter, Style, save_style
from deepseg_qgis.processing.translation import tr
from qgis import core
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterDefinition,
    QgsProcessingUtils,
    QgsSettings,
    QgsVectorLayer,
)

from deepseg_qgis.errors import DeepSegError, EngineMissing, Stopped, os_message
from deepseg_qgis.events import Result
from deepseg_qgis.jobs import Job

if TYPE_CHECKING:
    from qgis.PyQt.QtWidgets import QWidget

GROUPS = ("Prepare", "Train", "Evaluate", "Predict", "Analyse", "Models")
"""In the order of the work; QGIS sorts by title, so each title starts with its number."""

TAGS = "segmentation,deep learning,machine learning,AI,neural network,orthophoto,aerial,satellite"
"""What people type into the toolbox's search field for any of the algorithms."""

THINGS = (
    "building,house,roof,tree,crown,forest,vegetation,crop,field,road,water,land cover,vehicle,"
    "solar panel,instance,object"
)
"""What people look for in pictures: tags of the algorithms that learn it and find it."""

Definitions = list[QgsProcessingParameterDefinition]
Styles = dict[str, Optional[Style]]


class DeepSegAlgorithm(QgsProcessingAlgorithm):
    """An entry of DeepSeg's toolbox; subclasses fill in the class attributes and `declared`."""

    ID: ClassVar[str]
    TITLE: ClassVar[str]
    GROUP: ClassVar[str]
    SUMMARY: ClassVar[str]
    TAGS: ClassVar[str]
    """Words to find it by, besides those of its title; separated by commas."""
    HELP: ClassVar[str]

    def declared(self) -> Definitions:
        """Return the parameters, in the order of the dialog."""
        raise NotImplementedError

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Declare the parameters to QGIS."""
        for definition in self.declared():
            self.addParameter(definition)

    def createInstance(self) -> DeepSegAlgorithm:
        """Return a new algorithm of this kind."""
        return type(self)()

    def name(self) -> str:
        """Return the id within the provider."""
        return self.ID

    def displayName(self) -> str:
        """Return the title in the toolbox."""
        return self.TITLE

    def group(self) -> str:
        """Return the title of the group: its place in the work, and its name."""
        return f"{GROUPS.index(self.GROUP) + 1} {tr(self.GROUP)}"

    def groupId(self) -> str:
        """Return the id of the group."""
        return self.GROUP.lower()

    def tags(self) -> list[str]:
        """Return the words that the toolbox finds it by."""
        return f"{tr(TAGS)},{tr(self.TAGS)}".split(",")

    def shortDescription(self) -> str:
        """Return the tooltip in the toolbox."""
        return self.SUMMARY

    def shortHelpString(self) -> str:
        """Return the help beside the dialog: plain text, one paragraph a line."""
        paragraphs = textwrap.dedent(self.HELP).strip().split("\n\n")
        return "\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)

    def checkParameterValues(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Return whether the values can be used, and else what is wrong with the first."""
        known = {each.name(): each for each in self.parameterDefinitions()}
        problem = problem_with_names(known, parameters)
        for name, definition in known.items():
            problem = problem or problem_with(definition, parameters.get(name), context)
        if problem:
            return False, problem
        return super().checkParameterValues(parameters, context)

    def createCustomParametersWidget(self, parent: QWidget | None = None) -> QWidget:
        """Return the dialog, with the project's layers chosen; only the desktop asks for it."""
        from deepseg_qgis.gui.filled_dialog import filled_dialog

        return filled_dialog(self, parent)

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],  # noqa: ARG002 - QGIS's signature
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,  # noqa: ARG002
    ) -> bool:
        """Note what is being edited; QGIS calls this in its main thread."""
        self.edited = files_being_edited(context.project())
        return True

    def painted_by(self, painter: Painter, path: str, context: QgsProcessingContext) -> None:
        """Have QGIS call a painter when it loads a file after the run, if it will."""
        if context.willLoadLayerOnCompletion(path):
            provider: Any = self.provider()  # a DeepSegProvider, whose module imports this one
            kept = provider.kept_alive(painter)
            context.layerToLoadOnCompletionDetails(path).setPostProcessor(kept)

    def field_if_empty(self, layer: QgsVectorLayer | None) -> str | None:  # noqa: ARG002
        """Return the category field to take where none was chosen."""
        return None


class EngineAlgorithm(DeepSegAlgorithm):
    """An algorithm that the engine runs; subclasses turn the dialog's values into a job."""

    NUMBERS: ClassVar[Mapping[str, str]] = {}
    """Outputs that are numbers, and their labels."""

    NOT_SHOWN: ClassVar[tuple[str, ...]] = ()
    """Outputs that QGIS adds to the list of layers, but not yet to the map."""

    LASTING: ClassVar[tuple[str, ...]] = ()
    """Outputs that take long to make: it is said where QGIS would delete one."""

    STOP_GRACE_S: ClassVar[float] = 30.0
    """How long the engine may take to end after Stop."""

    _folder = ""
    """Private to a run; holds the job, the streamed layers, and the engine's large files."""
    _private: PrivateFolder | None = None

    def job(self, inputs: Inputs, destinations: Destinations) -> Job:
        """Return what the engine is asked to do."""
        raise NotImplementedError

    def styles(self, values: Mapping[str, Any]) -> Styles:  # noqa: ARG002
        """Return how to draw the outputs, given the engine's results."""
        return {}

    def kept_on_stop(self, paths: Mapping[str, str], values: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return what the user is told about a run that was stopped and has results all the same.

        ``values`` are the engine's results.

        Raises:
            Stopped: there is nothing to keep.
        """
        raise Stopped("Stopped before the end.")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters, and the outputs that are numbers, to QGIS."""
        super().initAlgorithm(configuration)
        for name, label in self.NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def canExecute(self) -> tuple[bool, str]:
        """Return whether there is an engine, and else what to do."""
        try:
            find_engine()
        except EngineMissing as error:
            return False, str(error)
        return True, ""

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Open the layers; QGIS calls this in its main thread."""
        super().prepareAlgorithm(parameters, context, feedback)
        with self._explaining(feedback):
            self._private = PrivateFolder(runs_folder())
            self._folder = self._private.path
            self._layers = ChosenLayers(
                self, parameters, context, feedback, self._folder, self.field_if_empty
            )
        return True

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Have the engine do the job; return the outputs."""
        with self._explaining(feedback):
            inputs = Inputs(self, parameters, context, feedback, self._layers)
            destinations = Destinations(self, parameters, context, self.edited)
            job = self.job(inputs, destinations)
            self._warn_of_temporary(destinations.paths, feedback)
            result = self._run(job, feedback)
            self._warn_of_temporary(destinations.paths, feedback)
            if result.partial:
                feedback.pushWarning(self.kept_on_stop(destinations.paths, result.values))
        self._remove_folder()
        self._paint(result.values, destinations.paths, context, alone=not is_a_step(feedback))
        return self._outputs(result.values, destinations.paths)

    def _warn_of_temporary(self, paths: Mapping[str, str], feedback: QgsProcessingFeedback) -> None:
        for name in self.LASTING:
            if name in paths and is_temporary(paths[name]):
                feedback.pushWarning(
                    f"{self.parameterDefinition(name).description()}: this is a temporary file, "
                    f"which QGIS deletes when it ends: {paths[name]}. Choose a file of your own "
                    "to keep it, or copy it before you close QGIS."
                )

    def _run(self, job: Job, feedback: QgsProcessingFeedback) -> Result:
        relay, window = Relay(feedback), WindowEvents()
        listener = Listener(
            relay.take,
            lambda: relay.stop_wanted() or window.application_ends,
            self.STOP_GRACE_S,
            window.let_through,
        )
        try:
            return run_job(job, find_engine(), listener, self._folder)
        finally:
            relay.finish()

    def _remove_folder(self) -> None:
        if self._private is not None:
            self._private.remove()

    @contextlib.contextmanager
    def _explaining(self, feedback: QgsProcessingFeedback) -> Iterator[None]:
        """Turn an error into QGIS's own, its message alone, and leave nothing behind."""
        try:
            yield
        except DeepSegError as error:
            self._remove_folder()
            tell_details(error, feedback)
            raise qgis_error(str(error)) from error
        except OSError as error:
            self._remove_folder()
            raise qgis_error(_about_file(error)) from error

    def _paint(
        self,
        values: Mapping[str, Any],
        paths: Mapping[str, str],
        context: QgsProcessingContext,
        *,
        alone: bool,
    ) -> None:
        styles = self.styles(values)
        for name, path in paths.items():
            style = styles.get(name)
            if style is not None and os.path.exists(path):
                save_style(path, style)
            painter = Painter(style, shown=name not in self.NOT_SHOWN, alone=alone)
            self.painted_by(painter, path, context)

    def _outputs(self, values: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
        """Return the files that are there and the numbers that are known."""
        results: dict[str, Any] = {
            name: path for name, path in paths.items() if os.path.exists(path)
        }
        for name in self.NUMBERS:
            value = values.get(name.lower())
            if isinstance(value, (int, float)) and math.isfinite(value):
                results[name] = value
        return results


def qgis_error(message: str) -> Exception:
    """Return the exception by which QGIS ends a run and shows a message."""
    # the types that QGIS brings leave out its exceptions
    return core.QgsProcessingException(message)  # type: ignore[attr-defined, no-any-return]


def is_a_step(feedback: QgsProcessingFeedback) -> bool:
    """Whether an algorithm runs as a step of a model or of a batch: QGIS tells by the feedback."""
    return feedback.inherits("QgsProcessingMultiStepFeedback")


def runs_folder() -> str:
    """Return where runs have their folders; a folder that was chosen in QGIS is taken."""
    chosen = QgsSettings().value("Processing/Configuration/TEMP_PATH2", "", type=str)
    return parent_folder(QgsProcessingUtils.tempFolder(), bool(chosen))


def _about_file(error: OSError) -> str:
    """Return what to tell the user: the temporary folder's files have names that nobody knows."""
    folder = runs_folder()
    if not str(error.filename or "").startswith(folder):
        return os_message(error)
    return (
        f"The temporary folder {folder} cannot be used ({error.strerror or error}). Make room on "
        "its disk, or choose another one under Settings > Options > Processing > General."
    )
