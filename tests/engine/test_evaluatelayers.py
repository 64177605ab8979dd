"""Two layers of polygons are compared, whoever made them."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from dataclasses import replace

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.scoring.ground import ground_confusion
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.object_errors import KINDS, object_errors
from deepseg_qgis.engine.scoring.objects import Objects
from deepseg_qgis.engine.verbs import evaluatelayers
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import EvaluateLayersJob

X, Y = 500_000.0, 5_500_000.0


def square(x, y, width=10.0, height=10.0):
    return shapely.box(X + x, Y + y, X + x + width, Y + y + height)


def objects(shapes, categories=None):
    count = len(shapes)
    return Objects(
        np.array(shapes, dtype=object),
        np.array(categories or [0] * count, dtype=np.int64),
        np.ones(count),
        np.zeros(count, dtype=bool),
    )


def kinds(predicted, reference, categories=(None, None), threshold=0.5):
    sides = objects(predicted, categories[0]), objects(reference, categories[1])
    found = object_errors(match(*sides, 2, iou_threshold=threshold))
    return [each.kinds.tolist() for each in found]


@pytest.fixture
def compare(make_layer, tmp_path):
    """Return a function: predictions and reference → (scores, errors), all outputs written."""

    def run(predictions, reference, **changes):
        job = EvaluateLayersJob(
            predictions,
            reference,
            None,
            None,
            0.5,
            *(str(tmp_path / name) for name in ("errors.gpkg", "s.csv", "s.json", "s.html")),
        )
        evaluatelayers.run(replace(job, **changes), Control())
        scores = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
        return scores, geopandas.read_file(tmp_path / "errors.gpkg")

    return run


def with_scores(layer, scores):
    frame = geopandas.read_file(layer.path)
    frame["score"] = scores
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        frame.to_file(layer.path, layer=layer.layer, driver="GPKG")
    return layer


def test_every_kind_is_told_from_the_others():
    house = [square(0, 0)]
    assert kinds(house, house) == [["right"], ["right"]]
    assert kinds(house, []) == [["false alarm"], []]
    assert kinds([], house) == [[], ["missed"]]
    assert kinds(house, house, ([0], [1])) == [["wrong category"], ["wrong category"]]
    assert kinds(house, [square(5, 0)]) == [["badly outlined"], ["badly outlined"]]
    row = [square(0, 0), square(11, 0), square(22, 0)]
    assert kinds([square(0, 0, 32)], row) == [["merged"], ["merged"] * 3]
    assert kinds(row, [square(0, 0, 32)]) == [["split"] * 3, ["split"]]


def test_what_is_found_of_an_object_that_does_not_count_does_not_count_either():
    predicted, reference = objects([square(0, 0), square(30, 0)]), objects([square(0, 0, 9)])
    reference = replace(reference, ignored=np.array([True]))
    matches = match(predicted, reference, 1)
    assert matches.status.predicted.tolist() == ["ignored", "false_positive"]
    assert [each.kinds.tolist() for each in object_errors(matches)] == [["", "false alarm"], [""]]


def test_what_a_right_object_swallows_is_merged_and_a_second_one_is_a_false_alarm():
    assert kinds([square(0, 0, 14)], [square(0, 0), square(11, 0, 3)]) == [
        ["right"],
        ["right", "merged"],
    ]
    assert kinds([square(0, 0), square(0, 0, 9)], [square(0, 0)]) == [
        ["right", "false alarm"],
        ["right"],
    ]


boxes = st.lists(
    st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 6)] * 2, st.integers(0, 1)), max_size=8
)


def side(drawn):
    return objects([square(*each[:4]) for each in drawn], [each[4] for each in drawn])


@settings(max_examples=40, deadline=None)
@given(boxes, boxes)
def test_every_object_has_a_kind_and_ground_adds_up(one, other):
    predicted, reference = side(one), side(other)
    found = object_errors(match(predicted, reference, 2))
    assert {kind for each in found for kind in each.kinds} <= set(KINDS)
    matrix = ground_confusion(predicted, reference, 2, 400.0).matrix
    swapped = ground_confusion(reference, predicted, 2, 400.0).matrix
    np.testing.assert_allclose(matrix, swapped.T, atol=1e-6)
    for objects_, axis in ((predicted, 0), (reference, 1)):
        drawn = shapely.area(shapely.union_all(objects_.geometries))
        assert matrix.sum(axis=axis)[1:].sum() == pytest.approx(drawn, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(boxes)
def test_the_same_on_both_sides_is_right(drawn):
    same = side(drawn)
    matches = match(same, same, 2)
    found = object_errors(matches)
    assert {kind for each in found for kind in each.kinds} <= {"right"}
    ground = ground_confusion(same, same, 2, 400.0)
    assert all(ground.counts(i).iou in (None, pytest.approx(1.0)) for i in range(2))


def test_identical_layers_score_one_whatever_their_crs_and_order(compare, make_layer):
    utm = [square(0, 0), square(20, 0, 5), square(40, 5, 7, 3)]
    wgs = geopandas.GeoSeries(utm, crs=32633).to_crs(4326)[::-1]
    one = with_scores(make_layer(utm, name="one"), [0.9, 0.5, 0.1])
    other = make_layer(list(wgs), crs=pyproj.CRS.from_epsg(4326), name="other")
    scores, errors = compare(one, other, score_field="score")
    for name in ("map", "ap50", "precision", "recall", "f1", "pq", "mean_iou"):
        assert scores[name] == pytest.approx(1.0, abs=1e-6), name
    assert scores["categories"][0]["reference_m2"] == pytest.approx(171.0, rel=2e-3)
    assert (set(errors["kind"]), errors.crs.to_epsg()) == ({"right"}, 32633)
    assert sorted(errors["rank"]) == [1, 2, 3, 4, 5, 6]


def test_ap_is_that_of_pycocotools(compare, make_layer):
    rng = np.random.default_rng(5)
    there = rng.integers(0, 50, (30, 2)).tolist()
    said = [(x + int(rng.integers(0, 3)), y) for x, y in there[:22]] + [(55, 55), (2, 58)]
    certain = rng.permutation(len(said)) / len(said)
    layers = [
        make_layer([shapely.box(x, y, x + 6, y + 5) for x, y in corners], crs=None, name=name)
        for corners, name in ((said, "said"), (there, "there"))
    ]
    aoi = make_layer([shapely.box(0, 0, 64, 64)], crs=None, name="aoi")
    scores, _ = compare(with_scores(layers[0], certain), layers[1], score_field="score", aoi=aoi)
    assert scores["map"] == pytest.approx(coco_ap(said, there, certain), abs=1e-6)
    assert 0.05 < scores["map"] < 0.95


def coco_ap(said, there, certain):
    def dataset(corners, scores):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": 1, "height": 64, "width": 64}],
            "categories": [{"id": 1}],
            "annotations": [entry(i, *c, scores[i]) for i, c in enumerate(corners)],
        }
        coco.createIndex()
        return coco

    def entry(number, x, y, score):
        mask = np.zeros((64, 64), dtype=np.uint8, order="F")
        mask[y : y + 5, x : x + 6] = 1
        return {
            "id": number + 1,
            "image_id": 1,
            "category_id": 1,
            "segmentation": rle.encode(mask),
            "area": int(mask.sum()),
            "iscrowd": 0,
            "score": float(score),
        }

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(dataset(there, np.ones(len(there))), dataset(said, certain), "segm")
        evaluation.params.maxDets = [10**6]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, 0, 0, 0].mean()


def test_without_scores_there_is_no_average_precision(compare, make_layer, tmp_path):
    scores, errors = compare(make_layer([square(0, 0)]), make_layer([square(0, 0)], name="b"))
    assert (scores["map"], scores["ap50"], scores["f1"]) == (None, None, 1.0)
    assert errors["score"].isna().all()
    assert "The predictions have no scores" in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_the_worst_comes_first_and_partners_are_ids(compare, make_layer):
    predicted = make_layer([square(0, 0), square(100, 0, 3), square(50, 0)], ["a", "a", "a"])
    reference = make_layer([square(0, 0), square(55, 0)], ["a", "a"], name="reference")
    aoi = make_layer([square(-50, -50, 300, 300)], name="aoi")
    _, errors = compare(predicted, reference, aoi=aoi)
    ranked = errors.sort_values("rank").set_index("id")
    assert ranked["kind"].tolist() == ["badly outlined"] * 2 + ["false alarm"] + ["right"] * 2
    for number, row in ranked.iterrows():
        if not np.isnan(row["partner"]):
            assert ranked.loc[int(row["partner"])]["partner"] == number
            assert ranked.loc[int(row["partner"])]["side"] != row["side"]
    assert ranked[ranked["kind"] == "false alarm"]["reason"].tolist() == [
        "No object of the reference overlaps it."
    ]


def test_nothing_on_a_side(compare, make_layer):
    house, nothing = make_layer([square(0, 0)], name="house"), make_layer([], name="nothing")
    aoi = make_layer([square(-50, -50, 300, 300)], name="aoi")
    scores, errors = compare(nothing, house)
    assert (scores["fn"], scores["recall"], errors["kind"].tolist()) == (1, 0.0, ["missed"])
    scores, errors = compare(house, nothing, aoi=aoi)
    assert (scores["fp"], scores["precision"], errors["kind"].tolist()) == (1, 0.0, ["false alarm"])
    with pytest.raises(VectorError, match="'nothing' has no polygon"):
        compare(house, nothing)


def test_categories_that_never_meet_are_named(compare, make_layer):
    one = make_layer([square(0, 0), square(20, 0)], ["a", "b"], name="one")
    other = make_layer([square(0, 0), square(20, 0)], ["c", "d"], name="other")
    with pytest.raises(VectorError, match="'a', 'b', the reference has 'c', 'd'"):
        compare(one, other)
    scores, _ = compare(one, make_layer([square(0, 0), square(20, 0)], name="plain"))
    assert [entry["name"] for entry in scores["categories"]] == ["plain"]
    assert scores["f1"] == 1.0


def test_half_outside_counts_neither_way(compare, make_layer):
    house = make_layer([square(0, 0), square(100, 0)], name="house")
    aoi = make_layer([square(-5, -5, 108, 30)], name="aoi")
    scores, errors = compare(house, make_layer([square(0, 0)], name="other"), aoi=aoi)
    assert (scores["tp"], scores["fp"], len(errors)) == (1, 0, 2)
