"""The search for thresholds, against a plain reading of what it looks for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.inference.decisions import as_levels, decide
from deepseg_qgis.engine.learning.threshold_search import ERRORS, GROUPS, ThresholdSearch

LEVELS = range(26, 231)
"""A tenth to nine tenths, in 1/255."""


def iou_at(level, pieces):
    """Return the IoU of category 1 at a threshold over (found, truth) pieces."""
    both = sum(int(((found >= level) & (truth == 1)).sum()) for found, truth in pieces)
    either = sum(int(((found >= level) | (truth == 1)).sum()) for found, truth in pieces)
    return both / either if either else 0.0


def plainest(pieces):
    """Return the level that is looked for, by leaving out one piece after the other."""
    best = max(LEVELS, key=lambda level: iou_at(level, pieces))
    good = []
    for level in LEVELS:
        lost = []
        for left_out in range(len(pieces)):
            rest = pieces[:left_out] + pieces[left_out + 1 :]
            lost.append(iou_at(best, rest) - iou_at(level, rest))
        error = ((len(lost) - 1) / len(lost) * sum((x - np.mean(lost)) ** 2 for x in lost)) ** 0.5
        if iou_at(best, pieces) - iou_at(level, pieces) <= ERRORS * error + 1e-12:
            good.append(level)
    return min(good, key=lambda level: abs(level - 127.5))


def test_the_search_finds_the_threshold_that_separates():
    rng = np.random.default_rng(1)
    truth = (rng.random((100, 100)) < 0.3).astype(np.uint8)
    found = np.where(truth, 180, 120).astype(np.uint8)[None]
    search = ThresholdSearch(1)
    search.add(found, truth, np.ones_like(truth, dtype=bool))
    (threshold,), (iou,) = search.best()
    assert iou == 1.0
    assert 120 < as_levels((threshold,))[0] <= 180


@given(st.integers(0, 9999), st.integers(1, 6))
def test_the_plainest_of_the_best_is_chosen(seed, count):
    rng = np.random.default_rng(seed)
    search, pieces = ThresholdSearch(1), []
    for _ in range(count):
        truth = (rng.random(40) < rng.uniform(0.2, 0.8)).astype(np.uint8)
        found = rng.normal(rng.normal(120, 30), 20, 40)
        found = np.where(truth, found + rng.uniform(0, 80), found).clip(0, 255).astype(np.uint8)
        search.add(found[None], truth, np.ones(40, dtype=bool))
        pieces.append((found, truth))
    if any((truth == 1).any() for _, truth in pieces):
        (threshold,), (iou,) = search.best()
        assert as_levels((threshold,))[0] == plainest(pieces)
        assert iou == iou_at(plainest(pieces), pieces)


def test_chance_does_not_choose_but_what_all_ground_says_does():
    rng = np.random.default_rng(4)
    chance, sure = ThresholdSearch(1), ThresholdSearch(1)
    for _ in range(12):
        truth = (rng.random(400) < 0.5).astype(np.uint8)
        wide = np.where(truth, 200, 50) + rng.normal(0, 30, 400)  # anything from 90 to 160 will do
        high = np.where(truth, 240, 170) + rng.normal(0, 5, 400)
        for search, found in ((chance, wide), (sure, high)):
            planes = found.clip(0, 255).astype(np.uint8)[None]
            search.add(planes, truth, np.ones(400, dtype=bool))
    assert abs(chance.best()[0][0] - 0.5) < 0.03
    assert 0.7 < sure.best()[0][0] < 0.9


def test_more_pieces_than_groups_count_alike():
    rng = np.random.default_rng(5)
    truth = (rng.random((3 * GROUPS, 50)) < 0.5).astype(np.uint8)
    found = np.where(truth, 150, 90) + rng.integers(-40, 40, truth.shape)
    search = ThresholdSearch(1)
    for one, other in zip(found.astype(np.uint8), truth, strict=True):
        search.add(one[None], other, np.ones(50, dtype=bool))
        search.add(one[None], other, np.zeros(50, dtype=bool))  # nothing known: no piece at all
    (threshold,), (iou,) = search.best()
    assert iou == iou_at(as_levels((threshold,))[0], [(found, truth)])


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
