"""The layer of errors: each object of both sides with what it is, and why, in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.evaluating.compared_layers import ComparedLayers, PolygonSide
from deepseg_qgis.engine.evaluating.layer_evaluation import LayerEvaluation, unit_of
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.geometry.reprojection import to_crs
from deepseg_qgis.engine.scoring.object_errors import (
    BADLY_OUTLINED,
    FALSE_ALARM,
    LEAST_IOU,
    MERGED,
    MISSED,
    NOT_COUNTED,
    RIGHT,
    SPLIT,
    WRONG_CATEGORY,
    ObjectErrors,
    ranks,
)

FIELDS = {
    "id": pa.int64(),
    "side": pa.string(),
    "kind": pa.string(),
    "category": pa.string(),
    "iou": pa.float64(),
    "score": pa.float64(),
    "partner": pa.int64(),
    "area": pa.float64(),
    "rank": pa.int64(),
    "reason": pa.string(),
}
PREDICTION, REFERENCE = "prediction", "reference"


def write_errors(path: str, compared: ComparedLayers, found: LayerEvaluation) -> None:
    """Write the objects that count, whole and in the CRS of the predictions, the worst first.

    The ids of predictions come first, then those of the reference; ``partner`` is an id as well.
    ``area`` is that inside of the compared area, in m² where that is known.

    Raises:
        OutputError: the layer cannot be written.
    """
    crs = vectors.crs_for(path, compared.predictions.crs or compared.reference.crs)
    batch = _features(compared, found, crs)
    vectors.write_features(path, batch, FIELDS, crs, multipart=True)


def _features(
    compared: ComparedLayers, found: LayerEvaluation, crs: pyproj.CRS | None
) -> Iterator[Features]:
    known = unit_of(compared) == "m2"
    predictions = len(found.predicted[0])
    rank = np.concatenate(ranks(found.predicted, found.reference))
    sides = (compared.predictions, compared.reference)
    errors = found.predicted[1], found.reference[1]
    areas = np.concatenate(
        [shapely.area(objects.geometries) for objects, _ in (found.predicted, found.reference)]
    )
    starts = (predictions + 1, 1)  # of the partners' ids
    columns = {
        "id": np.arange(1, len(rank) + 1),
        "side": np.repeat(np.array([PREDICTION, REFERENCE], object), [len(s.names) for s in sides]),
        "kind": np.concatenate([each.kinds for each in errors]),
        "category": np.concatenate([side.names for side in sides]),
        "iou": np.concatenate([np.where(e.partners < 0, np.nan, e.ious) for e in errors]),
        "score": np.concatenate([side.scores for side in sides]),
        "partner": np.concatenate(
            [_ids(each.partners, start) for each, start in zip(errors, starts, strict=True)]
        ),
        "area": areas if known else np.full(len(areas), np.nan),
        "rank": rank,
        "reason": np.concatenate(
            [
                reasons(errors[0], sides[1], PREDICTION),
                reasons(errors[1], sides[0], REFERENCE),
            ]
        ),
    }
    shapes = np.concatenate([to_crs(side.geometries, side.crs, crs) for side in sides])
    order = np.argsort(rank, kind="stable")
    order = order[columns["kind"][order] != NOT_COUNTED]
    yield Features(shapes[order], {name: values[order] for name, values in columns.items()})


def _ids(partners: NDArray[np.int64], start: int) -> NDArray[np.object_]:
    return np.array([None if i < 0 else i + start for i in partners.tolist()], dtype=object)


def reasons(errors: ObjectErrors, others: PolygonSide, side: str) -> NDArray[np.object_]:
    """Return for each object of a ``side`` why it is of its kind, in a sentence."""
    other = REFERENCE if side == PREDICTION else PREDICTION
    texts = [
        _reason(kind, other, iou, parts, taken, "" if partner < 0 else str(others.names[partner]))
        if kind != NOT_COUNTED
        else ""
        for kind, iou, parts, taken, partner in zip(
            errors.kinds.tolist(),
            errors.ious.tolist(),
            errors.parts.tolist(),
            errors.duplicate.tolist(),
            errors.partners.tolist(),
            strict=True,
        )
    ]
    return np.array(texts, dtype=object)


def _reason(kind: str, other: str, iou: float, parts: int, taken: bool, category: str) -> str:
    """Return the sentence; ``category`` is that of the partner on the ``other`` side, '' for none.

    ``parts`` objects are merged or split; ``taken`` says that the partner belongs to another one.
    """
    whole = other == PREDICTION
    overlap = f"overlap (IoU) {iou:.2f}"
    if kind == RIGHT:
        return f"Matches the {other}: {overlap}."
    if kind == WRONG_CATEGORY:
        return f"The {other} is '{category}' here: {overlap}."
    if kind == BADLY_OUTLINED:
        return f"The outline differs too much from the {other}: {overlap}."
    if kind == MERGED:
        return (
            f"One prediction covers {parts} objects here."
            if whole
            else f"Covers {parts} objects of the reference."
        )
    if kind == SPLIT:
        return (
            f"{parts} predictions lie on this one object."
            if whole
            else f"One of {parts} predictions on a single object."
        )
    assert kind in (MISSED, FALSE_ALARM)
    if not category:
        return f"No {other} overlaps it." if whole else "No object of the reference overlaps it."
    if taken:
        return f"The {other} that it overlaps already belongs to another object: {overlap}."
    if iou >= LEAST_IOU:
        return f"The {other} here ('{category}') is another object: {overlap}."
    return f"Hardly overlaps a {other} ('{category}'): {overlap}."
