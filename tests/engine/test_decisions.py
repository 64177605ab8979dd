"""Decisions and thresholds, against a plain reading of their definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepseg_qgis.engine.inference.decisions import ThresholdSearch, as_levels, decide

probabilities = hnp.arrays(np.uint8, (3, 4, 5))
thresholds = st.tuples(*[st.floats(0.0, 1.0)] * 3)


@given(probabilities, thresholds)
def test_the_most_probable_category_that_reaches_its_threshold_wins(found, limits):
    classes, chosen = decide(found, as_levels(limits))
    for row, column in np.ndindex(4, 5):
        pixel = found[:, row, column]
        passing = [i for i in range(3) if pixel[i] >= round(limits[i] * 255, 6)]
        if not passing:
            assert classes[row, column] == 0
            continue
        best = max(passing, key=lambda i: (pixel[i], -i))
        assert classes[row, column] == best + 1
        assert chosen[row, column] == pixel[best]


def test_the_search_finds_the_threshold_that_separates():
    rng = np.random.default_rng(1)
    truth = (rng.random((100, 100)) < 0.3).astype(np.uint8)
    found = np.where(truth, 180, 120).astype(np.uint8)[None]
    search = ThresholdSearch(1)
    search.add(found, truth, np.ones_like(truth, dtype=bool))
    (threshold,), (iou,) = search.best()
    assert iou == 1.0
    assert 120 < as_levels((threshold,))[0] <= 180


def test_the_found_iou_is_what_deciding_gives():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, (60, 60)).astype(np.uint8)
    found = np.clip(truth * 60 + rng.integers(40, 190, truth.shape), 0, 255).astype(np.uint8)[None]
    search = ThresholdSearch(1)
    search.add(found, truth, np.ones_like(truth, dtype=bool))
    limits, (iou,) = search.best()
    classes, _ = decide(found, as_levels(limits))
    assert iou == ((classes == 1) & (truth == 1)).sum() / ((classes == 1) | (truth == 1)).sum()


def test_a_category_that_does_not_occur_has_no_score():
    search = ThresholdSearch(2)
    search.add(
        np.array([[[200]], [[0]]], dtype=np.uint8),
        np.array([[1]], dtype=np.uint8),
        np.array([[True]]),
    )
    limits, scores = search.best()
    assert scores[1] is None
    assert limits[1] == 0.5


def test_unknown_pixels_do_not_count():
    search = ThresholdSearch(1)
    search.add(
        np.full((1, 2, 2), 255, dtype=np.uint8),
        np.array([[1, 0], [0, 0]], dtype=np.uint8),
        np.array([[True, False], [False, False]]),
    )
    assert search.best()[1] == (1.0,)
