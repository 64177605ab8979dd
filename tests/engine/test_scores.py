"""An evaluation is one plain dictionary without a number that JSON does not know."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.scoring.confusion import ConfusionMatrix
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.objects import Objects
from deepseg_qgis.engine.scoring.scores import evaluation
from deepseg_qgis.errors import ParameterError

CATEGORIES = [
    Category("house", "#d55e00"),
    Category("tree", "#009e73"),
    Category("pond", "#0072b2"),
]


def objects(*found: tuple[int, tuple[int, int, int, int]]) -> Objects:
    return Objects(
        np.array([shapely.box(*corners) for _, corners in found], dtype=object),
        np.array([category for category, _ in found], dtype=np.int64),
        np.ones(len(found)),
        np.zeros(len(found), dtype=bool),
    )


def burnt(found: Objects) -> np.ndarray:
    classes = np.zeros((20, 20), dtype=np.uint8)
    for geometry, category in zip(found.geometries, found.categories, strict=True):
        left, top, right, bottom = (int(v) for v in geometry.bounds)
        classes[top:bottom, left:right] = category + 1
    return classes


def evaluated(predicted: Objects, reference: Objects, countable=(True, True, True)) -> dict:
    confusion = ConfusionMatrix(3)
    confusion.add(burnt(reference), burnt(predicted), np.ones((20, 20), dtype=bool))
    matches = match(predicted, reference, 3)
    return evaluation(CATEGORIES, [0.5, 0.4, None], countable, [confusion], matches)


def test_two_houses_found_one_missed_and_a_tree_invented():
    reference = objects((0, (0, 0, 4, 4)), (0, (8, 0, 12, 4)), (0, (0, 8, 4, 12)))
    predicted = objects((0, (0, 0, 4, 4)), (0, (8, 0, 12, 3)), (1, (15, 15, 17, 17)))
    scores = evaluated(predicted, reference)
    assert scores["precision"] == scores["recall"] == scores["f1"] == pytest.approx(2 / 3)
    house, tree, pond = scores["categories"]
    # the second house is found at an IoU of 0.75, up to which COCO's ten thresholds hold six
    assert house["ap50"] == pytest.approx(67 / 101)
    assert house["ap"] == pytest.approx((6 * 67 + 4 * 34) / 10 / 101)
    assert scores["map"] == house["ap"]  # the reference has no other category
    assert (tree["ap"], tree["precision"], tree["recall"]) == (None, 0.0, None)
    assert (pond["iou"], pond["f1"], pond["threshold"]) == (None, None, None)
    assert (house["reference_px"], house["predicted_px"], tree["predicted_px"]) == (48, 28, 4)
    assert scores["mean_iou"] == pytest.approx((28 / 48 + 0) / 2)
    assert scores["confusion"]["labels"] == ["background", "house", "tree", "pond"]
    assert scores["confusion"]["matrix"][1] == [20, 28, 0, 0]


def test_a_category_unknown_to_the_model_lowers_map_and_recall():
    reference = objects((0, (0, 0, 4, 4)), (2, (8, 8, 12, 12)))
    scores = evaluated(objects((0, (0, 0, 4, 4))), reference)
    assert (scores["map"], scores["ap50"], scores["recall"]) == (0.5, 0.5, 0.5)
    assert scores["precision"] == 1.0


def test_counts_that_are_too_low_and_too_high():
    reference = objects((0, (0, 0, 4, 4)), (0, (8, 0, 12, 4)), (1, (0, 8, 4, 12)))
    predicted = objects((0, (0, 0, 4, 4)), *((1, (8 + x, 8, 9 + x, 9)) for x in (0, 2, 4)))
    scores = evaluated(predicted, reference)
    house, tree, pond = scores["categories"]
    assert (house["count_error"], tree["count_error"]) == (-0.5, 2.0)
    assert pond["count_error"] is None
    assert scores["count_error"] == pytest.approx(1 / 3)  # four of three


def test_sizes_and_panoptic_quality_are_means_over_categories():
    reference = objects((0, (0, 0, 4, 4)), (0, (8, 0, 12, 4)), (1, (0, 8, 8, 16)))
    predicted = objects((0, (0, 0, 4, 4)), (1, (0, 8, 8, 14)), (1, (15, 15, 17, 17)))
    scores = evaluated(predicted, reference)
    house, tree, pond = scores["categories"]
    assert house["ap_small"] == house["ap"] == pytest.approx(51 / 101)
    assert scores["ap_small"] == pytest.approx((house["ap"] + tree["ap"]) / 2)
    assert (scores["ap_medium"], scores["ap_large"], pond["ap_small"]) == (None, None, None)
    assert (house["sq"], house["rq"]) == pytest.approx((1.0, 1 / 1.5))
    assert (tree["sq"], tree["rq"]) == pytest.approx((0.75, 1 / 1.5))
    assert tree["pq"] == pytest.approx(0.5)
    assert (pond["pq"], pond["sq"], pond["rq"]) == (None, None, None)
    assert scores["pq"] == scores["pq_things"] == pytest.approx((1 / 1.5 + 0.5) / 2)
    assert (scores["sq"], scores["rq"]) == pytest.approx((0.875, 1 / 1.5))
    assert scores["pq_stuff"] is None


def test_what_is_not_countable_is_one_region():
    reference = objects((0, (0, 0, 4, 4)), (0, (8, 0, 12, 4)), (1, (0, 8, 8, 16)))
    predicted = objects((0, (0, 0, 4, 4)), (1, (0, 8, 8, 14)), (1, (15, 15, 17, 17)))
    scores = evaluated(predicted, reference, countable=(True, False, False))
    house, tree, pond = scores["categories"]
    assert [entry["countable"] for entry in scores["categories"]] == [True, False, False]
    assert (tree["sq"], tree["rq"]) == pytest.approx((48 / 68, 1.0))
    assert (scores["pq_things"], scores["pq_stuff"]) == (house["pq"], tree["pq"])
    assert scores["pq"] == pytest.approx((house["pq"] + tree["pq"]) / 2)
    assert pond["pq"] is None
    for name in ("f1", "recall", "count_error", "ap50", "ap_small"):  # nobody counts trees here
        assert scores[name] == house[name]


@pytest.mark.parametrize("predicted", [objects(), objects((1, (0, 0, 3, 3)))])
@pytest.mark.parametrize("reference", [objects(), objects((0, (5, 5, 9, 9)))])
def test_every_number_is_one_that_json_knows(predicted, reference):
    scores = evaluated(predicted, reference)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    for entry in (scores, *scores["categories"]):
        assert (entry.pop("count_error") is None) == (entry["reference_count"] == 0)
    assert min(numbers(scores)) >= 0


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for entry in value for number in numbers(entry)]
    return [value] if isinstance(value, (int, float)) else []


def test_parts_of_different_categories_are_refused():
    nothing = objects()
    with pytest.raises(ParameterError, match="3, 3, 3, 2, 3"):
        evaluation(
            CATEGORIES, [None] * 3, [True] * 3, [ConfusionMatrix(2)], match(nothing, nothing, 3)
        )
