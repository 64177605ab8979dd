"""What all algorithms that the engine runs have in common: from the dialog's values to outputs."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Optional

from deepseg_qgis.processing.algorithms.algorithm import DeepSegAlgorithm, is_step, qgis_error
from deepseg_qgis.processing.algorithms.run_folders import file_problem, runs_folder
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.discovery import find_engine
from deepseg_qgis.processing.engine.event_hub import EventHub, Run
from deepseg_qgis.processing.engine.private_folders import PrivateFolder
from deepseg_qgis.processing.engine.relay import Relay, log_details
from deepseg_qgis.processing.engine.window_events import WindowEvents
from deepseg_qgis.processing.layers.destinations import Destinations, is_temporary
from deepseg_qgis.processing.layers.input_layers import InputLayers
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.layer_styler import LayerStyler
from deepseg_qgis.processing.layers.styles import Style, save_style
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsVectorLayer,
)

from deepseg_qgis.errors import DeepSegError, EngineMissing, Stopped
from deepseg_qgis.events import Result
from deepseg_qgis.jobs import Job

Styles = dict[str, Optional[Style]]


class EngineAlgorithm(DeepSegAlgorithm):
    """An algorithm that the engine runs; subclasses turn the dialog's values into a job."""

    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {}
    """Outputs that are numbers, and their labels; COUNT is the engine's result ``count``."""

    FILE_OUTPUTS: ClassVar[Mapping[str, str]] = {}
    """Outputs that are files at a place that the engine chooses, and their labels."""

    HIDDEN_OUTPUTS: ClassVar[tuple[str, ...]] = ()
    """Outputs that QGIS adds to the list of layers, but not yet to the map."""

    COSTLY_OUTPUTS: ClassVar[tuple[str, ...]] = ()
    """Outputs that take long to make: it is said where QGIS would delete one."""

    STOP_GRACE_S: ClassVar[float] = 30.0
    """How long the engine may take to end after Stop."""

    _folder = ""
    """Private to a run; holds the job, the streamed layers, and the engine's large files."""
    _private: PrivateFolder | None = None

    def job(self, inputs: Inputs, destinations: Destinations) -> Job:
        """Return what the engine is asked to do."""
        raise NotImplementedError

    def engine(self) -> EngineProgram:
        """Return the program that does the job.

        Raises:
            EngineMissing: there is none.
        """
        return find_engine()

    def styles(self, values: Mapping[str, Any]) -> Styles:  # noqa: ARG002
        """Return how to draw the outputs, given the engine's results."""
        return {}

    def message_when_stopped(self, paths: Mapping[str, str], values: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return what the user is told about a run that was stopped and has results all the same.

        ``values`` are the engine's results.

        Raises:
            Stopped: there is nothing to keep.
        """
        raise Stopped("Stopped before the end.")

    def default_category_field(self, layer: QgsVectorLayer | None) -> str | None:  # noqa: ARG002
        """Return the category field to take where none was chosen."""
        return None

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare the parameters, and the outputs that the engine names, to QGIS."""
        super().initAlgorithm(configuration)
        for name, label in self.FILE_OUTPUTS.items():
            self.addOutput(QgsProcessingOutputFile(name, label))
        for name, label in self.NUMBER_OUTPUTS.items():
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
            self._layers = InputLayers(
                self, parameters, context, feedback, self._folder, self.default_category_field
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
                feedback.pushWarning(self.message_when_stopped(destinations.paths, result.values))
        self._remove_folder()
        self._style_outputs(result.values, destinations.paths, context, alone=not is_step(feedback))
        return self._outputs(result.values, destinations.paths)

    def _warn_of_temporary(self, paths: Mapping[str, str], feedback: QgsProcessingFeedback) -> None:
        for name in self.COSTLY_OUTPUTS:
            if name in paths and is_temporary(paths[name]):
                feedback.pushWarning(
                    f"{self.parameterDefinition(name).description()}: this is a temporary file, "
                    f"which QGIS deletes when it ends: {paths[name]}. Choose a file of your own "
                    "to keep it, or copy it before you close QGIS."
                )

    def _run(self, job: Job, feedback: QgsProcessingFeedback) -> Result:
        relay, window = Relay(feedback), WindowEvents()
        run = Run(self.id(), self.displayName(), job)
        with self._event_hub().following(run, relay.on_event) as on_event:
            observer = JobObserver(
                on_event,
                lambda: relay.stop_wanted() or window.application_ends,
                self.STOP_GRACE_S,
                window.process_events,
            )
            try:
                return run_job(job, self.engine(), observer, self._folder)
            finally:
                relay.finish()

    def _event_hub(self) -> EventHub:
        """Return the provider's; an algorithm that a script made by hand has no provider."""
        provider: Any = self.provider()
        return EventHub() if provider is None else provider.event_hub

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
            log_details(error, feedback)
            raise qgis_error(str(error)) from error
        except OSError as error:
            self._remove_folder()
            raise qgis_error(file_problem(error)) from error

    def _style_outputs(
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
            styler = LayerStyler(style, shown=name not in self.HIDDEN_OUTPUTS, alone=alone)
            self.style_on_load(styler, path, context)

    def _outputs(self, values: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
        """Return the files that are there and the numbers that are known."""
        results: dict[str, Any] = {
            name: path for name, path in paths.items() if os.path.exists(path)
        }
        results |= {name: values[name.lower()] for name in self.FILE_OUTPUTS}
        for name in self.NUMBER_OUTPUTS:
            value = values.get(name.lower())
            if isinstance(value, (int, float)) and math.isfinite(value):
                results[name] = value
        return results
