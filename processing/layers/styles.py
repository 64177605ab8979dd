"""How layers are drawn: the colours of categories, and outlines for areas."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union, cast

from deepseg_qgis.processing.layers.layer_order import place_in_layer_tree, show_legend
from deepseg_qgis.processing.layers.style_files import save_beside
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsEditorWidgetSetup,
    QgsFeatureRenderer,
    QgsFieldConstraints,
    QgsFillSymbol,
    QgsMapLayer,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""M. Okabe and K. Ito's colours, which people with any kind of colour vision tell apart."""

GOLDEN_RATIO = 0.618034
"""Steps of it around the circle of hues never meet."""

FILL_OPACITY = 90
"""Of 255: the raster below stays visible."""

OUTLINE_MM = "0.4"

MOST_IN_LEGEND = 20
"""More categories than these would push all other layers out of sight."""

TRAINING_COLOUR, VALIDATION_COLOUR, TEST_COLOUR = "#56b4e9", "#f0e442", "#cc79a7"
GRID_COLOUR = "#e69f00"

CATEGORY_FIELD = "category"
"""The field that holds the categories in every layer that DeepSeg writes."""

ROW_ID_FIELD = "fid"
"""A GeoPackage's own number of a row, which means nothing to whoever draws."""


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


@dataclass(frozen=True)
class ClassColours:
    """How to draw a raster of classes: each value's name and colour, and nothing of the rest.

    QGIS by itself would take all 256 entries of a file's colour table into the legend.
    """

    classes: Mapping[int, tuple[str, str]]

    def put_on(self, layer: QgsRasterLayer) -> None:
        """Give a raster layer these colours."""
        entries = [
            QgsPalettedRasterRenderer.Class(value, QColor(colour), name)
            for value, (name, colour) in self.classes.items()
        ]
        layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, entries))


@dataclass(frozen=True)
class AnnotationStyle:
    """How annotations are drawn and typed in: a colour for each category, and a form to choose it.

    ``colours`` has the colour (``#rrggbb``) of each category's name.
    """

    colours: Mapping[str, str]

    def put_on(self, layer: QgsVectorLayer) -> None:
        """Give a layer with a category field these colours and this form."""
        layer.setRenderer(categorised(self.colours))
        index = layer.fields().lookupField(CATEGORY_FIELD)
        if index < 0:
            return
        names = {"map": [{name: name} for name in self.colours]}
        layer.setEditorWidgetSetup(index, QgsEditorWidgetSetup("ValueMap", names))
        layer.setFieldConstraint(
            index,
            QgsFieldConstraints.Constraint.ConstraintNotNull,
            QgsFieldConstraints.ConstraintStrength.ConstraintStrengthHard,
        )
        form = layer.editFormConfig()
        form.setReuseLastValue(index, True)  # several of a kind are drawn in a row
        layer.setEditFormConfig(form)
        row_id = layer.fields().lookupField(ROW_ID_FIELD)
        if row_id >= 0:
            layer.setEditorWidgetSetup(row_id, QgsEditorWidgetSetup("Hidden", {}))


Style = Union[QgsFeatureRenderer, ClassColours, AnnotationStyle]


def annotated(values: Mapping[str, Any]) -> AnnotationStyle | None:
    """Return the style of annotations with the ``categories`` of the engine's results."""
    colours = {entry["name"]: entry["colour"] for entry in values.get("categories", [])}
    return AnnotationStyle(colours) if colours else None


def by_class(values: Mapping[str, Any]) -> ClassColours | None:
    """Return the colours of classes 1 to k for the ``categories`` of the engine's results."""
    entries = enumerate(values.get("categories", []), 1)
    classes = {value: (entry["name"], entry["colour"]) for value, entry in entries}
    return ClassColours(classes) if classes else None


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


def save_style(destination: str, style: Style) -> None:
    """Save a style with a file, where QGIS finds it when the file is opened.

    Nothing is read from a vector file itself, however large.
    """
    layer: QgsMapLayer
    if isinstance(style, ClassColours):
        layer = QgsRasterLayer(destination, "style")
        if not layer.isValid():
            return
    else:
        columns = f"field={ROW_ID_FIELD}:integer&field={CATEGORY_FIELD}:string(0,0)"
        layer = QgsVectorLayer(f"Polygon?{columns}", "style", "memory")
    _put_on(layer, style)
    part = QgsMapLayer.StyleCategory
    form = part.Fields | part.Forms if isinstance(style, AnnotationStyle) else part.Symbology
    save_beside(destination, layer, cast("QgsMapLayer.StyleCategory", part.Symbology | form))


def _put_on(layer: QgsMapLayer, style: Style) -> None:
    if isinstance(style, ClassColours):
        if isinstance(layer, QgsRasterLayer):
            style.put_on(layer)
    elif isinstance(layer, QgsVectorLayer):
        if isinstance(style, AnnotationStyle):
            style.put_on(layer)
        else:
            layer.setRenderer(style.clone())
    layer.triggerRepaint()


class LayerStyler(QgsProcessingLayerPostProcessorInterface):
    """Gives a layer its style (if there is one) and place when QGIS adds it to the map.

    In QGIS's window, annotations of a run that stands ``alone`` are made ready to draw in. QGIS
    keeps a bare pointer to a painter, so whoever makes one must keep it alive.
    """

    def __init__(self, style: Style | None, *, shown: bool = True, alone: bool = False) -> None:
        super().__init__()
        self._style = style
        self._shown = shown
        self._drawn_in = alone and isinstance(style, AnnotationStyle)

    def postProcessLayer(
        self,
        layer: QgsMapLayer,
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,  # noqa: ARG002 - QGIS's signature
    ) -> None:
        """Set the style and move the layer; QGIS calls this in its main thread."""
        if self._style is not None:
            _put_on(layer, self._style)
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
