"""Objects that touch are kept apart, and the same whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepseg_qgis.engine.instances.basins import Basins, instances_of

COUNTABLE = np.array([True, True, False])
FOUR = ((0, 1), (1, 0), (0, -1), (-1, 0))


def reference(classes, heights, countable, depth):
    """Return instances by the definition, pixel by pixel: labels from 1 by first pixel."""
    rows, columns = classes.shape
    pixels = [
        (i, j)
        for i in range(rows)
        for j in range(columns)
        if classes[i, j] > 0 and countable[classes[i, j] - 1]
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
        if low != high and int(heights[low]) + order[0] < depth:
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


depths = st.sampled_from([1, 2, 3, 20, 90, 256])


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Have numba compile (or load) everything before Hypothesis looks at the clock."""
    some = np.array([[1, 0, 2], [1, 1, 2]], dtype=np.uint8)
    instances_of(some, some, COUNTABLE, 1)


@settings(max_examples=300)
@given(scenes(), depths)
def test_instances_are_those_of_the_definition(scene, depth):
    found = instances_of(*scene, COUNTABLE, depth)
    assert np.array_equal(found, reference(*scene, COUNTABLE, depth))


@given(scenes(), depths)
def test_each_instance_knows_its_highest_pixel(scene, depth):
    classes, heights = scene
    found = Basins(classes, heights, COUNTABLE).instances(depth)
    highest = [heights[found.labels == k + 1].max() for k in range(len(found.peaks))]
    assert found.peaks.tolist() == highest


@given(scenes())
def test_the_deepest_instances_are_the_connected_parts(scene):
    classes, _ = scene
    flat = np.zeros_like(classes)
    expected = reference(classes, flat, COUNTABLE, 1)
    assert np.array_equal(instances_of(*scene, COUNTABLE, 256), expected)
