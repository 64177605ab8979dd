"""Annotations of some objects alone are told from complete ones, however sure the network is."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning.annotation_gaps import MANY, AnnotationGaps, warn_of_gaps
from deepseg_qgis.engine.legend.legend import Category

SIDE, OBJECT = 200, 10


def ground(rng, drawn_share, probability):
    """Return planes (1, …) and classes: squares in a grid, of which a share was drawn.

    The network says of all of them what it learned, on average; of other ground a tenth of it.
    """
    there = np.zeros((SIDE, SIDE), dtype=bool)
    classes = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for row in range(0, SIDE, 2 * OBJECT):
        for column in range(0, SIDE, 2 * OBJECT):
            square = slice(row, row + OBJECT), slice(column, column + OBJECT)
            there[square] = True
            classes[square] = rng.random() < drawn_share
    mean = np.where(there, probability, 0.1 * probability)
    noise = rng.normal(0.0, 0.05, there.shape)
    return ((mean + noise).clip(0, 1) * 255).astype(np.uint8)[None], classes


@pytest.mark.parametrize("probability", [0.3, 0.95])
@pytest.mark.parametrize("drawn", [1.0, 0.5, 0.2])
def test_as_much_is_open_as_was_forgotten(probability, drawn):
    gaps, rng = AnnotationGaps(1), np.random.default_rng(0)
    everywhere = np.ones((SIDE, SIDE), dtype=bool)
    for _ in range(4):
        gaps.add(*ground(rng, drawn, probability), everywhere)
    (share,) = gaps.shares()
    assert share == pytest.approx(1.0 - drawn, abs=0.06)
    assert (share >= MANY) == (drawn < 0.3)


def test_other_categories_and_unknown_ground_do_not_count():
    planes = np.full((3, 4, 10), 200, dtype=np.uint8)
    classes = np.repeat(np.array([[1], [2], [2], [0]], dtype=np.uint8), 10, axis=1)
    known = classes > 0
    gaps = AnnotationGaps(3)
    gaps.add(planes, classes, known)
    assert gaps.shares() == (0.0, 0.0, None)
    gaps.add(planes, classes, ~known)
    assert gaps.shares() == (0.5, pytest.approx(1 / 3), None)


@pytest.mark.parametrize(
    ("share", "objects", "said"),
    [
        (0.75, 9, "75% for 'hut'.*draw an area of interest.*or annotate them"),
        (0.75, 4, None),
        (0.5, 9, None),
        (None, 9, None),
    ],
)
def test_the_advice_is_to_draw_an_area_or_to_annotate(share, objects, said):
    heard = []
    labelled = SimpleNamespace(
        annotated=SimpleNamespace(classes=np.ones(12, dtype=np.uint8)),
        in_validation=np.arange(12) < objects,
    )
    training_set = SimpleNamespace(
        categories=(Category("hut", "#808080"),), labelled_rasters=(labelled,)
    )
    warn_of_gaps([share], training_set, Control(heard.append))
    if said is None:
        assert heard == []
    else:
        (event,) = heard
        assert re.search(said, event.text)
