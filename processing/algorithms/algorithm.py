"""What all of DeepSeg's algorithms have in common: how the toolbox and the dialog show them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

from deepseg_qgis.processing.algorithms.parameter_checks import problem_with, problem_with_names
from deepseg_qgis.processing.algorithms.parameters import Parameters
from deepseg_qgis.processing.layers.layer_files import files_being_edited
from deepseg_qgis.processing.layers.layer_styler import LayerStyler
from deepseg_qgis.processing.translation import tr
from qgis import core
from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
)

if TYPE_CHECKING:
    from qgis.PyQt.QtWidgets import QWidget

GROUPS = ("Prepare", "Train", "Evaluate", "Predict", "Analyse", "Models")
"""In the order of the work; QGIS sorts by title, so each title starts with its number."""

TAGS = "segmentation,deep learning,machine learning,AI,neural network,orthophoto,aerial,satellite"
"""What people type into the toolbox's search field for any of the algorithms."""

OBJECT_TAGS = (
    "building,house,roof,tree,crown,forest,vegetation,crop,field,road,water,land cover,vehicle,"
    "solar panel,instance,object"
)
"""What people look for in pictures: tags of the algorithms that learn it and find it."""


class DeepSegAlgorithm(QgsProcessingAlgorithm):
    """An entry of DeepSeg's toolbox; subclasses fill in the class attributes and `parameters`."""

    ID: ClassVar[str]
    TITLE: ClassVar[str]
    GROUP: ClassVar[str]
    """One of `GROUPS`: in which step of the work the toolbox shows it."""
    SUMMARY: ClassVar[str]
    TAGS: ClassVar[str]
    """Words to find it by, besides those of its title; separated by commas."""
    HELP: ClassVar[str]
    """Plain text: a paragraph on what it does, some on what it needs and gives, a last 'Tip: '."""

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        raise NotImplementedError

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Declare the parameters to QGIS."""
        for definition in self.parameters():
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

    def createCustomParametersWidget(self, parent: QWidget | None = None) -> Any:
        """Return the desktop's dialog, or None for QGIS's own (which its types leave out)."""
        provider: Any = self.provider()
        make_dialog = provider and provider.make_dialog
        return make_dialog(self, parent) if make_dialog else None

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],  # noqa: ARG002 - QGIS's signature
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,  # noqa: ARG002
    ) -> bool:
        """Note what is being edited; QGIS calls this in its main thread."""
        self.edited = files_being_edited(context.project())
        return True

    def style_on_load(self, styler: LayerStyler, path: str, context: QgsProcessingContext) -> None:
        """Have QGIS call a styler when it loads a file after the run, if it will."""
        if context.willLoadLayerOnCompletion(path):
            provider: Any = self.provider()  # a DeepSegProvider, whose module imports this one
            details = context.layerToLoadOnCompletionDetails(path)
            details.setPostProcessor(provider.keep_alive(styler))


def qgis_error(message: str) -> Exception:
    """Return the exception by which QGIS ends a run and shows a message."""
    # the types that QGIS brings leave out its exceptions
    return core.QgsProcessingException(message)  # type: ignore[attr-defined, no-any-return]


def is_step(feedback: QgsProcessingFeedback) -> bool:
    """Whether an algorithm runs as a step of a model or of a batch: QGIS tells by the feedback."""
    return feedback.inherits("QgsProcessingMultiStepFeedback")
