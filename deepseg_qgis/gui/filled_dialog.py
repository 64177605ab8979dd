"""The dialog of an algorithm with what the project makes likely already chosen.

QGIS has no defaults for several layers at once, and those of fields know nothing of their layer.
"""

from __future__ import annotations

from typing import Any, cast

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingParameterField,
    QgsProcessingParameters,
    QgsProject,
)
from qgis.PyQt.QtWidgets import QWidget
from qgis.utils import iface

from deepseg_qgis.gui.project_layers import annotation_layer, similar_rasters
from deepseg_qgis.processing.layers.polygon_fields import likely_category_field


def filled_dialog(algorithm: QgsProcessingAlgorithm, parent: QWidget | None) -> QWidget:
    """Return QGIS's own dialog for an algorithm, with rasters, annotations and field chosen."""
    from processing.gui.AlgorithmDialog import AlgorithmDialog

    dialog = AlgorithmDialog(algorithm, parent=parent)
    dialog.setParameters(_proposals(algorithm))
    for definition in _guessed_fields(algorithm):
        _follow(dialog.mainWidget(), definition)
    return cast("QWidget", dialog)


def _proposals(algorithm: QgsProcessingAlgorithm) -> dict[str, Any]:
    """Return values for the parameters that the project says something about."""
    project = QgsProject.instance()
    proposed: dict[str, Any] = {}
    active = iface.activeLayer() if iface is not None else None
    for definition in algorithm.parameterDefinitions():
        if definition.type() == "multilayer":
            proposed[definition.name()] = [layer.id() for layer in similar_rasters(project)]
    for field in _guessed_fields(algorithm):
        layer = annotation_layer(project, active)
        parent = algorithm.parameterDefinition(field.parentLayerParameterName())
        if layer is not None and not parent.flags() & parent.Flag.FlagOptional:
            proposed[parent.name()] = layer.id()
    return proposed


def _guessed_fields(
    algorithm: QgsProcessingAlgorithm,
) -> list[QgsProcessingParameterField]:
    """Return the parameters for fields that are guessed by their layer: all without a default."""
    return [
        definition
        for definition in algorithm.parameterDefinitions()
        if isinstance(definition, QgsProcessingParameterField) and not definition.defaultValue()
    ]


def _follow(panel: Any, definition: QgsProcessingParameterField) -> None:
    """Keep a field of categories that of the layer that is chosen, whatever layer that is."""
    field = panel.wrappers[definition.name()]
    chosen = panel.wrappers[definition.parentLayerParameterName()]

    def choose_likely(*_: Any) -> None:
        context = panel.processing_context
        layer = QgsProcessingParameters.parameterAsVectorLayer(
            chosen.parameterDefinition(), chosen.parameterValue(), context
        )
        likely = likely_category_field(layer.fields(), layer) if layer is not None else None
        field.setParameterValue(likely, context)

    chosen.widgetValueHasChanged.connect(choose_likely)
    choose_likely()
