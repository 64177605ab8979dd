"""What QGIS is to do with an output when it adds it to the map."""

from __future__ import annotations

from deepseg_qgis.processing.layers.layer_tree import place_in_layer_tree, show_legend
from deepseg_qgis.processing.layers.styles import FORMS, Style, apply_style
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsVectorLayer,
)

MOST_IN_LEGEND = 20
"""More categories than these would push all other layers out of sight."""


class LayerStyler(QgsProcessingLayerPostProcessorInterface):
    """Gives a layer its style (if there is one) and place when QGIS adds it to the map.

    In QGIS's window, annotations of a run that stands ``alone`` are made ready to draw in. QGIS
    keeps a bare pointer to it, so whoever makes one must keep it alive.
    """

    def __init__(self, style: Style | None, *, shown: bool = True, alone: bool = False) -> None:
        super().__init__()
        self._style = style
        self._shown = shown
        self._drawn_in = alone and isinstance(style, FORMS)

    def postProcessLayer(
        self,
        layer: QgsMapLayer,
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,  # noqa: ARG002 - QGIS's signature
    ) -> None:
        """Set the style and move the layer; QGIS calls this in its main thread."""
        if self._style is not None:
            apply_style(layer, self._style)
        if context.project() is not None and layer.isSpatial():
            place_in_layer_tree(layer, context.project(), shown=self._shown)
            if _has_legend(layer):
                show_legend(layer, context.project())
        if self._drawn_in and isinstance(layer, QgsVectorLayer):
            _start_drawing(layer)


def _has_legend(layer: QgsMapLayer) -> bool:
    """Whether a layer's categories fit into the list of layers."""
    renderer = layer.renderer() if isinstance(layer, QgsVectorLayer) else None
    if not isinstance(renderer, QgsCategorizedSymbolRenderer):
        return False
    return len(renderer.categories()) <= MOST_IN_LEGEND


def _start_drawing(layer: QgsVectorLayer) -> None:
    """Make QGIS's window ready to draw in a layer, if there is a window."""
    from qgis.utils import iface  # None until a window is there, and in scripts

    if iface is not None:
        iface.setActiveLayer(layer)
        layer.startEditing()
