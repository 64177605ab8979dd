"""What a raster of probabilities or classes says of itself, in its metadata. No I/O.

Such a raster may come from anybody, so nothing in it is believed before it was checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from deepseg_qgis.engine.legend.legend import Legend
from deepseg_qgis.engine.models import model_card
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.errors import ModelError, RasterError, counted

LONGEST_NAME = 1000


@dataclass(frozen=True)
class PredictionTags:
    """Where a raster of predictions comes from.

    ``legend`` is the card's, with the thresholds that classes were decided with; ``source`` is the
    name of the raster that was predicted on, ``aoi_m2`` the size of the area predicted on.
    """

    card: ModelCard
    legend: Legend
    source: str
    aoi_m2: float | None = None


def to_tags(tags: PredictionTags) -> dict[str, str]:
    """Return metadata as GDAL stores them."""
    return {
        "CARD": model_card.to_json(tags.card),
        "THRESHOLDS": json.dumps(tags.legend.thresholds),
        "SOURCE": tags.source,
        "AOI_M2": "" if tags.aoi_m2 is None else repr(tags.aoi_m2),
    }


def from_tags(tags: Mapping[str, str], name: str) -> PredictionTags:
    """Return what the metadata of the raster called ``name`` say, every field checked.

    Raises:
        RasterError: they are not those of a raster of predictions.
    """
    if "CARD" not in tags:
        raise _foreign(name, "it does not say which categories its bands are")
    try:
        card = model_card.from_json(tags["CARD"])
    except ModelError as error:
        raise _foreign(name, f"what it says of its model is damaged ({error})") from error
    thresholds = _numbers(tags.get("THRESHOLDS", ""))
    if len(thresholds) != len(card.categories):
        raise _foreign(name, "it does not say its thresholds")
    size = _numbers(f"[{tags.get('AOI_M2', '')}]")
    source = tags.get("SOURCE", "")[:LONGEST_NAME] or name
    legend = replace(card.legend, thresholds=thresholds)
    return PredictionTags(card, legend, source, size[0] if size and size[0] > 0.0 else None)


def check_probabilities(tags: PredictionTags, bands: int, dtype: str, name: str) -> None:
    """Check that a raster holds a band for each of the model's planes.

    Raises:
        RasterError: it does not.
    """
    count = len(tags.legend.planes)
    if bands != count or dtype != "uint8":
        raise _foreign(
            name,
            f"expected {counted(count, 'band')} of whole numbers from 0 to 255 (uint8): "
            f"{', '.join(tags.legend.planes)[:200]}; found {bands} of type {dtype}",
        )


def _numbers(text: str) -> tuple[float, ...]:
    """Return the finite numbers in a JSON list; nothing if it is none."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(values, list) or not all(type(each) in (int, float) for each in values):
        return ()
    return tuple(map(float, values)) if all(map(math.isfinite, values)) else ()


def _foreign(name: str, what: str) -> RasterError:
    return RasterError(
        f"{name} is no raster of probabilities that DeepSeg can use: {what}. Choose the raster "
        "that 'Predict' wrote as its probabilities (OUTPUT_PROBABILITIES), unchanged."
    )
