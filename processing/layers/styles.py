"""How layers are drawn: the colours of categories, and outlines for areas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union, cast

from deepseg_qgis.processing.layers.style_files import save_beside
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsEditorWidgetSetup,
    QgsFeatureRenderer,
    QgsFieldConstraints,
    QgsFillSymbol,
    QgsMapLayer,
    QgsMarkerSymbol,
    QgsPalettedRasterRenderer,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

from deepseg_qgis.jobs import (
    CATEGORY_FIELD,
    MAP_FIELD,
    REFERENCE_FIELD,
    SHARE_FIELD,
    STRATUM_AREA_FIELD,
)

FILL_OPACITY = 90
"""Of 255: the raster below stays visible."""

OUTLINE_MM = "0.4"

TRAINING_COLOUR, VALIDATION_COLOUR, TEST_COLOUR = "#56b4e9", "#f0e442", "#cc79a7"
GRID_COLOUR = "#e69f00"

SAMPLE_FIELDS = (REFERENCE_FIELD, MAP_FIELD, SHARE_FIELD, STRATUM_AREA_FIELD)

ERROR_COLOURS = {
    "right": "#00aac8",
    "missed": "#aa0582",
    "false alarm": "#f07319",
    "merged": "#3b2a8c",
    "split": "#3f7f1f",
    "wrong category": "#fcf000",
    "badly outlined": "#8c510a",
}
"""What is wrong with an object; right, missed, false and wrong ones as in the report's pictures."""

ROW_ID_FIELD = "fid"
"""A GeoPackage's own number of a row, which means nothing to whoever draws."""


def category_renderer(
    colours: Mapping[str, str], field: str = CATEGORY_FIELD
) -> QgsFeatureRenderer:
    """Return a renderer that fills the polygons of each category with its colour."""
    categories = [
        QgsRendererCategory(name, _fill(colour), name) for name, colour in colours.items()
    ]
    return QgsCategorizedSymbolRenderer(field, categories)


def category_style(values: Mapping[str, Any]) -> QgsFeatureRenderer | None:
    """Return the renderer for the ``categories`` (name and colour) of the engine's results."""
    colours = {entry["name"]: entry["colour"] for entry in values.get("categories", [])}
    return category_renderer(colours) if colours else None


def error_style() -> QgsFeatureRenderer:
    """Return the renderer of a layer of errors, by their kind."""
    return category_renderer(ERROR_COLOURS, "kind")


@dataclass(frozen=True)
class ClassColours:
    """How to draw a raster of classes: each value's name and colour, and nothing of the rest.

    QGIS by itself would take all 256 entries of a file's colour table into the legend.
    """

    classes: Mapping[int, tuple[str, str]]

    def apply_to(self, layer: QgsRasterLayer) -> None:
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

    def apply_to(self, layer: QgsVectorLayer) -> None:
        """Give a layer with a category field these colours and this form."""
        layer.setRenderer(category_renderer(self.colours))
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


@dataclass(frozen=True)
class SampleStyle:
    """How points of a sample are drawn and filled in: hollow until somebody said what is there.

    ``colours`` has the colour (``#rrggbb``) of each category's name. What the map says is hidden
    in the form: who sees it tends to agree.
    """

    colours: Mapping[str, str]

    def apply_to(self, layer: QgsVectorLayer) -> None:
        """Give a layer of points these symbols and this form."""
        categories = [
            QgsRendererCategory(name, _point(colour), name) for name, colour in self.colours.items()
        ]
        categories.append(QgsRendererCategory("", _point(None), "to be filled in"))
        layer.setRenderer(QgsCategorizedSymbolRenderer(REFERENCE_FIELD, categories))
        names = {"map": [{name: name} for name in self.colours]}
        widgets = {REFERENCE_FIELD: QgsEditorWidgetSetup("ValueMap", names)}
        hidden = (ROW_ID_FIELD, *SAMPLE_FIELDS[1:])
        widgets.update({name: QgsEditorWidgetSetup("Hidden", {}) for name in hidden})
        for name, widget in widgets.items():
            index = layer.fields().lookupField(name)
            if index >= 0:
                layer.setEditorWidgetSetup(index, widget)


Style = Union[QgsFeatureRenderer, ClassColours, AnnotationStyle, SampleStyle]
FORMS = (AnnotationStyle, SampleStyle)
"""Styles that bring a form."""


def sample_style(values: Mapping[str, Any]) -> SampleStyle | None:
    """Return the style of points with the ``categories`` of the engine's results."""
    colours = {entry["name"]: entry["colour"] for entry in values.get("categories", [])}
    return SampleStyle(colours) if colours else None


def annotation_style(values: Mapping[str, Any]) -> AnnotationStyle | None:
    """Return the style of annotations with the ``categories`` of the engine's results."""
    colours = {entry["name"]: entry["colour"] for entry in values.get("categories", [])}
    return AnnotationStyle(colours) if colours else None


def class_colours(values: Mapping[str, Any]) -> ClassColours | None:
    """Return the colours of classes 1 to k for the ``categories`` of the engine's results."""
    entries = enumerate(values.get("categories", []), 1)
    classes = {value: (entry["name"], entry["colour"]) for value, entry in entries}
    return ClassColours(classes) if classes else None


def outline_style(colour: str) -> QgsFeatureRenderer:
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


def _point(colour: str | None) -> QgsMarkerSymbol:
    """Return a circle of a colour; a hollow cross where there is none yet."""
    if colour is None:
        return QgsMarkerSymbol.createSimple(
            {"name": "cross", "outline_color": "#d40000", "outline_width": "0.6", "size": "4"}
        )
    return QgsMarkerSymbol.createSimple(
        {"name": "circle", "color": colour, "outline_color": "#222222", "size": "3"}
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
        kind = "Point" if isinstance(style, SampleStyle) else "Polygon"
        texts = SAMPLE_FIELDS if isinstance(style, SampleStyle) else (CATEGORY_FIELD,)
        columns = "".join(f"&field={name}:string(0,0)" for name in texts)
        layer = QgsVectorLayer(f"{kind}?field={ROW_ID_FIELD}:integer{columns}", "style", "memory")
    apply_style(layer, style)
    part = QgsMapLayer.StyleCategory
    form = part.Fields | part.Forms if isinstance(style, FORMS) else part.Symbology
    save_beside(destination, layer, cast("QgsMapLayer.StyleCategory", part.Symbology | form))


def apply_style(layer: QgsMapLayer, style: Style) -> None:
    """Draw a layer in a style, if it is of the kind that the style is for."""
    if isinstance(style, ClassColours):
        if isinstance(layer, QgsRasterLayer):
            style.apply_to(layer)
    elif isinstance(layer, QgsVectorLayer):
        if isinstance(style, FORMS):
            style.apply_to(layer)
        else:
            layer.setRenderer(style.clone())
    layer.triggerRepaint()
