"""The rule that tells objects apart best on known region, against a plain reading of it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.instances.watershed import instances_of
from deepseg_qgis.engine.learning.instance_rule_search import (
    DEFAULT_DEPTH,
    ValidationRegion,
    _reference,
    _sizes,
    best_instance_rule,
)
from deepseg_qgis.engine.legend.decisions import as_levels, decide_known
from deepseg_qgis.engine.legend.legend import OBJECT_PLANES, InstanceRule

ONE = np.array([True])
HALF = (0.5,)
SIDE = 12
HEIGHT_A_PX = 20
"""So much do heights rise from pixel to pixel towards an object's middle, where they are 250."""


def houses(rows=3, columns=4, between=0):
    """Return (rows, columns) int32: squares of 12 px in rows, numbered, wall to wall or apart."""
    step = SIDE + between
    objects = np.zeros((rows * step + 4, columns * step + 4), dtype=np.int32)
    for number, (i, j) in enumerate(itertools.product(range(rows), range(columns)), start=1):
        objects[2 + i * step :, 2 + j * step :][:SIDE, :SIDE] = number
    return objects


def perfect(objects):
    """Return ground where the network says exactly what is there."""
    heights = np.zeros(objects.shape)
    for number in np.unique(objects[objects > 0]):
        rows, columns = np.nonzero(objects == number)
        away = np.abs(rows - rows.mean()) + np.abs(columns - columns.mean())
        heights[rows, columns] = 250 - HEIGHT_A_PX * away
    others = np.zeros((len(OBJECT_PLANES) - 1, *objects.shape))  # they tell nothing apart
    planes = np.stack([np.where(objects, 200, 10), heights, *others]).astype(np.uint8)
    classes = (objects > 0).astype(np.uint8)
    return ValidationRegion(planes, objects, classes, np.ones(objects.shape, dtype=bool))


def slowly(regions, thresholds, countable, rule):
    """Return the panoptic qualities that a rule gives, object by object."""
    qualities = []
    for number, counted in enumerate(countable.tolist(), start=1):
        iou_sum = matched = found_count = there_count = 0
        for region in regions:
            classes, _ = decide_known(region.planes, as_levels(thresholds), region.known)
            labels = instances_of(classes, region.planes[len(countable)], rule.depths)
            labels = np.where(classes == number, labels, 0)
            labelled = np.where(region.known & (region.classes == number), region.objects, 0)
            found = [labels == each for each in np.unique(labels[labels > 0])]
            found = [each for each in found if each.sum() >= rule.least_px[number - 1]]
            there = [labelled == each for each in np.unique(labelled[labelled > 0])]
            found_count, there_count = found_count + len(found), there_count + len(there)
            for one, other in itertools.product(found, there):
                iou = (one & other).sum() / (one | other).sum()
                iou_sum, matched = iou_sum + iou * (iou > 0.5), matched + int(iou > 0.5)
        both = found_count + there_count
        quality = 2 * iou_sum / both if both else None
        qualities.append(quality if counted else None)
    return qualities


def assert_alike(found, right):
    assert len(found) == len(right)
    for one, other in zip(found, right, strict=True):
        assert one == (other if other is None else pytest.approx(other, abs=1e-9))


@pytest.mark.parametrize("between", [0, 3])
def test_what_is_perfect_is_found_so(between):
    region = perfect(houses(between=between))
    rule = best_instance_rule([region], HALF, ONE)
    assert rule.qualities == (1.0,)
    assert rule.depths[0] >= 1
    assert 0 <= rule.least_px[0] <= SIDE**2
    assert slowly([region], HALF, ONE, rule) == [1.0]


def test_dents_in_roofs_are_passed_over_and_walls_are_not():
    region = perfect(houses())
    middles = region.planes[1] > 150
    chequered = np.indices(middles.shape).sum(axis=0) % 2 == 0
    region.planes[1][middles & chequered] -= HEIGHT_A_PX + 10  # so small peaks stand out by 10
    rule = best_instance_rule([region], HALF, ONE)
    assert 10 < rule.depths[0] <= 5 * HEIGHT_A_PX
    assert rule.qualities == (1.0,)
    for depth in (5, 6 * HEIGHT_A_PX):
        assert slowly([region], HALF, ONE, replace(rule, depths=(depth,)))[0] < 0.5


def test_specks_are_too_small_to_be_objects():
    region = perfect(houses(between=3))
    assert not region.objects[SIDE + 3, ::2].any(), "between the houses"
    region.planes[:, SIDE + 3, ::2] = 180
    rule = best_instance_rule([region], HALF, ONE)
    assert rule.least_px[0] > 1
    assert rule.qualities == (1.0,)
    assert slowly([region], HALF, ONE, replace(rule, least_px=(1,)))[0] < 0.9


def test_small_objects_are_not_taken_for_specks():
    objects = houses(between=3)
    objects[SIDE + 3, ::2] = np.arange(100, 100 + len(objects[0, ::2]))
    rule = best_instance_rule([perfect(objects)], HALF, ONE)
    assert rule.least_px[0] <= 1
    assert rule.qualities == (1.0,)


def test_objects_of_a_wide_range_of_sizes_all_stay():
    """Three of fifteen are a ninth of the others: too few to tell against the default rule."""
    objects = houses(between=6)
    for number, column in enumerate((4, 22, 40), start=20):
        objects[SIDE + 3 :, column:][:4, :4] = number
    rule = best_instance_rule([perfect(objects)], HALF, ONE)
    assert 0 < rule.least_px[0] < 16
    assert rule.qualities == (1.0,)


def test_all_grounds_count_together():
    right, missed = perfect(houses(2, 3)), perfect(houses(1, 4))
    missed.planes[0] = 0
    rule = best_instance_rule([right, missed], HALF, ONE)
    assert rule.qualities == (pytest.approx(6 / (6 + 4 / 2)),)
    assert best_instance_rule([missed, right], HALF, ONE) == rule
    assert_alike(rule.qualities, slowly([right, missed], HALF, ONE, rule))


def test_what_is_not_known_does_not_count():
    region = perfect(houses(2, 4))
    region.known[:, 2 + 3 * SIDE :] = False  # the last house of each row
    region.planes[:, :, 2 + 3 * SIDE :] = np.random.default_rng(0).integers(
        0, 256, region.planes[:, :, 2 + 3 * SIDE :].shape
    )
    assert best_instance_rule([region], HALF, ONE).qualities == (1.0,)
    cut = perfect(houses(2, 4))
    cut.known[:, 2 + 3 * SIDE + 7 :] = False  # of those some is known: that must be found
    assert best_instance_rule([cut], HALF, ONE).qualities == (1.0,)
    cut.planes[0, :, 2 + 3 * SIDE : 2 + 3 * SIDE + 7] = 0
    assert best_instance_rule([cut], HALF, ONE).qualities == (pytest.approx(6 / (6 + 2 / 2)),)


def test_nothing_there_and_nothing_known():
    for regions in ([], [perfect(np.zeros((9, 9), dtype=np.int32))]):
        rule = best_instance_rule(regions, HALF, ONE)
        assert rule.qualities == (None,)
        assert rule.depths[0] >= 1
        assert rule.least_px == (0,)


def test_where_nothing_can_be_told_the_rule_is_the_default():
    """Nobody is there, or nobody is found: the ends of what is tried would be the worst guess."""
    empty = perfect(np.zeros((30, 30), dtype=np.int32))
    missed = perfect(houses())
    missed.planes[0] = 0
    for region in (empty, missed):
        assert best_instance_rule([region], HALF, ONE).depths == (DEFAULT_DEPTH,)


def test_a_usual_rule_stays_where_no_other_is_clearly_better():
    regions = [perfect(houses())]
    for depth in (21, 90):
        usual = InstanceRule((depth,), (10**6,))
        found = best_instance_rule(regions, HALF, ONE, usual=usual)
        assert found.depths == (depth,)
        assert found.least_px >= best_instance_rule(regions, HALF, ONE).least_px
    unknown = best_instance_rule(regions, HALF, ONE, usual=InstanceRule((0,), (0,)))
    assert unknown == best_instance_rule(regions, HALF, ONE)


def two_categories():
    """Return ground of houses of two categories in turn, wall to wall."""
    objects = houses()
    classes = np.where(objects, (objects - 1) % 2 + 1, 0).astype(np.uint8)
    first = perfect(objects)
    chances = [np.where(classes == k, 200, 10).astype(np.uint8) for k in (1, 2)]
    return ValidationRegion(np.stack([*chances, *first.planes[1:]]), objects, classes, first.known)


def test_categories_that_are_not_countable_have_no_quality():
    halves = (0.5, 0.5)
    region = two_categories()
    assert best_instance_rule([region], halves, np.array([True, False])).qualities == (1.0, None)
    assert best_instance_rule([region], halves, np.array([False, True])).qualities == (None, 1.0)
    assert best_instance_rule([region], halves, np.array([True, True])).qualities == (1.0, 1.0)


def test_specks_of_a_category_that_is_nowhere_are_left_out():
    region = perfect(houses(between=3))
    second = np.full((1, *region.objects.shape), 10, dtype=np.uint8)
    second[0, SIDE + 3, ::2] = 200
    region = replace(region, planes=np.concatenate([region.planes[:1], second, region.planes[1:]]))
    rule = best_instance_rule([region], (0.5, 0.5), np.array([True, True]))
    assert rule.qualities == (1.0, None)


def test_an_object_of_another_category_is_not_the_right_one():
    halves = (0.5, 0.5)
    region = two_categories()
    region.planes[:2, region.objects == 1] = [[10], [200]]  # the first house is said to be of 2
    rule = best_instance_rule([region], halves, np.array([True, True]))
    assert_alike(rule.qualities, [5 / (5 + 1 / 2), 6 / (6 + 1 / 2)])


def side_by_side(one, other):
    """Return two pieces of ground of one category as one, the second's of a second category."""
    count = one.objects.max()
    objects = np.hstack([one.objects, np.where(other.objects, other.objects + count, 0)])
    classes = np.hstack([one.classes, other.classes * np.uint8(2)])
    first, second = np.zeros((2, *objects.shape), dtype=np.uint8)
    width = one.objects.shape[1]
    first[:, :width], second[:, width:] = one.planes[0], other.planes[0]
    planes = np.stack([first, second, *np.concatenate([one.planes, other.planes], axis=2)[1:]])
    return ValidationRegion(planes, objects, classes, np.ones(objects.shape, dtype=bool))


def test_each_category_has_a_rule_of_its_own():
    """Roofs of the first have dents deeper than the walls between houses of the second."""
    dented, low = perfect(houses(6, 6)), perfect(houses(6, 6))
    middles = dented.planes[1] > 150
    dented.planes[1][middles & (np.indices(middles.shape).sum(axis=0) % 2 == 0)] -= 50
    low.planes[1] //= 5
    region = side_by_side(dented, low)
    rule = best_instance_rule([region], (0.5, 0.5), np.array([True, True]))
    assert rule.qualities == (1.0, 1.0)
    assert rule.depths[0] > 50 > 22 >= rule.depths[1]
    for depth in rule.depths:
        alike = replace(rule, depths=(depth, depth))
        assert min(slowly([region], (0.5, 0.5), np.array([True, True]), alike)) < 0.5


def test_ground_without_number_has_no_depth_and_no_specks():
    fields = perfect(houses(between=3))
    fields.planes[0, SIDE + 3, ::2] = 180
    region = side_by_side(perfect(houses(between=3)), fields)
    region.planes[2, ::2] = 0  # heights mean nothing there
    halves, countable = (0.5, 0.5), np.array([True, False])
    rule = best_instance_rule([region], halves, countable)
    assert rule.depths[1] == 0 < rule.depths[0]
    assert 1 < rule.least_px[1] < SIDE**2


def test_two_annotations_of_ground_that_touch_are_one_part_of_it():
    region = perfect(houses())
    rule = best_instance_rule([side_by_side(region, region)], (0.5, 0.5), np.array([True, False]))
    parts = _sizes(_reference(region, np.array([False])), region.classes)
    assert parts.tolist() == [[1], [12 * SIDE**2]]
    assert rule.least_px[1] <= 12 * SIDE**2


@settings(max_examples=25)
@given(st.integers(0, 9999), st.integers(1, 3), st.booleans())
def test_qualities_are_those_of_the_rule_on_any_ground(seed, count, both):
    rng = np.random.default_rng(seed)
    countable, given = np.array([True, both]), (0.5, 0.4)
    regions = []
    for _ in range(count):
        plain = two_categories()
        noise = rng.normal(0, rng.choice([5, 40, 90]), plain.planes.shape)
        planes = (plain.planes + noise).clip(0, 255).astype(np.uint8)
        known = np.kron(rng.random((10, 13)) < 0.9, np.ones((4, 4), dtype=bool))
        regions.append(ValidationRegion(planes, plain.objects, plain.classes, known))
    rule = best_instance_rule(regions, given, countable)
    assert_alike(rule.qualities, slowly(regions, given, countable, rule))
