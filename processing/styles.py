"""How layers are drawn: the colours of categories, and outlines for areas."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Iterable, Mapping
from typing import Any

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFeatureRenderer,
    QgsFillSymbol,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)

PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""M. Okabe and K. Ito's colours, which people with any kind of colour vision tell apart."""

GOLDEN_RATIO = 0.618034
"""Steps of it around the circle of hues never meet."""

FILL_OPACITY = 90
"""Of 255: the raster below stays visible."""

OUTLINE_MM = "0.4"

TRAINING_COLOUR, VALIDATION_COLOUR, TEST_COLOUR = "#56b4e9", "#f0e442", "#cc79a7"
GRID_COLOUR = "#e69f00"

CATEGORY_FIELD = "category"
"""The field that holds the categories in every layer that DeepSeg writes."""


def with_palette(names: Iterable[str], colours: Mapping[str, str]) -> dict[str, str]:
    """Return a colour (``#rrggbb``) for each name: its own from ``colours``, or a free one."""
    wanted = list(names)
    taken = {colours[name] for name in wanted if name in colours}
    candidates = map(palette_colour, range(len(PALETTE) + len(taken) + len(wanted)))
    free = (colour for colour in candidates if colour not in taken)
    return {name: colours.get(name) or next(free) for name in wanted}


def palette_colour(index: int) -> str:
    """Return the colour of a number: the palette first, then hues in golden steps."""
    if index < len(PALETTE):
        return PALETTE[index]
    channels = colorsys.hsv_to_rgb(index * GOLDEN_RATIO % 1.0, 0.7, 0.6 + 0.3 * (index % 2))
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def categorised(colours: Mapping[str, str]) -> QgsFeatureRenderer:
    """Return a renderer that fills the polygons of each category with its colour."""
    categories = [
        QgsRendererCategory(name, _fill(colour), name) for name, colour in colours.items()
    ]
    return QgsCategorizedSymbolRenderer(CATEGORY_FIELD, categories)


def by_category(values: Mapping[str, Any]) -> QgsFeatureRenderer | None:
    """Return the renderer for the ``categories`` (name and colour) of the engine's results."""
    colours = {entry["name"]: entry["colour"] for entry in values.get("categories", [])}
    return categorised(colours) if colours else None


def outlined(colour: str) -> QgsFeatureRenderer:
    """Return a renderer for areas and grids: a dashed outline, and all below it visible."""
    symbol = QgsFillSymbol.createSimple(
        {
            "style": "no",
            "outline_color": colour,
            "outline_style": "dash",
            "outline_width": OUTLINE_MM,
        }
    )
    return QgsSingleSymbolRenderer(symbol)


def _fill(colour: str) -> QgsFillSymbol:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return QgsFillSymbol.createSimple(
        {
            "color": f"{red},{green},{blue},{FILL_OPACITY}",
            "outline_color": colour,
            "outline_width": OUTLINE_MM,
        }
    )


def save_style(destination: str, renderer: QgsFeatureRenderer) -> None:
    """Save a style as ``.qml`` beside a vector file, where QGIS finds it when the file is opened.

    Nothing is read from the file itself, however large.
    """
    layer = QgsVectorLayer("Polygon?field=category:string(0,0)", "style", "memory")
    layer.setRenderer(renderer.clone())
    layer.saveNamedStyle(
        os.path.splitext(destination)[0] + ".qml", QgsMapLayer.StyleCategory.Symbology
    )


class Painter(QgsProcessingLayerPostProcessorInterface):
    """Gives a layer its style when QGIS adds it to the map.

    QGIS keeps a bare pointer to it, so whoever makes one must keep it alive.
    """

    def __init__(self, renderer: QgsFeatureRenderer) -> None:
        super().__init__()
        self._renderer = renderer

    def postProcessLayer(
        self,
        layer: QgsMapLayer,
        context: QgsProcessingContext,  # noqa: ARG002 - QGIS's signature
        feedback: QgsProcessingFeedback,  # noqa: ARG002
    ) -> None:
        """Set the renderer; QGIS calls this in its main thread."""
        if isinstance(layer, QgsVectorLayer):
            layer.setRenderer(self._renderer.clone())
            layer.triggerRepaint()
