"""Panoptic quality is what the paper's definition gives, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deepseg_qgis.engine.scoring.confusion import ConfusionMatrix, Counts
from deepseg_qgis.engine.scoring.matches import Matches
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.objects import Objects
from deepseg_qgis.engine.scoring.panoptic import PanopticQuality, stuff_quality

SIDE = 6
CATEGORIES = 2
SEGMENTS = 5

labels = arrays.arrays(np.int64, (SIDE, SIDE), elements=st.integers(0, SEGMENTS))
kinds = st.lists(st.integers(0, CATEGORIES - 1), min_size=SEGMENTS, max_size=SEGMENTS)
ignored = st.lists(st.sampled_from([False, False, True]), min_size=SEGMENTS, max_size=SEGMENTS)


@st.composite
def pictures(draw):
    """Two labellings of the same pixels, alike more often than not: 0 is nothing, i segment i."""
    reference = draw(labels)
    changed = draw(
        arrays.arrays(bool, (SIDE, SIDE), elements=st.sampled_from([False] * 3 + [True]))
    )
    return np.where(changed, draw(labels), reference), reference


def objects(picture, categories, aside) -> Objects:
    """Return each segment as one multipolygon, whatever its pieces."""
    present = [i for i in range(1, SEGMENTS + 1) if (picture == i).any()]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    squares = shapely.box(columns, rows, columns + 1, rows + 1)
    return Objects(
        np.array([shapely.union_all(squares[picture == i]) for i in present], dtype=object),
        np.array([categories[i - 1] for i in present], dtype=np.int64),
        np.linspace(0.9, 0.1, len(present)),
        np.array([aside[i - 1] for i in present], dtype=bool),
    )


def by_definition(predicted, reference, category):
    """Return TP, FP, FN and the IoU sum of (picture, categories, ignored) on each side."""
    iou_sum, right, false = 0.0, 0, 0
    (said, our_kinds, our_aside), (there, their_kinds, their_aside) = predicted, reference
    ours = [i for i in np.unique(said[said > 0]) if our_kinds[i - 1] == category]
    theirs = [j for j in np.unique(there[there > 0]) if their_kinds[j - 1] == category]
    missed = {j for j in theirs if not their_aside[j - 1]}
    for i in ours:
        ious = {
            j: np.count_nonzero((said == i) & (there == j))
            / np.count_nonzero((said == i) | (there == j))
            for j in theirs
        }
        partner = next((j for j, iou in ious.items() if iou > 0.5), None)
        if partner is None:
            false += not our_aside[i - 1]
        elif partner in missed:
            missed.remove(partner)
            right += 1
            iou_sum += ious[partner]
    return Counts(right, false, len(missed)), iou_sum


@settings(max_examples=150, deadline=None)
@given(pictures(), kinds, kinds, st.booleans(), ignored, ignored)
def test_things_follow_the_definition(sides, our_kinds, their_kinds, same, ours, theirs):
    our_kinds = their_kinds if same else our_kinds
    predicted, reference = (sides[0], our_kinds, ours), (sides[1], their_kinds, theirs)
    matches = match(objects(*predicted), objects(*reference), CATEGORIES)
    for category in range(CATEGORIES):
        quality = matches.panoptic_quality(category)
        counts, iou_sum = by_definition(predicted, reference, category)
        assert quality.counts == counts
        assert quality.iou_sum == pytest.approx(iou_sum, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(pictures(), min_size=1, max_size=3), kinds)
def test_several_rasters_add_up(sides, categories):
    parts = [
        match(*(objects(side, categories, [False] * SEGMENTS) for side in pair), CATEGORIES)
        for pair in sides
    ]
    whole, single = (
        Matches.joined(parts).panoptic_quality(0),
        [part.panoptic_quality(0) for part in parts],
    )
    assert whole.iou_sum == pytest.approx(sum(each.iou_sum for each in single))
    for name in ("true_positive", "false_positive", "false_negative"):
        assert getattr(whole.counts, name) == sum(getattr(each.counts, name) for each in single)


@given(st.lists(pictures(), min_size=1, max_size=3), arrays.arrays(bool, (SIDE, SIDE)))
def test_a_region_is_one_segment_of_each_raster(sides, counted):
    """The pixels of a raster that count, as one object a side, are matched like things."""
    confusions, parts = [], []
    for said, there in sides:
        confusions.append(ConfusionMatrix(SEGMENTS))
        confusions[-1].add(there.astype(np.uint8), said.astype(np.uint8), counted)
        regions = [
            objects(np.where(counted, side, 0), range(SEGMENTS), [False] * SEGMENTS)
            for side in (said, there)
        ]
        parts.append(match(*regions, SEGMENTS))
    things = Matches.joined(parts)
    for category in range(SEGMENTS):
        found, expected = stuff_quality(confusions, category), things.panoptic_quality(category)
        assert found.counts == expected.counts
        assert found.iou_sum == pytest.approx(expected.iou_sum)


def boxes(*corners, scores=None):
    count = len(corners)
    return Objects(
        np.array([shapely.box(*each) for each in corners], dtype=object),
        np.zeros(count, dtype=np.int64),
        np.ones(count) if scores is None else np.array(scores),
        np.zeros(count, dtype=bool),
    )


def test_the_closest_pair_goes_first_whatever_the_scores():
    """Annotations that overlap may each share more than half with a prediction."""
    predicted = boxes((0, 0, 10, 8), (0, 0, 10, 10), scores=[0.9, 0.1])
    quality = match(predicted, boxes((0, 0, 10, 10), (0, 0, 10, 6)), 1).panoptic_quality(0)
    assert quality.counts == Counts(2, 0, 0)
    assert quality.iou_sum == pytest.approx(1.0 + 6 / 8)


def test_a_reference_that_counts_goes_before_a_closer_one_that_does_not():
    reference = replace(boxes((0, 0, 10, 10), (0, 0, 10, 8)), ignored=np.array([True, False]))
    quality = match(boxes((0, 0, 10, 10)), reference, 1).panoptic_quality(0)
    assert quality.counts == Counts(1, 0, 0)
    assert quality.iou_sum == pytest.approx(0.8)


def test_half_is_not_enough():
    quality = match(
        boxes((0, 0, 10, 5)), boxes((0, 0, 10, 10)), 1, iou_threshold=0.3
    ).panoptic_quality(0)
    assert quality.counts == Counts(0, 1, 1)
    assert (quality.pq, quality.sq, quality.rq) == (0.0, None, 0.0)


def test_a_strict_threshold_of_the_scores_does_not_matter():
    matches = match(boxes((0, 0, 10, 6)), boxes((0, 0, 10, 10)), 1, (0.9,), iou_threshold=0.9)
    assert matches.counts() == Counts(0, 1, 1)
    assert matches.panoptic_quality(0).pq == pytest.approx(0.6)


def test_quality_is_the_product_of_its_factors():
    quality = PanopticQuality(Counts(3, 1, 2), 2.4)
    assert (quality.sq, quality.rq) == pytest.approx((0.8, 3 / 4.5))
    assert quality.pq == pytest.approx(2.4 / (3 + 1 / 2 + 2 / 2))
    assert PanopticQuality(Counts(0, 0, 0), 0.0).pq is None
