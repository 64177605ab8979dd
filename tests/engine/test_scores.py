"""An evaluation is one plain dictionary without a number that JSON does not know."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.scoring.confusion import Confusion
from deepseg_qgis.engine.scoring.matching import Objects, match
from deepseg_qgis.engine.scoring.scores import evaluation
from deepseg_qgis.engine.truth.annotations import Category
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


def evaluated(predicted: Objects, reference: Objects) -> dict:
    confusion = Confusion(3)
    confusion.add(burnt(reference), burnt(predicted), np.ones((20, 20), dtype=bool))
    return evaluation(CATEGORIES, [0.5, 0.4, None], confusion, match(predicted, reference, 3))


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


@pytest.mark.parametrize("predicted", [objects(), objects((1, (0, 0, 3, 3)))])
@pytest.mark.parametrize("reference", [objects(), objects((0, (5, 5, 9, 9)))])
def test_every_number_is_one_that_json_knows(predicted, reference):
    scores = evaluated(predicted, reference)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert min(numbers(scores)) >= 0


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for entry in value for number in numbers(entry)]
    return [value] if isinstance(value, (int, float)) else []


def test_parts_of_different_categories_are_refused():
    nothing = objects()
    with pytest.raises(ParameterError, match="3, 3, 2, 3"):
        evaluation(CATEGORIES, [None] * 3, Confusion(2), match(nothing, nothing, 3))
