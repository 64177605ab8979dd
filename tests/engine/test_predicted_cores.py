"""What a model's planes decide: classes, what scores them, and heights."""

import numpy as np

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import decide_core
from deepseg_qgis.engine.legend.decisions import as_levels, decide_known
from deepseg_qgis.engine.legend.legend import Category, InstanceRule, Legend

CORE = Window(3, 4, 6, 7)
CATEGORIES = (Category("house", "#ff0000"), Category("water", "#0000ff"))
THRESHOLDS = 0.4, 0.5
LEVELS = as_levels(THRESHOLDS)


def legend(*countable):
    """Return a legend; with ``countable``, for each category, objects are told apart."""
    rule = InstanceRule(tuple(10 * each for each in countable), (0, 0)) if countable else None
    return Legend(CATEGORIES, THRESHOLDS, rule)


def planes():
    """Return (two categories, height, certainty; rows, columns) and what is known."""
    rng = np.random.default_rng(0)
    found = rng.integers(0, 256, (4, CORE.height, CORE.width)).astype(np.uint8)
    return found, rng.random((CORE.height, CORE.width)) < 0.8


def test_objects_are_scored_by_certainty_and_other_ground_by_probability():
    found, known = planes()
    result = decide_core(CORE, found, known, legend(True, False))
    classes, chosen = decide_known(found, LEVELS, known)
    assert {0, 1, 2} == set(np.unique(classes))
    assert np.array_equal(result.classes, classes)
    for number, right in ((0, np.zeros_like(chosen)), (1, found[3]), (2, chosen)):
        assert np.array_equal(result.probabilities[classes == number], right[classes == number])
    assert np.array_equal(result.heights, found[2])
    assert np.array_equal(result.known, known)
    assert result.core == CORE
    assert result.planes is None


def test_heights_outlast_the_planes_that_they_come_from():
    found, known = planes()
    result = decide_core(CORE, found, known, legend(True, True))
    right = found[2].copy()
    found[:] = 0  # backends write their next answer into the same memory
    assert np.array_equal(result.heights, right)
    assert result.probabilities.any()


def test_a_semantic_model_has_no_heights():
    found, known = planes()
    result = decide_core(CORE, found[:2], known, legend())
    assert result.heights is None
    assert np.array_equal(result.probabilities, decide_known(found, LEVELS, known)[1])
