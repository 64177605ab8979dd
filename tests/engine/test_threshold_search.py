"""The search for thresholds, against a plain reading of what it looks for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.learning.threshold_search import (
    FEWEST_PLACES,
    GROUPS,
    ThresholdSearch,
    standard_errors,
)
from deepseg_qgis.engine.legend.decisions import as_levels, decide

LEVELS = range(26, 231)
"""A tenth to nine tenths, in 1/255."""


def iou_at(level, pieces):
    """Return the IoU of category 1 at a threshold over (found, truth) pieces."""
    both = sum(int(((found >= level) & (reference == 1)).sum()) for found, reference in pieces)
    either = sum(int(((found >= level) | (reference == 1)).sum()) for found, reference in pieces)
    return both / either if either else 0.0


def plainest(pieces):
    """Return the level that is looked for, by leaving out one piece after the other."""
    best = max(LEVELS, key=lambda level: iou_at(level, pieces))
    errors = standard_errors(len(pieces)) if len(pieces) >= FEWEST_PLACES else None
    good = []
    for level in LEVELS:
        lost = []
        for left_out in range(len(pieces)):
            rest = pieces[:left_out] + pieces[left_out + 1 :]
            lost.append(iou_at(best, rest) - iou_at(level, rest))
        error = ((len(lost) - 1) / len(lost) * sum((x - np.mean(lost)) ** 2 for x in lost)) ** 0.5
        enough = 2 * iou_at(level, pieces) >= iou_at(best, pieces)
        lower = iou_at(best, pieces) - iou_at(level, pieces)
        if enough and (errors is None or lower <= errors * error + 1e-12):
            good.append(level)
    return min(good, key=lambda level: abs(level - 127.5))


def test_the_search_finds_the_threshold_that_separates():
    rng = np.random.default_rng(1)
    reference = (rng.random((100, 100)) < 0.3).astype(np.uint8)
    found = np.where(reference, 180, 120).astype(np.uint8)[None]
    search = ThresholdSearch(1)
    search.add(found, reference, np.ones_like(reference, dtype=bool), 0)
    (threshold,), (iou,) = search.best()
    assert iou == 1.0
    assert 120 < as_levels((threshold,))[0] <= 180


@given(st.integers(0, 9999), st.integers(1, 9))
def test_the_plainest_of_the_best_is_chosen(seed, count):
    rng = np.random.default_rng(seed)
    search, pieces = ThresholdSearch(1), []
    for number in range(count):
        reference = (rng.random(40) < rng.uniform(0.2, 0.8)).astype(np.uint8)
        found = rng.normal(rng.normal(120, 30), 20, 40)
        found = np.where(reference, found + rng.uniform(0, 80), found).clip(0, 255).astype(np.uint8)
        search.add(found[None], reference, np.ones(40, dtype=bool), number)
        pieces.append((found, reference))
    if any((reference == 1).any() for _, reference in pieces):
        (threshold,), (iou,) = search.best()
        assert as_levels((threshold,))[0] == plainest(pieces)
        assert iou == iou_at(plainest(pieces), pieces)


def test_chance_does_not_choose_but_what_all_ground_says_does():
    rng = np.random.default_rng(4)
    chance, sure = ThresholdSearch(1), ThresholdSearch(1)
    for number in range(12):
        reference = (rng.random(400) < 0.5).astype(np.uint8)
        wide = np.where(reference, 200, 50) + rng.normal(
            0, 30, 400
        )  # anything from 90 to 160 will do
        high = np.where(reference, 240, 170) + rng.normal(0, 5, 400)
        for search, found in ((chance, wide), (sure, high)):
            planes = found.clip(0, 255).astype(np.uint8)[None]
            search.add(planes, reference, np.ones(400, dtype=bool), number)
    assert abs(chance.best()[0][0] - 0.5) < 0.03
    assert 0.7 < sure.best()[0][0] < 0.9


@pytest.mark.parametrize(("groups", "printed"), [(6, 2.57), (12, 2.20), (17, 2.12), (32, 2.04)])
def test_standard_errors_are_those_of_printed_tables(groups, printed):
    assert standard_errors(groups) == printed


def test_a_few_pieces_must_agree_well_to_leave_the_half():
    """The same lean towards a high threshold, in six pieces and in thirty."""
    chosen = {}
    for count in (6, 30):
        search = ThresholdSearch(1)
        for number in range(count):
            reference = np.repeat([1, 0], [100, 100]).astype(np.uint8)
            found = np.where(reference, 220, 20).astype(np.uint8)
            found[100 : 100 + (60, 10, 2)[number % 3]] = 160
            search.add(found[None], reference, np.ones(200, dtype=bool), number)
        chosen[count] = search.best()[0][0]
    assert abs(chosen[6] - 0.5) < 0.01
    assert chosen[30] > 0.6


def test_pieces_of_one_place_are_one_witness():
    """Twelve pieces that say the same count for no more than one if they lie side by side."""
    reference = np.repeat([1, 0], [100, 100]).astype(np.uint8)
    found = np.repeat([220, 160, 20], [100, 20, 80]).astype(np.uint8)
    apart, together = ThresholdSearch(1), ThresholdSearch(1)
    for number in range(12):
        apart.add(found[None], reference, np.ones(200, dtype=bool), number)
        together.add(found[None], reference, np.ones(200, dtype=bool), "here")
    assert apart.best()[0][0] > 0.6
    assert abs(together.best()[0][0] - 0.5) < 0.01


def test_where_the_half_is_of_no_use_even_one_piece_moves_it():
    reference = np.repeat([1, 0], [100, 100]).astype(np.uint8)
    search = ThresholdSearch(1)
    found = np.where(reference, 100, 20).astype(np.uint8)  # a network that is unsure of everything
    search.add(found[None], reference, np.ones(200, dtype=bool), 0)
    assert search.best() == ((100 / 255,), (1.0,))


def test_more_pieces_than_groups_count_alike():
    rng = np.random.default_rng(5)
    reference = (rng.random((3 * GROUPS, 50)) < 0.5).astype(np.uint8)
    found = np.where(reference, 150, 90) + rng.integers(-40, 40, reference.shape)
    search = ThresholdSearch(1)
    for number, (one, other) in enumerate(zip(found.astype(np.uint8), reference, strict=True)):
        search.add(one[None], other, np.ones(50, dtype=bool), number)
        search.add(one[None], other, np.zeros(50, dtype=bool), -1)  # nothing known: no piece at all
    (threshold,), (iou,) = search.best()
    assert iou == iou_at(as_levels((threshold,))[0], [(found, reference)])


def test_the_found_iou_is_what_deciding_gives():
    rng = np.random.default_rng(2)
    reference = rng.integers(0, 2, (60, 60)).astype(np.uint8)
    found = np.clip(reference * 60 + rng.integers(40, 190, reference.shape), 0, 255).astype(
        np.uint8
    )[None]
    search = ThresholdSearch(1)
    search.add(found, reference, np.ones_like(reference, dtype=bool), 0)
    limits, (iou,) = search.best()
    classes, _ = decide(found, as_levels(limits))
    assert (
        iou == ((classes == 1) & (reference == 1)).sum() / ((classes == 1) | (reference == 1)).sum()
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 12))
def test_among_many_categories_the_plain_threshold_leaves_their_ground_to_them(seed, count):
    """A network that knows how unsure it is: argmax with background is the best it can do.

    A threshold of a half would call most of this ground background, and one place is too few to
    say that another one is better.
    """
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(count + 1, 0.5), 2000)  # background first
    shares[:1000, 0] *= 0.05
    shares[1000:, 0] += 2.0
    shares /= shares.sum(axis=1, keepdims=True)
    planes = np.round(shares[:, 1:].T * 255).astype(np.uint8)[:, None]
    reference = (shares.cumsum(axis=1) < rng.random((2000, 1))).sum(axis=1).astype(np.uint8)[None]
    search = ThresholdSearch(count)
    search.add(planes, reference, np.ones_like(reference, dtype=bool), 0)
    limits, _ = search.best()
    classes, _ = decide(planes, as_levels(limits))
    assert (classes[0] > 0)[:1000].mean() > 0.9
    assert (classes[0] > 0)[1000:].mean() < 0.1


@given(st.integers(0, 9999))
def test_a_single_category_has_the_half_for_its_plain_threshold(seed):
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 256, (1, 1, rng.integers(1, 500))).astype(np.uint8)
    search = ThresholdSearch(1)
    search.add(found, np.zeros(found.shape[1:], np.uint8), np.ones(found.shape[1:], bool), 0)
    assert search.best()[0] == (0.5,)


def test_a_category_that_does_not_occur_has_no_score():
    search = ThresholdSearch(2)
    search.add(
        np.array([[[200]], [[0]]], dtype=np.uint8),
        np.array([[1]], dtype=np.uint8),
        np.array([[True]]),
        0,
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
        0,
    )
    assert search.best()[1] == (1.0,)
