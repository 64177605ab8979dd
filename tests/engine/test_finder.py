"""Objects out of cores: told apart, large enough, of the right category, whatever the grid."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.instances.finder import Finder, objects_at_once
from deepseg_qgis.engine.instances.watershed import instances_of
from deepseg_qgis.engine.legend.legend import InstanceRule
from deepseg_qgis.engine.vectorising.components import joined_components
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser

ORIGIN = (5, 7)
DEPTHS, LEAST_PX = (2, 0, 5), (1, 0, 3)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Have numba compile (or load) everything before Hypothesis looks at the clock."""
    for instance_rule in (None, InstanceRule(DEPTHS, LEAST_PX)):
        in_cores(*scene(0, (9, 9)), [4], [4], instance_rule)


def scene(seed, shape):
    """Return random (classes, probabilities, heights): patches of three classes, smooth bumps."""
    rng = np.random.default_rng(seed)
    side = rng.integers(1, 6)
    coarse = rng.integers(0, 4, (shape[0] // side + 1, shape[1] // side + 1))
    classes = np.kron(coarse, np.ones((side, side)))[: shape[0], : shape[1]].astype(np.uint8)
    probabilities = rng.integers(100, 256, shape).astype(np.uint8) * (classes > 0)
    field = rng.normal(size=shape)
    for axis in (0, 1):
        field = (np.roll(field, 1, axis) + 2 * field + np.roll(field, -1, axis)) / 4
    heights = (field - field.min()) / max(np.ptp(field), 1e-9) * 255
    return classes, probabilities.astype(np.uint8), heights.astype(np.uint8)


def in_cores(
    classes,
    probabilities,
    heights,
    rows,
    columns,
    instance_rule,
    options=PolygonOptions(),  # noqa: B008
):
    """Return the objects found with cores cut at these rows and columns, by first pixel."""
    row_ends = [0, *(each for each in rows if each < classes.shape[0]), classes.shape[0]]
    column_ends = [0, *(each for each in columns if each < classes.shape[1]), classes.shape[1]]
    found = []
    with Finder(Window(*ORIGIN, *classes.shape), instance_rule, options) as finder:
        for top, bottom in itertools.pairwise(row_ends):
            for left, right in itertools.pairwise(column_ends):
                core = Window(ORIGIN[0] + top, ORIGIN[1] + left, bottom - top, right - left)
                maps = [each[top:bottom, left:right] for each in (classes, probabilities, heights)]
                if not maps[0].any():
                    maps = [None, None, None]
                found.extend(finder.add(core, *maps))
        finder.check_complete()
    objects = joined_components(found)
    return objects.chosen(np.lexsort((objects.first_columns, objects.first_rows)))


def assert_equal(one, other):
    for name in ("classes", "sizes_px", "scores", "first_rows", "first_columns"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert [each.wkb for each in one.geometries] == [each.wkb for each in other.geometries]


def slowly(classes, probabilities, heights, instance_rule):
    """Return {first pixel: (category, size, score)} of all objects, by their definition."""
    all_of_it = np.zeros_like(heights)
    told = instances_of(classes, heights, instance_rule.depths)
    connected = instances_of(
        classes, all_of_it, [int(depth == 0) for depth in instance_rule.depths]
    )
    found = {}
    for labels in (told, connected):
        for number in range(1, labels.max(initial=0) + 1):
            rows, columns = np.nonzero(labels == number)
            if len(rows) >= instance_rule.least_px[classes[rows[0], columns[0]] - 1]:
                first = ORIGIN[0] + rows[0], ORIGIN[1] + columns[0]
                score = probabilities[rows, columns].sum() / 255 / len(rows)
                found[first] = (classes[rows[0], columns[0]], len(rows), pytest.approx(score))
    return found


def as_dict(objects):
    places = zip(objects.first_rows.tolist(), objects.first_columns.tolist(), strict=True)
    values = zip(objects.classes, objects.sizes_px, objects.scores, strict=True)
    return dict(zip(places, values, strict=True))


shapes = st.tuples(st.integers(1, 16), st.integers(1, 16))
cuts = st.lists(st.integers(1, 15), max_size=5, unique=True).map(sorted)
depths, least_px = st.sampled_from([0, 1, 5, 30, 120]), st.sampled_from([0, 1, 3, 10])
tellings = st.builds(InstanceRule, st.tuples(*[depths] * 3), st.tuples(*[least_px] * 3))


@settings(max_examples=60)
@given(st.integers(0, 9999), shapes, cuts, cuts, tellings)
def test_objects_are_those_of_the_definition_whatever_the_grid(
    seed, shape, rows, columns, instance_rule
):
    maps = scene(seed, shape)
    found = in_cores(*maps, rows, columns, instance_rule)
    assert as_dict(found) == slowly(*maps, instance_rule)
    assert_equal(found, objects_at_once(maps, Window(*ORIGIN, *shape), instance_rule))


@settings(max_examples=30)
@given(st.integers(0, 9999), cuts, cuts, tellings)
def test_simplified_outlines_do_not_show_the_grid_either(seed, rows, columns, instance_rule):
    maps, options = scene(seed, (16, 16)), PolygonOptions(1.0, 2.0)
    found = in_cores(*maps, rows, columns, instance_rule, options)
    assert_equal(found, in_cores(*maps, [], [], instance_rule, options))


@settings(max_examples=30)
@given(st.integers(0, 9999), shapes, cuts, cuts)
def test_without_telling_objects_are_connected_ground(seed, shape, rows, columns):
    classes, probabilities, heights = scene(seed, shape)
    region = Window(*ORIGIN, *shape)
    with Vectoriser(region, PolygonOptions()) as vectoriser:
        plain = vectoriser.add(region, classes, probabilities)
        vectoriser.check_complete()
    plain = plain.chosen(np.lexsort((plain.first_columns, plain.first_rows)))
    assert_equal(in_cores(classes, probabilities, heights, rows, columns, None), plain)
    assert_equal(objects_at_once((classes, probabilities, None), region, None), plain)


def test_two_houses_wall_to_wall_are_two_and_a_lake_with_two_bays_is_one():
    heights = np.array([[10, 90, 200, 90, 20, 90, 200, 90, 10]] * 5, dtype=np.uint8)
    classes = np.ones_like(heights)
    region = Window(0, 0, *heights.shape)
    maps = (classes, classes * 255, heights)
    houses = objects_at_once(maps, region, InstanceRule((50, 0), (0, 0)))
    assert houses.sizes_px.sum() == 45
    assert houses.classes.tolist() == [1, 1]
    both = (classes * 2, *maps[1:])
    lake = objects_at_once(both, region, InstanceRule((50, 0), (0, 0)))
    assert (lake.classes.tolist(), lake.sizes_px.tolist()) == ([2], [45])
    shallow = objects_at_once(maps, region, InstanceRule((190, 0), (0, 0)))
    assert shallow.sizes_px.tolist() == [45]


def test_objects_go_that_are_smaller_than_those_of_their_category():
    classes = np.zeros((8, 12), dtype=np.uint8)
    classes[1:3, 1:3], classes[1:4, 5:8] = 1, 1  # 4 and 9 px, countable
    classes[5:7, 1:3], classes[5:8, 5:8] = 2, 2
    maps = (classes, np.where(classes, 255, 0).astype(np.uint8), np.zeros_like(classes))

    def sizes(*least_px):
        instance_rule = InstanceRule((1, 0), least_px)
        found = objects_at_once(maps, Window(0, 0, 8, 12), instance_rule)
        return [(int(k), int(size)) for k, size in zip(found.classes, found.sizes_px, strict=True)]

    assert sizes(0, 0) == sizes(4, 4) == [(1, 4), (1, 9), (2, 4), (2, 9)]
    assert sizes(5, 0) == sizes(9, 4) == [(1, 9), (2, 4), (2, 9)]
    assert sizes(10, 5) == [(2, 9)]
    assert sizes(0, 10) == [(1, 4), (1, 9)]


@pytest.mark.parametrize("instance_rule", [None, InstanceRule((1,), (0,))])
def test_a_region_without_anything_gives_no_objects(instance_rule):
    empty = np.zeros((6, 6), dtype=np.uint8)
    assert len(objects_at_once((empty, empty, empty), Window(0, 0, 6, 6), instance_rule)) == 0


def test_without_objects_to_tell_apart_specks_are_left_out_all_the_same():
    maps = scene(3, (40, 40))
    every = objects_at_once(maps, Window(*ORIGIN, 40, 40), None)
    found = objects_at_once(maps, Window(*ORIGIN, 40, 40), InstanceRule((0, 0, 0), (1, 60, 40)))
    least = np.array([0, 1, 60, 40])[every.classes]
    assert 0 < len(found) < len(every)
    assert found.sizes_px.tolist() == every.sizes_px[every.sizes_px >= least].tolist()
