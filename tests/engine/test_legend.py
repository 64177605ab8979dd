"""The legend: categories, thresholds, what is countable, and the planes that go with them."""

import pytest

from deepseg_qgis.engine.legend.legend import (
    OBJECT_PLANES,
    Category,
    InstanceRule,
    Legend,
    check_threshold,
    task_of,
)
from deepseg_qgis.errors import ParameterError

CATEGORIES = (Category("house", "#ff0000"), Category("water", "#0000ff"))
SEMANTIC = Legend(CATEGORIES, (0.4, 0.5))
PANOPTIC = Legend(CATEGORIES, (0.4, 0.5), InstanceRule((58, 0), (30, 0)))


def test_without_a_rule_nothing_is_countable():
    assert SEMANTIC.countable == (False, False)
    assert SEMANTIC.planes == ("house", "water")
    assert not SEMANTIC.has_objects


def test_a_category_with_a_depth_is_countable():
    assert PANOPTIC.countable == (True, False)
    assert PANOPTIC.planes == ("house", "water", *OBJECT_PLANES)
    assert PANOPTIC.has_objects


def test_one_threshold_may_stand_for_all():
    assert PANOPTIC.with_threshold(0.7) == Legend(CATEGORIES, (0.7, 0.7), PANOPTIC.instance_rule)
    assert PANOPTIC.with_threshold(0.0).thresholds == (0.0, 0.0)
    assert PANOPTIC.with_threshold(None) == PANOPTIC


def test_the_task_in_one_word():
    assert task_of((True, True)) == "instance"
    assert task_of((True, False)) == "panoptic"
    assert task_of((False, False)) == "semantic"


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan")])
def test_a_threshold_is_from_0_to_1(threshold):
    with pytest.raises(ParameterError, match="from 0 to 1"):
        check_threshold(threshold)
