"""Objects that touch are kept apart, and the same whatever the blocks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.instances.splitter import MOST_BYTES, Splitter
from deepseg_qgis.engine.instances.watershed import Watershed, instances_of
from deepseg_qgis.engine.vectorising.components import joined_components
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import Vectoriser
from deepseg_qgis.errors import ParameterError

ALL = (1,) * 255
ORIGIN = (5, 7)
FOUR = ((0, 1), (1, 0), (0, -1), (-1, 0))


def depths_of(depth):
    """Return one depth for two categories; the third is not countable."""
    return depth, depth, 0


def reference(classes, heights, depths):
    """Return instances by the definition, pixel by pixel: labels from 1 by first pixel."""
    rows, columns = classes.shape
    pixels = [
        (i, j)
        for i in range(rows)
        for j in range(columns)
        if classes[i, j] > 0 and depths[classes[i, j] - 1]
    ]

    def neighbours(i, j):
        for di, dj in FOUR:
            k, m = i + di, j + dj
            if 0 <= k < rows and 0 <= m < columns and classes[k, m] == classes[i, j]:
                yield k, m

    def rank(pixel):
        return (int(heights[pixel]), *pixel)

    peak_of = {}
    for pixel in pixels:
        at = pixel
        while (step := max([at, *neighbours(*at)], key=rank)) != at:
            at = step
        peak_of[pixel] = at
    passes = {}
    for one in pixels:
        for other in neighbours(*one):
            if one < other and peak_of[one] != peak_of[other]:
                pair = frozenset((peak_of[one], peak_of[other]))
                # the higher first, then the first place, then the right neighbour
                order = (-min(int(heights[one]), int(heights[other])), one, other[0] > one[0])
                passes[pair] = min(passes.get(pair, order), order)
    parents = {peak: peak for peak in peak_of.values()}

    def root(peak):
        return peak if parents[peak] == peak else root(parents[peak])

    for pair, order in sorted(passes.items(), key=lambda item: item[1]):
        low, high = sorted((root(peak) for peak in pair), key=rank)
        if low != high and int(heights[low]) + order[0] < depths[classes[low] - 1]:
            parents[low] = high
    labels = np.zeros(classes.shape, dtype=np.int32)
    numbers = {}
    for pixel in pixels:
        labels[pixel] = numbers.setdefault(root(peak_of[pixel]), len(numbers) + 1)
    return labels


def bumps(shape, seed, scale):
    """Return smooth random heights, as of houses side by side."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=shape)
    for axis in (0, 1):
        for _ in range(scale):
            field = (np.roll(field, 1, axis) + 2 * field + np.roll(field, -1, axis)) / 4
    field -= field.min()
    return (field * (255 / max(field.max(), 1e-9))).astype(np.uint8)


@st.composite
def scenes(draw):
    """Draw (classes, heights): noise with few or many levels, or smooth bumps."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=18))
    most = draw(st.sampled_from([1, 2, 3]))
    share = draw(st.sampled_from([0, 1, 3]))
    kinds = [0, *(k for k in range(1, most + 1) for _ in range(share + 1))]
    classes = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from(kinds)))
    if draw(st.booleans()):  # coarser, so that objects are larger than a pixel or two
        classes = np.kron(classes, np.ones((3, 3), np.uint8))[: shape[0], : shape[1]].copy()
    kind = draw(st.sampled_from(["levels", "noise", "bumps"]))
    if kind == "bumps":
        return classes, bumps(shape, draw(st.integers(0, 999)), draw(st.integers(1, 6)))
    top = 3 if kind == "levels" else 255
    return classes, draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, top)))


cuts = st.lists(st.integers(1, 17), max_size=6, unique=True).map(sorted)
every_pixel = st.just(list(range(1, 18)))
some_depth = st.sampled_from([1, 2, 3, 20, 90, 256])
depths = st.tuples(some_depth, some_depth, st.just(0))


def cores(shape, rows, columns):
    """Yield the windows of a grid that is cut at these rows and columns."""
    row_ends = [0, *(each for each in rows if each < shape[0]), shape[0]]
    column_ends = [0, *(each for each in columns if each < shape[1]), shape[1]]
    for top, bottom in itertools.pairwise(row_ends):
        for left, right in itertools.pairwise(column_ends):
            yield Window(ORIGIN[0] + top, ORIGIN[1] + left, bottom - top, right - left)


def in_cores(classes, heights, depths, rows, columns, spool_bytes=MOST_BYTES):
    """Return all that a splitter gives for a grid: slots, categories, splits, bytes spilled."""
    region = Window(*ORIGIN, *classes.shape)
    probabilities = (classes * 51 + heights // 4).astype(np.uint8) * (classes > 0)
    splits = []
    with Splitter(region, depths, spool_bytes) as splitter:
        for core in cores(classes.shape, rows, columns):
            inside = core.within(region)
            planes = (classes[inside], probabilities[inside], heights[inside])
            empty = not classes[inside].any()
            splits.extend(splitter.add(core, *((None,) * 3 if empty else planes)))
            assert splitter.held_bytes <= spool_bytes
        splitter.check_complete()
        categories, spilled = splitter.categories, splitter.spilled_bytes
    slots, seen = np.zeros_like(classes), np.zeros(classes.shape, dtype=int)
    for split in splits:
        inside = split.core.within(region)
        seen[inside] += 1
        if split.classes is not None:
            slots[inside] = split.classes
            assert np.array_equal(split.probabilities, probabilities[inside])
    assert (seen == 1).all()
    return slots, categories, splits, spilled


def connected(slots):
    """Return the 4-connected parts of equal slots, from 1 by first pixel."""
    return instances_of(slots, np.zeros_like(slots), ALL)


def corner_pairs(values):
    """Return the values on both sides of every corner that two pixels share."""
    falling = values[:-1, :-1].ravel(), values[1:, 1:].ravel()
    rising = values[1:, :-1].ravel(), values[:-1, 1:].ravel()
    return np.concatenate([falling, rising], axis=1)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Have numba compile (or load) everything before Hypothesis looks at the clock."""
    some = np.array([[1, 0, 2], [1, 1, 2]], dtype=np.uint8)
    in_cores(some, some, depths_of(1), [1], [1])


@settings(max_examples=300)
@given(scenes(), depths)
def test_instances_are_those_of_the_definition(scene, depths):
    found = instances_of(*scene, depths)
    assert np.array_equal(found, reference(*scene, depths))


@given(scenes(), depths)
def test_each_instance_knows_its_highest_pixel(scene, depths):
    classes, heights = scene
    found = Watershed(classes, heights, (True, True, False)).instances(depths)
    highest = [heights[found.labels == k + 1].max() for k in range(len(found.peaks))]
    assert found.peaks.tolist() == highest


@given(scenes())
def test_the_deepest_instances_are_the_connected_parts(scene):
    classes, _ = scene
    flat = np.zeros_like(classes)
    expected = reference(classes, flat, depths_of(1))
    assert np.array_equal(instances_of(*scene, depths_of(256)), expected)


@settings(max_examples=300)
@given(scenes(), depths, cuts | every_pixel, cuts | every_pixel)
def test_cores_do_not_show_in_the_instances(scene, depths, rows, columns):
    classes, heights = scene
    slots, categories, _, _ = in_cores(classes, heights, depths, rows, columns)
    assert np.array_equal(categories[slots], classes)
    assert np.array_equal(slots[classes == 3], classes[classes == 3])
    expected = instances_of(classes, heights, depths)
    assert np.array_equal(connected(np.where(classes == 3, 0, slots)), expected)
    one, other = corner_pairs(expected)
    kind, other_kind = corner_pairs(classes)
    slot, other_slot = corner_pairs(slots)
    apart = (one != other) & (one > 0) & (kind == other_kind)
    assert (slot[apart] != other_slot[apart]).all()


@given(scenes(), depths, cuts, cuts)
def test_a_file_changes_nothing(scene, depths, rows, columns):
    kept = in_cores(*scene, depths, rows, columns)
    spilled = in_cores(*scene, depths, rows, columns, spool_bytes=0)
    assert np.array_equal(kept[0], spilled[0])
    assert kept[3] == 0
    assert spilled[3] > 0


@settings(max_examples=50)
@given(scenes(), depths, cuts, cuts)
def test_polygons_of_slots_are_the_instances(scene, depths, rows, columns):
    classes, heights = scene
    _, categories, splits, _ = in_cores(classes, heights, depths, rows, columns)
    with Vectoriser(Window(*ORIGIN, *classes.shape), PolygonOptions()) as vectoriser:
        found = [vectoriser.add(each.core, each.classes, each.probabilities) for each in splits]
        vectoriser.check_complete()
    objects = joined_components(found)
    objects = objects.chosen(np.lexsort((objects.first_columns, objects.first_rows)))
    objects = objects.chosen(categories[objects.classes] != 3)
    expected = instances_of(classes, heights, depths)
    numbers, firsts, sizes = np.unique(expected, return_index=True, return_counts=True)
    assert np.array_equal(objects.sizes_px, sizes[numbers > 0])
    rows, columns = np.divmod(firsts[numbers > 0], classes.shape[1])
    assert np.array_equal(objects.first_rows, rows + ORIGIN[0])
    assert np.array_equal(objects.first_columns, columns + ORIGIN[1])


def houses(side, pitch):
    """Return a town of square houses, wall to wall, each highest in its middle."""
    place = np.arange(side) % pitch
    edge = np.minimum(place, pitch - 1 - place)
    heights = (np.add.outer(edge, edge) * 10).astype(np.uint8)
    return np.ones((side, side), dtype=np.uint8), heights


def test_houses_wall_to_wall_are_counted_in_any_blocks():
    classes, heights = houses(60, 12)
    for size in (7, 12, 25, 60):
        at = list(range(size, 60, size))
        slots, _, _, _ = in_cores(classes, heights, depths_of(20), at, at)
        sizes = np.unique(connected(slots), return_counts=True)[1]
        assert sizes.tolist() == [144] * 25
    assert connected(in_cores(classes, heights, depths_of(60), [20], [20])[0]).max() == 1


def test_a_saddle_as_deep_as_asked_for_keeps_apart():
    classes = np.ones((1, 5), dtype=np.uint8)
    heights = np.array([[50, 30, 10, 20, 40]], dtype=np.uint8)
    assert instances_of(classes, heights, depths_of(30)).max() == 2
    assert instances_of(classes, heights, depths_of(31)).max() == 1


def spiral(side):
    """Return a spiral one pixel wide: one object that winds through all blocks many times."""
    classes = np.zeros((side, side), dtype=np.uint8)
    for k in range(0, side // 2, 2):
        classes[k, max(0, k - 2) : side - k] = 1
        classes[k : side - k, side - k - 1] = 1
        classes[side - k - 1, k : side - k] = 1
        classes[k + 2 : side - k, k] = 1
    return classes


def comb(side):
    """Return a comb, whose teeth hang together at the very end of the raster."""
    classes = np.zeros((side, side), dtype=np.uint8)
    classes[:, ::2] = 1
    classes[-1] = 1
    return classes


@pytest.mark.parametrize("classes", [spiral(62), comb(62), comb(62).T.copy()])
@pytest.mark.parametrize("depth", [1, 40, 256])
def test_objects_that_wind_through_all_blocks(classes, depth):
    heights = bumps(classes.shape, 3, 5)
    at = list(range(5, 62, 5))
    depths = depths_of(depth)
    slots, _, _, _ = in_cores(classes, heights, depths, at, at)
    assert np.array_equal(connected(slots), instances_of(classes, heights, depths))


def test_settled_cores_come_at_once_and_clusters_are_forgotten():
    classes, heights = houses(600, 4)  # 22,500 houses
    region = Window(*ORIGIN, *classes.shape)
    slots = np.zeros_like(classes)
    with Splitter(region, depths_of(5)) as splitter:
        for number, core in enumerate(cores(classes.shape, range(20, 600, 20), [])):
            inside = core.within(region)
            given = (classes[inside], classes[inside], heights[inside])
            for split in splitter.add(core, *given):
                slots[split.core.within(region)] = split.classes
            # all but what the next row of cores may still change
            assert slots[: max(0, 20 * number - 1)].all()
            assert len(splitter._clusters) < 12_000
    assert np.array_equal(connected(slots), instances_of(classes, heights, depths_of(5)))


def test_too_many_slots_are_an_error_that_says_what_to_do():
    classes, heights = houses(30, 6)
    with pytest.raises(ParameterError, match="254 categories"):
        in_cores(classes, heights, (5,) * 254, [], [])


def test_what_is_not_read_at_once_is_not_lost():
    classes, heights = houses(24, 6)
    region = Window(*ORIGIN, *classes.shape)
    with Splitter(region, depths_of(5)) as splitter:
        given = [
            splitter.add(
                core, *(plane[core.within(region)] for plane in (classes, classes, heights))
            )
            for core in cores(classes.shape, [6, 12, 18], [12])
        ]
        splits = list(itertools.chain.from_iterable(given))
    assert sum(split.classes.size for split in splits) == classes.size


def test_without_heights_objects_are_the_connected_parts():
    classes = spiral(20) * np.uint8(2)
    region = Window(*ORIGIN, *classes.shape)
    with Splitter(region, depths_of(1)) as splitter:
        (split,) = splitter.add(region, classes, classes, None)
    assert np.array_equal(split.classes, classes)
