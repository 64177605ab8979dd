"""Two layers of polygons compared, whoever made them: scores, and what is wrong with each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from deepseg_qgis.engine.evaluating.compared_layers import ComparedLayers
from deepseg_qgis.engine.evaluating.comparison import objects_inside
from deepseg_qgis.engine.geometry.local_crs import has_sizes, metres_per_local_unit
from deepseg_qgis.engine.scoring.ground import ground_confusion
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.object_errors import KINDS, ObjectErrors, object_errors
from deepseg_qgis.engine.scoring.objects import Objects, thirds
from deepseg_qgis.engine.scoring.scores import Evaluation, evaluation, without_ranking


@dataclass(frozen=True)
class LayerEvaluation:
    """The result: ``scores`` as for JSON, and both sides' objects with what each is."""

    scores: Evaluation
    predicted: tuple[Objects, ObjectErrors]
    reference: tuple[Objects, ObjectErrors]


def evaluate_layers(
    compared: ComparedLayers, iou_threshold: float, *, ranked: bool
) -> LayerEvaluation:
    """Compare two layers; ``ranked`` says that the predictions have scores.

    Raises:
        ParameterError: there are too many categories.
    """
    predicted, reference = _objects(compared)
    count = len(compared.categories)
    matches = match(
        predicted, reference, count, iou_threshold=iou_threshold, sizes=thirds(reference)
    )
    ground = ground_confusion(predicted, reference, count, compared.area.size_px)
    scores = evaluation(
        compared.categories,
        [None] * count,
        [True] * count,
        [ground],
        matches,
        unit_of(compared),
    )
    found = object_errors(matches)
    scores |= {
        "predictions": compared.predictions.layer.name,
        "reference": compared.reference.layer.name,
        f"aoi_{scores['unit']}": compared.area.size_px,
        "errors": {
            "predictions": _kind_counts(found[0]),
            "reference": _kind_counts(found[1]),
        },
    }
    scores = scores if ranked else without_ranking(scores)
    return LayerEvaluation(scores, (predicted, found[0]), (reference, found[1]))


def unit_of(compared: ComparedLayers) -> str:
    """Return the unit of areas: ``m2``, or ``units2`` where it is not known how large one is."""
    plane = compared.plane
    if plane is None or not has_sizes(plane):
        return "units2"
    metres = plane.axis_info[0].unit_conversion_factor if plane.is_projected else None
    return "m2" if (metres or metres_per_local_unit(plane)) == 1.0 else "units2"


def _objects(compared: ComparedLayers) -> tuple[Objects, Objects]:
    """Return both sides cut at the area, in the order of their polygons."""
    sides = []
    for side in (compared.predictions, compared.reference):
        # whatever has no score comes last
        scores = np.where(np.isnan(side.scores), -np.inf, side.scores)
        sides.append(objects_inside(compared.area, side.flat, compared.classes(side), scores))
    return sides[0], sides[1]


def _kind_counts(errors: ObjectErrors) -> dict[str, int]:
    counts = Counter(errors.kinds.tolist())
    return {kind: counts[kind] for kind in KINDS}
