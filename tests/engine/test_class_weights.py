"""How much a pixel of each class counts: more in rare categories, but within bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.learning.class_weights import MOST_WEIGHT, class_weights


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=9))
def test_rarer_categories_count_more_and_the_mean_pixel_as_before(counts):
    drawn = np.array(counts)
    weights = class_weights(drawn)
    assert (weights > 0.0).all()
    assert (weights * np.maximum(drawn, 1)).sum() == pytest.approx(
        np.maximum(drawn, 1).sum(), rel=1e-4
    )
    order = np.argsort(drawn[1:], kind="stable")
    assert (np.diff(weights[1:][order]) <= 1e-6).all()
    assert weights[1:].max() <= MOST_WEIGHT * weights[1:].min() * 1.0001


def test_one_category_is_left_to_the_dice_loss():
    assert class_weights(np.array([10**6, 10])).tolist() == pytest.approx([1.0, 1.0])


def test_weights_grow_by_the_root_of_rarity_up_to_ten_times():
    weights = class_weights(np.array([5000, 1000, 10, 0]))
    assert weights[0] == weights[1]
    assert weights[2] / weights[1] == pytest.approx(10.0)
    assert weights[3] / weights[1] == pytest.approx(MOST_WEIGHT)
