"""Which fields of a polygon layer hold its categories, and the rasters they were found on."""

from __future__ import annotations

from deepseg_qgis.processing.layers.attribute_texts import category_text, nfc
from deepseg_qgis.processing.layers.raster_names import could_name_raster
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFields,
    QgsProcessingFeatureSource,
    QgsVectorLayer,
)

from deepseg_qgis.jobs import CATEGORY_FIELD, SOURCE_FIELD

USUAL_NAMES = (CATEGORY_FIELD, "class", "class_name", "label", "species", "land_cover", "landcover")
"""What the field is called by DeepSeg and by most others, the likeliest first."""

OWN_FIELDS = ({CATEGORY_FIELD, "score", "area_px"}, {CATEGORY_FIELD, "iscrowd"})
"""What stands beside `SOURCE_FIELD` in the layers of predicted and of imported polygons."""


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


def field_index(field: str, fields: QgsFields) -> int:
    """Return the place of a field by its name, in either Unicode form; -1 where it is not."""
    exact = fields.lookupField(field)
    names = [nfc(name) for name in fields.names()]
    return names.index(nfc(field)) if exact < 0 and nfc(field) in names else exact


def raster_field_index(source: QgsProcessingFeatureSource) -> int:
    """Return the place of the field that names rasters, or -1.

    A field ``source`` of the user's own may hold anything ("GPS", "digitised"). It is DeepSeg's
    beside other fields of DeepSeg's, or if all of its values could name rasters.
    """
    names = [name.lower() for name in source.fields().names()]
    if SOURCE_FIELD not in names:
        return -1
    index = names.index(SOURCE_FIELD)
    if any(own <= set(names) for own in OWN_FIELDS):
        return index
    texts = map(category_text, source.uniqueValues(index))
    return index if all(text is None or could_name_raster(text) for text in texts) else -1
