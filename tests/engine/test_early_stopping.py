"""Which epoch is kept, and when training stops early."""

import pytest

from deepseg_qgis.engine.learning.early_stopping import AS_GOOD, EpochSelection


def kept(scores):
    """Return which of the epochs with these scores are kept."""
    selection = EpochSelection(None)
    return [selection.add(score) for score in scores]


def test_an_epoch_is_kept_if_it_is_nearly_as_good_as_the_best_before():
    assert kept([0.2, 0.6, 0.3, 0.58, 0.5]) == [True, True, False, True, False]
    assert kept([0.8, 0.8 * AS_GOOD, 0.8 * AS_GOOD - 1e-9]) == [True, True, False]


def test_the_first_epoch_is_kept_whatever_its_score():
    assert kept([None, None, 0.1, None]) == [True, True, True, False]


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_counts_epochs_since_the_best(patience):
    selection = EpochSelection(patience)
    for score in (0.3, 0.5):
        selection.add(score)
        assert not selection.is_out_of_patience
    for epoch in range(patience):
        assert not selection.is_out_of_patience
        selection.add(0.5 - epoch / 100)  # as good is no improvement
    assert selection.is_out_of_patience


@pytest.mark.parametrize("patience", [None, 0])
def test_without_patience_training_never_stops_early(patience):
    selection = EpochSelection(patience)
    for _ in range(50):
        selection.add(0.0)
        assert not selection.is_out_of_patience
