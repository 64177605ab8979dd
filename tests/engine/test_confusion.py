"""Pixel counts are those that counting by hand gives, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deepseg_qgis.engine.scoring.confusion import ConfusionMatrix, Counts
from deepseg_qgis.errors import ParameterError

CATEGORIES = 3
SHAPE = (7, 9)

classes = arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, CATEGORIES))
masks = arrays.arrays(bool, SHAPE)


@given(classes, classes, masks)
def test_counts_are_those_of_sets_of_pixels(reference, predicted, counted):
    confusion = ConfusionMatrix(CATEGORIES)
    confusion.add(reference, predicted, counted)
    assert confusion.matrix.dtype == np.int64
    assert confusion.matrix.sum() == counted.sum()
    for category in range(CATEGORIES):
        there = set(np.flatnonzero((reference == category + 1) & counted))
        said = set(np.flatnonzero((predicted == category + 1) & counted))
        counts = confusion.counts(category)
        assert counts == Counts(len(there & said), len(said - there), len(there - said))
        assert counts.iou == (len(there & said) / len(there | said) if there | said else None)
        assert counts.recall == (len(there & said) / len(there) if there else None)
        assert counts.precision == (len(there & said) / len(said) if said else None)


@given(classes, classes, masks, st.integers(0, SHAPE[0]))
def test_blocks_add_up_to_the_whole(reference, predicted, counted, cut):
    whole, blocks = ConfusionMatrix(CATEGORIES), ConfusionMatrix(CATEGORIES)
    whole.add(reference, predicted, counted)
    for part in (slice(None, cut), slice(cut, None)):
        blocks.add(reference[part], predicted[part], counted[part])
    np.testing.assert_array_equal(whole.matrix, blocks.matrix)


def test_rows_are_the_reference_and_columns_the_prediction():
    confusion = ConfusionMatrix(2)
    confusion.add(np.uint8([[1, 1, 2]]), np.uint8([[1, 2, 0]]), np.ones((1, 3), dtype=bool))
    assert confusion.matrix.tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert confusion.pixel_accuracy == pytest.approx(1 / 3)


def test_mean_iou_leaves_out_background_and_what_does_not_occur():
    confusion = ConfusionMatrix(3)
    confusion.add(np.uint8([0, 0, 1, 1, 0]), np.uint8([0, 0, 1, 0, 3]), np.ones(5, dtype=bool))
    assert [confusion.counts(i).iou for i in range(3)] == [0.5, None, 0.0]
    assert confusion.mean_iou == 0.25


def test_nothing_counted_gives_no_numbers_at_all():
    confusion = ConfusionMatrix(1)
    assert confusion.pixel_accuracy is None
    assert confusion.mean_iou is None
    assert Counts(0, 0, 0).f1 is None
    assert Counts(0, 0, 5).f1 == 0.0


def test_dice_follows_from_iou():
    counts = Counts(6, 3, 2)
    assert counts.f1 == pytest.approx(2 * counts.iou / (1 + counts.iou))


def test_a_class_that_does_not_exist_is_refused_instead_of_counted_elsewhere():
    with pytest.raises(ParameterError, match="found class 3"):
        ConfusionMatrix(2).add(np.uint8([0]), np.uint8([3]), np.ones(1, dtype=bool))


def test_the_highest_number_of_categories_fits():
    confusion = ConfusionMatrix(255)
    confusion.add(np.uint8([255]), np.uint8([255]), np.ones(1, dtype=bool))
    assert confusion.matrix[255, 255] == 1
    with pytest.raises(ParameterError, match="256"):
        ConfusionMatrix(256)
