"""Which field of a polygon layer most likely holds its categories."""

from __future__ import annotations

from deepseg_qgis.processing.layers.styles import CATEGORY_FIELD
from qgis.core import QgsCategorizedSymbolRenderer, QgsFields, QgsVectorLayer

USUAL_NAMES = (CATEGORY_FIELD, "class", "class_name", "label", "species", "land_cover", "landcover")
"""What the field is called by DeepSeg and by most others, the likeliest first."""


def likely_category_field(fields: QgsFields, layer: QgsVectorLayer | None) -> str | None:
    """Return the field called 'category', that which colours the layer, or one of a usual name."""
    coloured = []
    renderer = layer.renderer() if layer is not None else None
    if isinstance(renderer, QgsCategorizedSymbolRenderer):
        coloured = [renderer.classAttribute().strip('"')]
    for name in (CATEGORY_FIELD, *coloured, *USUAL_NAMES):
        index = fields.lookupField(name)  # letters large or small
        if index >= 0:
            return fields.at(index).name()
    return None
