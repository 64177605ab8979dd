"""Which categories are counted: by how their annotations lie, or as the user says."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from example_jobs import Watched

from deepseg_qgis.engine.annotations.countability import (
    NEAR_PX,
    NEAR_SHARE,
    QUARTER_TILE,
    AnnotationStatistics,
    annotation_statistics,
    check_slots,
    countable_categories,
    stuff_categories,
)
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.errors import ParameterError

TILE_PX = 64
HOUSE, WATER, TREE = (Category(name, "#112233") for name in ("house", "water", "tree"))
HOUSES = AnnotationStatistics(HOUSE, 50, 0.8, 300.0)
LAKES = AnnotationStatistics(WATER, 50, 0.8, 1e6)
TREES = AnnotationStatistics(TREE, 50, 0.0, 30.0)
EVERYTHING = Area(shapely.box(0, 0, 1000, 1000))
NOTHING = Area.of_windows([])


def labelled(polygons, classes=None, training=EVERYTHING, validation=NOTHING):
    classes = np.array(classes or [1] * len(polygons), dtype=np.uint8)
    area = AnnotatedArea(np.array(polygons, dtype=object), classes)
    return SimpleNamespace(annotated=area, training=training, validation=validation)


def rows_of_houses(apart):
    """Return ten houses of 10 × 10 px in a row, so far apart."""
    return [shapely.box(i * (10 + apart), 0, i * (10 + apart) + 10, 10) for i in range(10)]


def judge(*labelled_rasters, categories=(HOUSE,)):
    return annotation_statistics(labelled_rasters, categories)


@pytest.mark.parametrize(
    ("apart", "near"), [(0, 1.0), (NEAR_PX - 0.01, 1.0), (NEAR_PX + 0.01, 0.0)]
)
def test_near_is_within_the_bound(apart, near):
    (found,) = judge(labelled(rows_of_houses(apart)))
    assert (found.objects, found.near_share, found.median_px) == (10, near, 100.0)
    assert found.countable(TILE_PX) == (near > 0)


def test_every_object_near_another_one_is_counted_once():
    three = [shapely.box(i * 10, 0, i * 10 + 10, 10) for i in range(3)]
    (found,) = judge(labelled([*three, shapely.box(500, 500, 510, 510)]))
    assert found.near_share == 0.75


def test_only_objects_of_the_same_category_are_neighbours():
    polygons = [shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)]
    found = judge(labelled(polygons, [1, 2]), categories=(HOUSE, WATER))
    assert [each.near_share for each in found] == [0.0, 0.0]
    assert [each.category for each in found] == [HOUSE, WATER]


def test_only_labelled_ground_is_judged_in_all_rasters_together():
    here = Area(shapely.box(0, 0, 100, 100))
    there = Area(shapely.box(200, 0, 300, 100))
    pair = [shapely.box(10, 10, 20, 20), shapely.box(20, 10, 30, 20)]
    single, outside = shapely.box(210, 10, 230, 30), shapely.box(500, 500, 900, 900)
    both = labelled([*pair, single, outside], training=here, validation=there)
    (found,) = judge(both)
    assert found.objects == 3
    assert found.near_share == pytest.approx(2 / 3)
    # the same place in another raster is no neighbour
    alone = labelled([shapely.box(30, 10, 40, 20)], training=here)
    (found,) = judge(both, alone)
    assert found.objects == 4
    assert found.near_share == 0.5
    assert found.median_px == 100.0


def test_a_category_without_objects_is_not_counted():
    found = judge(labelled([shapely.box(0, 0, 9, 9)]), categories=(HOUSE, TREE))
    assert found[1] == AnnotationStatistics(TREE, 0, 0.0, 0.0)
    assert not found[1].countable(TILE_PX)


QUARTER_PX = QUARTER_TILE * TILE_PX**2


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({}, True),
        ({"near_share": NEAR_SHARE}, True),
        ({"near_share": NEAR_SHARE - 1e-6}, False),
        ({"median_px": QUARTER_PX - 1}, True),
        ({"median_px": QUARTER_PX}, False),
        ({"objects": 2}, True),
        ({"objects": 1}, False),
    ],
)
def test_the_rule_on_both_sides_of_each_bound(change, counted):
    assert replace(HOUSES, **change).countable(TILE_PX) is counted


def test_the_size_is_judged_by_the_tile():
    large = replace(HOUSES, median_px=2 * QUARTER_PX)
    assert not large.countable(TILE_PX)
    assert large.countable(2 * TILE_PX)


@pytest.mark.parametrize(
    ("task", "stuff", "right"),
    [
        ("auto", (), (True, False, False)),
        ("auto", ("house",), (False, False, False)),
        ("auto", ("water",), (True, False, False)),
        ("semantic", (), (False, False, False)),
        ("semantic", ("house",), (False, False, False)),
        ("instance", (), (True, True, True)),
        ("panoptic", (), (True, False, False)),
        ("panoptic", ("water",), (True, False, True)),
        ("panoptic", ("water", "tree"), (True, False, False)),
    ],
)
def test_what_the_user_says_counts_more_than_the_annotations(task, stuff, right):
    assert countable_categories(task, stuff, [HOUSES, LAKES, TREES], TILE_PX) == right


def test_names_that_are_not_there_are_refused():
    with pytest.raises(ParameterError, match=r"\): there is no 'lake', 'sea'\. .*'house', 'water'"):
        stuff_categories(("lake", "water", "sea"), ["house", "water"])


def test_names_are_known_by_any_case_and_with_their_own_commas():
    names = ["Kartofler, spise-", "kartofler", "Water", "water", "a,b"]
    assert stuff_categories(["Kartofler", "spise-"], names) == ("Kartofler, spise-",)
    assert stuff_categories(["WATER", "Kartofler"], names) == ("Water", "kartofler")
    assert stuff_categories(["water", "kartofler", "SPISE-", "a", "b"], names) == (
        "water",
        "Kartofler, spise-",
        "a,b",
    )
    assert stuff_categories([], names) == ()


@pytest.mark.parametrize(
    ("task", "stuff", "found"),
    [
        ("instance", ("house",), [HOUSES]),
        ("panoptic", ("house", "water"), [HOUSES, LAKES]),
        ("panoptic", (), [LAKES, TREES]),
    ],
)
def test_a_task_with_nothing_to_count_says_what_was_found(task, stuff, found):
    with pytest.raises(ParameterError, match="no category is countable") as told:
        countable_categories(task, stuff, found, TILE_PX)
    message = str(told.value)
    assert f"'{task}'" in message
    for each in found:
        assert each.text in message
    assert "STUFF_CATEGORIES" in message
    assert "'semantic'" in message


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (HOUSES, "at least a tenth lie so near"),
        (LAKES, "tiles of 2016 px tell them apart, or the task 'instance'"),
        (TREES, "fewer than 10% lie so near; the task 'instance'"),
        (AnnotationStatistics(HOUSE, 1, 0.0, 9.0), "there is just one"),
    ],
)
def test_the_reason_is_said_and_the_way_out(found, said):
    assert said in found.reason(TILE_PX)
    if "tiles of" in said:
        assert found.countable(2016)
        assert not found.countable(2016 - 32)


def test_features_in_several_parts_are_counted():
    two = shapely.MultiPolygon([shapely.box(0, 0, 5, 5), shapely.box(9, 9, 14, 14)])
    (found,) = judge(labelled([two, shapely.box(30, 30, 40, 40)]))
    assert (found.objects, found.in_parts) == (2, 1)


def test_what_was_found_is_said_in_words():
    assert AnnotationStatistics(HOUSE, 1234, 0.456, 5678.4).text == (
        f"house: 1,234 objects, 45.6% within {NEAR_PX:g} px of another, median 5,678 px"
    )


def test_more_countable_categories_than_can_be_told_apart_are_refused_before_training():
    quiet, warned = Watched(), Watched()
    check_slots([True] * 36 + [False] * 3, quiet)
    assert quiet.texts == []
    check_slots([True] * 100, warned)
    assert len(warned.texts) == 1
    for refused in ([True] * 128, [True] * 254, [True] * 10 + [False] * 244):
        with pytest.raises(ParameterError, match="STUFF_CATEGORIES"):
            check_slots(refused, Watched())
