"""The points of a sample layer on their way to the engine: what their attributes say.

Samples are small, so that they travel in the job itself, as QGIS shows them: with unsaved edits.
"""

from __future__ import annotations

import math
import os
from typing import Any

from deepseg_qgis.processing.layers.attribute_texts import category_text, nfc
from deepseg_qgis.processing.layers.layer_files import files_of
from deepseg_qgis.processing.layers.polygon_fields import field_index
from qgis.core import (
    NULL,
    QgsFeatureRequest,
    QgsFields,
    QgsProcessingFeatureSource,
    QgsVectorLayer,
)

from deepseg_qgis.errors import OutputError, VectorError, counted
from deepseg_qgis.jobs import (
    REFERENCE_FIELD,
    SHARE_FIELD,
    STRATUM_AREA_FIELD,
    SamplePoint,
    SampleSource,
)


def sample_source(
    source: QgsProcessingFeatureSource,
    layer: QgsVectorLayer | None,
    map_field: str,
    reference_field: str,
) -> SampleSource:
    """Return the points of a layer, with what two of its fields say of each.

    Raises:
        VectorError: the layer has no such field.
    """
    name, fields = nfc(source.sourceName()), source.fields()
    by_map, by_reference = (_index(each, fields, name) for each in (map_field, reference_field))
    share, area = (fields.lookupField(each) for each in (SHARE_FIELD, STRATUM_AREA_FIELD))
    points = []
    for feature in source.getFeatures(
        QgsFeatureRequest(), QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks
    ):
        points.append(
            SamplePoint(
                map_category=category_text(feature[by_map]),
                reference_category=category_text(feature[by_reference]),
                share=_number(feature[share]) if share >= 0 else None,
                area_m2=_number(feature[area]) if area >= 0 else None,
            )
        )
    files = files_of(layer) if layer is not None else ()
    return SampleSource(name, reference_field, tuple(points), files)


def check_unfilled(path: str) -> None:
    """Check that no sample stands at a path that somebody began to fill in.

    Raises:
        OutputError: one does.
    """
    if not os.path.exists(path):
        return
    layer = QgsVectorLayer(path, "existing", "ogr")
    index = layer.fields().lookupField(REFERENCE_FIELD) if layer.isValid() else -1
    if index < 0:
        return
    filled = sum(category_text(each[index]) is not None for each in layer.getFeatures())
    if filled:
        raise OutputError(
            f"{path} is a sample with {counted(filled, 'point')} filled in, which would be lost. "
            "Choose another name, or delete that file first."
        )


def _index(field: str, fields: QgsFields, name: str) -> int:
    index = field_index(field, fields)
    if index < 0:
        raise VectorError(
            f"The layer '{name}' has no field '{field}'; its fields are: "
            f"{', '.join(fields.names()) or 'none'}. Choose the layer that 'Sampling design' "
            "wrote, or the right fields."
        )
    return index


def _number(value: Any) -> float | None:
    if value is None or value == NULL:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
