"""All that an evaluation found, as one plain dictionary for JSON and for the report. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.scoring.average_precision import COCO_THRESHOLDS
from deepseg_qgis.engine.scoring.confusion import Confusion, Counts, mean_of_known
from deepseg_qgis.engine.scoring.matches import Matches
from deepseg_qgis.engine.scoring.objects import ALL_SIZES
from deepseg_qgis.engine.scoring.panoptic import PanopticQuality, stuff_quality
from deepseg_qgis.errors import ParameterError

BACKGROUND = "background"

PRECISIONS = ("ap50", "ap_small", "ap_medium", "ap_large")
"""Scores that stand for all as the mean over the countable categories that have them."""
QUALITIES = ("pq", "sq", "rq")
"""The same over all categories."""

Evaluation = dict[str, Any]
"""All scores, JSON-able: numbers are finite, and what does not exist is None.

- ``map``, ``ap50``, ``ap_small``, ``ap_medium``, ``ap_large``: means over the countable categories
  that the reference has, of all objects and of those of each size in ``sizes``
- ``pq``, ``sq``, ``rq``: panoptic quality and its two factors, means over the categories that
  occur; ``pq_things`` and ``pq_stuff`` over the countable ones, and the others
- ``precision``, ``recall``, ``f1``: of all countable objects together at ``iou_threshold``
- ``tp``, ``fp``, ``fn``, ``reference_count``, ``predicted_count``: objects that count, that is,
  without the ignored ones; ``count_error``: by which share of the reference's there are more
  predicted, below 0 where there are fewer
- ``mean_iou``, ``pixel_accuracy``: of pixels, or of ground where areas were compared
- ``categories``: a list of the same for each category (``ap`` for ``map``), with ``iou``,
  ``dice``, ``pixel_precision``, ``pixel_recall``, ``reference_px``, ``predicted_px`` (in another
  ``unit`` with its name), ``threshold``, ``countable``
- ``sizes``: the least and largest area of ``small``, ``medium`` and ``large`` objects, by default
  COCO's up to 32², up to 96² and from 96² px²; None where there is no largest
- ``unit``: of areas: ``px``, ``m2``, or ``units2`` where it is not known how large a unit is
- ``confusion``: ``labels`` (background first) and ``matrix`` (rows: reference)
"""


def evaluation(
    categories: Sequence[Category],
    thresholds: Sequence[float | None],
    countable: Sequence[bool],
    confusions: Sequence[Confusion],
    matches: Matches,
    unit: str = "px",
) -> Evaluation:
    """Return every score, see `Evaluation`.

    ``categories`` are numbered as in ``confusions``, one for each raster, and ``matches``: those
    that may be predicted, then those that only the reference has. ``thresholds`` are the
    probabilities used for each category, None where there is none. A category that is ``countable``
    has its objects as the segments of panoptic quality, any other all its ground in a raster.
    ``unit`` is that of areas.

    Raises:
        ParameterError: the parts do not belong to the same categories.
    """
    pixels = Confusion.joined(confusions)
    _check(len(categories), len(thresholds), len(countable), pixels.categories, matches.categories)
    entries: list[dict[str, Any]] = []
    for i, category in enumerate(categories):
        quality = matches.panoptic_quality(i) if countable[i] else stuff_quality(confusions, i)
        entries.append(
            {
                "name": category.name,
                "colour": category.colour,
                "threshold": thresholds[i],
                "countable": bool(countable[i]),
                **_precisions(matches, i),
                **_objects(matches.counts(i)),
                **_panoptic(quality),
                **_ground(pixels, i, unit),
            }
        )
    counts = [matches.counts(i) for i, counted in enumerate(countable) if counted]
    names = [category.name for category in categories]
    return {
        **_means(entries),
        **_objects(sum(counts, Counts(0, 0, 0))),
        "mean_iou": pixels.mean_iou,
        "pixel_accuracy": pixels.pixel_accuracy,
        "iou_threshold": matches.iou_threshold,
        "unit": unit,
        "sizes": {
            size.name: [size.least_px2, size.most_px2 if math.isfinite(size.most_px2) else None]
            for size in matches.by_size
            if size != ALL_SIZES
        },
        "categories": entries,
        "confusion": {"labels": [BACKGROUND, *names], "matrix": pixels.matrix.tolist()},
    }


def without_ranking(scores: Evaluation) -> Evaluation:
    """Return the scores of predictions that have no scores of their own.

    Average precision takes objects by falling score, so there is none; all else stands.
    """
    unknown = dict.fromkeys(("ap", "map", *PRECISIONS))
    categories = [
        {name: unknown.get(name, value) for name, value in entry.items()}
        for entry in scores["categories"]
    ]
    known = {name: unknown.get(name, value) for name, value in scores.items()}
    return known | {"categories": categories}


def _check(*counts: int) -> None:
    if len(set(counts)) != 1:
        raise ParameterError(
            "Categories, thresholds, what is countable, pixels and objects of an evaluation must "
            "be of one list of categories, but there are "
            f"{', '.join(str(count) for count in counts)} of them."
        )


def _means(entries: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Return the means over all categories, or over those of which objects are counted."""
    things = [entry for entry in entries if entry["countable"]]
    stuff = [entry for entry in entries if not entry["countable"]]
    return {
        **{name: _mean(name, things) for name in PRECISIONS},
        "map": _mean("ap", things),
        **{name: _mean(name, entries) for name in QUALITIES},
        "pq_things": _mean("pq", things),
        "pq_stuff": _mean("pq", stuff),
    }


def _mean(name: str, entries: Sequence[dict[str, Any]]) -> float | None:
    return mean_of_known([entry[name] for entry in entries])


def _precisions(matches: Matches, category: int) -> dict[str, float | None]:
    """Return the APs; AP50 is None where the objects were not matched at an IoU of 0.50."""
    scores: dict[str, float | None] = {"ap": None, "ap50": None}
    precision = matches.average_precision(category)
    if precision is not None:
        at = dict(zip(matches.thresholds, precision.tolist(), strict=True))
        scores = {"ap": float(precision.mean()), "ap50": at.get(COCO_THRESHOLDS[0])}
    for size in matches.by_size:
        if size == ALL_SIZES:
            continue
        precision = matches.average_precision(category, size)
        scores[f"ap_{size.name}"] = None if precision is None else float(precision.mean())
    return scores


def _objects(counts: Counts) -> dict[str, float | None]:
    there = counts.true_positive + counts.false_negative
    said = counts.true_positive + counts.false_positive
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "tp": counts.true_positive,
        "fp": counts.false_positive,
        "fn": counts.false_negative,
        "reference_count": there,
        "predicted_count": said,
        "count_error": (said - there) / there if there else None,
    }


def _panoptic(quality: PanopticQuality) -> dict[str, float | None]:
    return {"pq": quality.pq, "sq": quality.sq, "rq": quality.rq}


def _ground(confusion: Confusion, category: int, unit: str) -> dict[str, float | None]:
    counts = confusion.counts(category)
    return {
        "iou": counts.iou,
        "dice": counts.f1,
        "pixel_precision": counts.precision,
        "pixel_recall": counts.recall,
        f"reference_{unit}": counts.true_positive + counts.false_negative,
        f"predicted_{unit}": counts.true_positive + counts.false_positive,
    }
