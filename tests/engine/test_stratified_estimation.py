"""Areas and accuracies from a sample: the paper's own example, edges, and coverage."""

from __future__ import annotations

import numpy as np
import pytest

from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.scoring.area_estimates import FIELDS, AreaEstimates
from deepseg_qgis.engine.scoring.sample_size import advised_size, allocated, expected_half_width
from deepseg_qgis.engine.scoring.stratified_estimation import StratifiedSample
from deepseg_qgis.errors import ParameterError

NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HA_PER_PIXEL = 0.09
PAPER = StratifiedSample(COUNTS, PIXELS / PIXELS.sum())
"""Olofsson et al. (2014), table 8."""


def test_overall_accuracy_is_that_of_the_paper() -> None:
    overall = PAPER.overall_accuracy
    assert (round(overall.value, 2), round(overall.half_width, 2)) == (0.95, 0.02)


@pytest.mark.parametrize(
    ("category", "users", "producers", "area_ha"),
    [
        (0, (0.88, 0.07), (0.75, 0.21), (21_158, 6_158)),
        (1, (0.73, 0.10), (0.85, 0.25), (11_686, 3_756)),
        (2, (0.93, 0.04), (0.93, 0.03), (285_770, 15_510)),
        (3, (0.96, 0.02), (0.96, 0.02), (581_386, 16_282)),
    ],
)
def test_categories_are_those_of_the_paper(category, users, producers, area_ha) -> None:
    of_users = PAPER.users_accuracy(category)
    assert (round(of_users.value, 2), round(of_users.half_width, 2)) == users
    of_producers = PAPER.producers_accuracy(category)
    assert of_producers is not None
    assert (of_producers.value, of_producers.half_width) == pytest.approx(producers, abs=0.0055)
    share, total_ha = PAPER.area_share(category), PIXELS.sum() * HA_PER_PIXEL
    assert round(share.value * total_ha) == area_ha[0]
    assert round(share.half_width * total_ha) == area_ha[1]
    for each in (of_users, of_producers, share):
        assert each.low < each.value < each.high


def test_the_error_matrix_is_that_of_the_paper() -> None:
    assert round(PAPER.area_share(0).value * PIXELS.sum()) == 235_086
    matrix = PAPER.error_matrix
    assert matrix.sum() == pytest.approx(1.0)
    assert np.round(matrix[0], 4).tolist() == [0.0176, 0.0, 0.0013, 0.0011]
    assert np.round(matrix[3], 3).tolist() == [0.004, 0.002, 0.018, 0.621]


def test_the_sample_size_is_that_of_the_paper() -> None:
    weights, accuracies = np.array([0.02, 0.015, 0.32, 0.645]), np.array([0.7, 0.6, 0.9, 0.95])
    assert advised_size(weights, accuracies, 1.96 * 0.01) == 641
    sizes = allocated(640, weights, 75)
    assert sizes.tolist() == [75, 75, 162, 328]
    assert 0.01 < expected_half_width(weights, accuracies, sizes) < 0.025


def test_points_are_shared_out_by_ground_and_none_gets_too_few() -> None:
    assert allocated(100, np.array([0.25, 0.75]), 2).tolist() == [25, 75]
    assert allocated(103, np.array([0.5, 0.5]), 50).sum() == 103
    assert allocated(150, np.array([0.01, 0.5, 0.49]), 50).tolist() == [50, 50, 50]
    with pytest.raises(ParameterError, match="sample size of 100 or more"):
        allocated(99, np.array([0.5, 0.5]), 50)


def test_a_map_without_errors_is_not_certain() -> None:
    sample = StratifiedSample(np.array([[50, 0], [0, 200]]), np.array([0.1, 0.9]))
    area = sample.area_share(0)
    assert area.value == pytest.approx(0.1)
    assert area.standard_error == 0.0
    assert area.low < 0.1 < area.high < 0.13
    producers = sample.producers_accuracy(0)
    assert producers is not None
    assert (producers.value, producers.high) == (1.0, 1.0)
    assert 0.5 < producers.low < 1.0


def test_a_category_that_is_nowhere() -> None:
    sample = StratifiedSample(np.array([[0, 50], [0, 200]]), np.array([0.1, 0.9]))
    assert sample.producers_accuracy(0) is None
    assert sample.area_share(0).value == sample.area_share(0).low == 0.0
    table = AreaEstimates.of(sample, [Category("a", "#000000")] * 2, [None, None]).table()
    assert set(table) == set(FIELDS)
    assert table["area_ha"] == [None, None]
    assert table["producers_accuracy"][0] is None
    never_found = StratifiedSample(np.array([[0, 50], [3, 197]]), np.array([0.1, 0.9]))
    producers = never_found.producers_accuracy(0)
    assert producers is not None
    assert producers.value == producers.low == 0.0 < producers.high


@pytest.mark.parametrize("counts", [[[1, 0], [0, 9]], [[3, 3, 3]]])
def test_what_is_no_sample_is_refused(counts) -> None:
    with pytest.raises(ValueError, match=r"points|fit"):
        StratifiedSample(np.array(counts), np.array([0.5, 0.5]))


def test_areas_of_few_points_get_a_note() -> None:
    categories = [Category(name, "#000000") for name in NAMES]
    estimates = AreaEstimates.of(PAPER, categories, (PIXELS * HA_PER_PIXEL * 1e4).tolist())
    notes = estimates.notes()
    assert len(notes) == 2
    assert "'deforestation' is known to within −17 and +48 %" in notes[0]
    assert all("'stable non-forest': draw more" in note for note in notes)
    assert estimates.table()["plus_minus_ha"][0] == pytest.approx(6157.6, abs=0.1)


def test_intervals_hold_the_truth() -> None:
    """As benchmarks/area_coverage.py, with fewer draws: rare errors are missed by ± 1.96 SE."""
    rng = np.random.default_rng(3)
    weights, truth = np.array([0.05, 0.95]), np.array([[0.8, 0.2], [0.01, 0.99]])
    area = float(weights @ truth[:, 0])
    held = plain = 0
    for _ in range(400):
        counts = np.array(
            [rng.multinomial(n, row) for n, row in zip((50, 196), truth, strict=True)]
        )
        share = StratifiedSample(counts, weights).area_share(0)
        held += share.low <= area <= share.high
        plain += abs(share.value - area) <= share.half_width
    assert 0.92 <= held / 400 <= 0.98
    assert plain / 400 < 0.90
