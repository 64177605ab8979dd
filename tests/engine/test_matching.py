"""The matcher says what pycocotools says, and what a person would say."""

from __future__ import annotations

import contextlib
import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from deepseg_qgis.engine.scoring.average_precision import COCO_THRESHOLDS
from deepseg_qgis.engine.scoring.confusion import Counts
from deepseg_qgis.engine.scoring.matches import Matches
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.objects import SIZE_RANGES, Objects

SIDE = 12
ENLARGED = 16
"""By this factor objects are larger than their pictures for pycocotools: so their areas are
multiples of 256 px², of every size and on the bounds, and the masks stay small."""
CATEGORIES = 3

spans = st.tuples(st.integers(0, SIDE - 1), st.integers(1, 6)).map(
    lambda span: (span[0], min(SIDE, span[0] + span[1]))
)
shapes = st.lists(st.tuples(spans, spans), min_size=1, max_size=3)


@st.composite
def objects(draw, reference=False):
    """Pixel-aligned objects, unions of up to three rectangles; few scores, so that they tie."""
    rectangles = draw(st.lists(shapes, max_size=12))
    count = len(rectangles)

    def numbers(choice):
        return draw(st.lists(choice, min_size=count, max_size=count))

    scores = [1.0] * count if reference else numbers(st.sampled_from([0.25, 0.5, 0.75]))
    return make(
        [
            shapely.union_all([shapely.box(*np.ravel([x, y], "F")) for x, y in r])
            for r in rectangles
        ],
        categories=numbers(st.integers(0, CATEGORIES - 1)),
        scores=scores,
        ignored=numbers(st.sampled_from([False, False, True])),
    )


def make(geometries, categories=None, scores=None, ignored=None):
    count = len(geometries)
    return Objects(
        np.array(geometries, dtype=object),
        np.array([0] * count if categories is None else categories, dtype=np.int64),
        np.array([1.0] * count if scores is None else scores, dtype=np.float64),
        np.array([False] * count if ignored is None else ignored, dtype=bool),
    )


def boxes(*corners):
    return [shapely.box(*corner) for corner in corners]


def enlarged(found: Objects) -> Objects:
    larger = shapely.transform(found.geometries, lambda corners: corners * ENLARGED)
    return replace(found, geometries=larger)


def pycocotools(sides: list[tuple[Objects, Objects]]) -> COCOeval:
    """Evaluate (predicted, reference) of several pictures with pycocotools, without its caps.

    It has no way to ignore an object but its area: one outside of the range is ignored.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        predicted, reference = (dataset([side[i] for side in sides]) for i in (0, 1))
        evaluation = COCOeval(reference, predicted, "segm")
        evaluation.params.catIds = list(range(1, CATEGORIES + 1))
        evaluation.params.maxDets = [10**6]
        assert evaluation.params.areaRngLbl == [size.name for size in SIZE_RANGES]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def dataset(pictures: list[Objects]) -> COCO:
    annotations = []
    for picture, found in enumerate(pictures):
        for geometry, category, score, ignored in zip(
            found.geometries, found.categories, found.scores, found.ignored, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture + 1,
                    "category_id": int(category) + 1,
                    "segmentation": rle.encode(np.asfortranarray(pixels(geometry))),
                    "area": -1 if ignored else geometry.area * ENLARGED**2,
                    "iscrowd": 0,
                    "score": float(score),
                }
            )
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(pictures))],
        "categories": [{"id": i + 1} for i in range(CATEGORIES)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def pixels(geometry) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return shapely.contains_xy(geometry, columns, rows).astype(np.uint8)


def assert_equal(matches: Matches, theirs: COCOeval) -> None:
    for category, (i, size) in itertools.product(range(CATEGORIES), enumerate(SIZE_RANGES)):
        precision = theirs.eval["precision"][:, :, category, i, 0]  # (thresholds, recalls)
        ours = matches.average_precision(category, size)
        if ours is None:
            assert (precision == -1).all()
        else:
            np.testing.assert_allclose(ours, precision.mean(axis=1), atol=1e-6, rtol=0)


def assert_equally_matched(matches: Matches, theirs: COCOeval) -> None:
    """Check every single match; ``theirs`` is of one picture."""
    sizes = {tuple(theirs.params.areaRng[i]): size for i, size in enumerate(SIZE_RANGES)}
    for evaluated in filter(None, theirs.evalImgs):
        chosen = np.array(evaluated["dtIds"], dtype=int) - 1
        np.testing.assert_array_equal(
            matches.by_size[sizes[tuple(evaluated["aRng"])]].reference_index[:, chosen],
            evaluated["dtMatches"].astype(int) - 1,
        )


@settings(max_examples=150, deadline=None)
@given(objects(), objects(reference=True))
def test_equals_pycocotools(predicted, reference):
    matches = match(enlarged(predicted), enlarged(reference), CATEGORIES)
    theirs = pycocotools([(predicted, reference)])
    assert_equal(matches, theirs)
    assert_equally_matched(matches, theirs)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(objects(), objects(reference=True)), min_size=1, max_size=3))
def test_several_rasters_equal_several_pictures_of_pycocotools(sides):
    parts = [match(*map(enlarged, pair), CATEGORIES) for pair in sides]
    assert_equal(Matches.joined(parts), pycocotools(sides))


@settings(max_examples=50, deadline=None)
@given(objects(), objects(reference=True), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.75, 1.0]))
def test_outcomes_agree_with_each_other_and_with_the_counts(predicted, reference, iou_threshold):
    matches = match(predicted, reference, CATEGORIES, iou_threshold=iou_threshold)
    status = matches.status
    for i, j in enumerate(status.reference_index):
        if j >= 0:
            assert status.predicted_index[j] == i
            assert predicted.categories[i] == reference.categories[j]
            assert (status.predicted[i] == "ignored") == reference.ignored[j]
            a, b = predicted.geometries[i], reference.geometries[j]
            iou = shapely.area(a & b) / shapely.area(a | b)
            assert iou >= iou_threshold - 1e-9
            assert iou > 0
        else:
            assert status.predicted[i] == ("ignored" if predicted.ignored[i] else "false_positive")
    assert np.count_nonzero(status.predicted_index >= 0) == np.count_nonzero(
        status.reference_index >= 0
    )
    total, parts = matches.counts(), [matches.counts(c) for c in range(CATEGORIES)]
    assert total.true_positive == np.count_nonzero(status.reference == "matched")
    assert total.true_positive + total.false_negative == np.count_nonzero(~reference.ignored)
    for name in ("true_positive", "false_positive", "false_negative"):
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)


def test_a_thousand_perfect_predictions_are_perfect():
    """pycocotools, left as it is, stops at 100 and says 0.109."""
    y, x = np.divmod(np.arange(1000), 40)
    squares = list(shapely.box(3 * x, 3 * y, 3 * x + 2, 3 * y + 2))
    matches = match(make(squares), make(squares), 1)
    assert matches.average_precision(0).tolist() == [1.0] * len(COCO_THRESHOLDS)
    assert matches.counts() == Counts(1000, 0, 0)


def test_a_category_that_the_model_does_not_know_is_missed():
    here = boxes((0, 0, 4, 4), (6, 0, 10, 4))
    matches = match(make(here[:1]), make(here, categories=[0, 1]), 2)
    assert matches.average_precision(1).tolist() == [0.0] * 10
    assert matches.counts(1) == Counts(0, 0, 1)
    assert matches.counts() == Counts(1, 0, 1)


def test_an_object_of_another_size_is_neither_found_nor_a_false_alarm():
    small, large = boxes((0, 0, 8, 8), (100, 0, 200, 100))
    invented = boxes((300, 0, 310, 10), (400, 0, 500, 100))
    scores = [0.5, 0.5, 0.9, 0.9]
    matches = match(make([small, large, *invented], scores=scores), make([small, large]), 1)
    all_sizes, *by_size = (matches.average_precision(0, size) for size in SIZE_RANGES)
    np.testing.assert_allclose(all_sizes, 0.5)  # each is found behind both false alarms
    assert by_size[1] is None  # of medium size there is none
    np.testing.assert_allclose([by_size[0], by_size[2]], 0.5)


def test_at_each_size_a_reference_of_it_goes_first():
    """Where annotations overlap, one of another size may be the closer one."""
    predicted = make(boxes((0, 0, 1, 5)))  # 5 × 16² px², medium
    reference = make(boxes((0, 0, 1, 6), (0, 0, 1, 4)))  # medium, and small
    matches = match(enlarged(predicted), enlarged(reference), CATEGORIES)
    assert [matches.by_size[size].reference_index[0, 0] for size in SIZE_RANGES] == [0, 1, 0, 0]
    assert_equal(matches, pycocotools([(predicted, reference)]))


def test_an_area_on_the_bound_is_of_both_sizes():
    square = boxes((0, 0, 32, 32))
    matches = match(make(square), make(square), 1)
    found = {size.name: matches.average_precision(0, size) is not None for size in SIZE_RANGES}
    assert found == {"all": True, "small": True, "medium": True, "large": False}


def test_houses_melted_into_one_count_as_one_false_alarm_and_all_missed():
    row = boxes(*((x, 0, x + 4, 4) for x in range(0, 16, 4)))
    assert match(make(boxes((0, 0, 16, 4))), make(row), 1).counts() == Counts(0, 1, 4)


def test_the_score_decides_who_gets_a_reference():
    better, worse, truth = boxes((0, 0, 10, 9), (0, 0, 10, 8), (0, 0, 10, 10))
    status = match(make([better, worse], scores=[0.2, 0.9]), make([truth]), 1).status
    assert status.predicted.tolist() == ["false_positive", "true_positive"]
    assert status.predicted_index.tolist() == [1]


@pytest.mark.parametrize("predicted", [[], boxes((0, 0, 4, 4))])
def test_without_references_there_is_no_average_precision(predicted):
    matches = match(make(predicted), make([]), 1)
    assert matches.average_precision(0) is None
    assert matches.counts() == Counts(0, len(predicted), 0)


def test_objects_that_only_touch_do_not_match_at_a_threshold_of_zero():
    matches = match(make(boxes((0, 0, 4, 4))), make(boxes((4, 0, 8, 4))), 1, iou_threshold=0.0)
    assert matches.counts() == Counts(0, 1, 1)
