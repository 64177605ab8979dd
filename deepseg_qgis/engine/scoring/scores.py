"""All that an evaluation found, as one plain dictionary for JSON and for the report. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepseg_qgis.engine.scoring.confusion import Confusion, mean_of_known
from deepseg_qgis.engine.scoring.matching import COCO_THRESHOLDS, Matches
from deepseg_qgis.engine.truth.annotations import Category
from deepseg_qgis.errors import ParameterError

BACKGROUND = "background"

Evaluation = dict[str, Any]
"""See `evaluation`."""


def evaluation(
    categories: Sequence[Category],
    thresholds: Sequence[float | None],
    confusion: Confusion,
    matches: Matches,
) -> Evaluation:
    """Return every score, JSON-able: numbers are finite, and what does not exist is None.

    ``categories`` are numbered as in ``confusion`` and ``matches``: those of the model, then those
    that only the reference has. ``thresholds`` are the probabilities used for each category, None
    where there is none. Keys of the result:

    - ``map``, ``ap50``: means over the categories that the reference has
    - ``precision``, ``recall``, ``f1``: of all objects together at ``iou_threshold``
    - ``tp``, ``fp``, ``fn``, ``reference_count``, ``predicted_count``: objects that count, that is,
      without the ignored ones
    - ``mean_iou``, ``pixel_accuracy``: of pixels
    - ``categories``: a list of the same for each category, with ``iou``, ``dice``,
      ``pixel_precision``, ``pixel_recall``, ``reference_px``, ``predicted_px``, ``threshold``
    - ``confusion``: ``labels`` (background first) and ``matrix`` (rows: reference)

    Raises:
        ParameterError: the parts do not belong to the same categories.
    """
    _check(len(categories), len(thresholds), confusion.categories, matches.categories)
    described: list[dict[str, Any]] = [
        {
            "name": category.name,
            "colour": category.colour,
            "threshold": threshold,
            **_precisions(matches, i),
            **_objects(matches, i),
            **_pixels(confusion, i),
        }
        for i, (category, threshold) in enumerate(zip(categories, thresholds, strict=True))
    ]
    return {
        "map": mean_of_known([entry["ap"] for entry in described]),
        "ap50": mean_of_known([entry["ap50"] for entry in described]),
        **_objects(matches, None),
        "mean_iou": confusion.mean_iou,
        "pixel_accuracy": confusion.pixel_accuracy,
        "iou_threshold": matches.iou_threshold,
        "categories": described,
        "confusion": {
            "labels": [BACKGROUND, *(category.name for category in categories)],
            "matrix": confusion.matrix.tolist(),
        },
    }


def _check(*counts: int) -> None:
    if len(set(counts)) != 1:
        raise ParameterError(
            "Categories, thresholds, pixels and objects of an evaluation must be of one list of "
            f"categories, but there are {', '.join(str(count) for count in counts)} of them."
        )


def _precisions(matches: Matches, category: int) -> dict[str, float | None]:
    """Return AP and AP50; AP50 is None where the objects were not matched at an IoU of 0.50."""
    precision = matches.average_precision(category)
    if precision is None:
        return {"ap": None, "ap50": None}
    at = dict(zip(matches.thresholds, precision.tolist(), strict=True))
    return {"ap": float(precision.mean()), "ap50": at.get(COCO_THRESHOLDS[0])}


def _objects(matches: Matches, category: int | None) -> dict[str, float | int | None]:
    counts = matches.counts(category)
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "tp": counts.true_positive,
        "fp": counts.false_positive,
        "fn": counts.false_negative,
        "reference_count": counts.true_positive + counts.false_negative,
        "predicted_count": counts.true_positive + counts.false_positive,
    }


def _pixels(confusion: Confusion, category: int) -> dict[str, float | int | None]:
    counts = confusion.counts(category)
    return {
        "iou": counts.iou,
        "dice": counts.f1,
        "pixel_precision": counts.precision,
        "pixel_recall": counts.recall,
        "reference_px": counts.true_positive + counts.false_negative,
        "predicted_px": counts.true_positive + counts.false_positive,
    }
