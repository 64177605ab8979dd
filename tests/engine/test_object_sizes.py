"""What the sizes of annotated objects ask of a training."""

from types import SimpleNamespace

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.geometry.areas import AnnotatedArea
from deepseg_qgis.engine.learning.object_sizes import (
    MAGNIFICATION,
    MOST_SMOOTHING_PX,
    MOST_SPECK_PX,
    SMALL_RADIUS_PX,
    SPECK_SHARE,
    least_sizes,
    magnification_for,
    smoothing_for,
)

ALL = np.array([True])


def labelled(*sides, classes=None):
    """Return ground with squares of these sides, in px."""
    polygons = np.array([shapely.box(0, 0, side, side) for side in sides], dtype=object)
    classes = [1] * len(sides) if classes is None else classes
    return SimpleNamespace(annotated=AnnotatedArea(polygons, np.array(classes, dtype=np.uint8)))


def test_smoothing_grows_with_the_countable_objects_up_to_a_bound():
    small, large = smoothing_for([labelled(8)], ALL), smoothing_for([labelled(16)], ALL)
    assert small > 0
    assert large == pytest.approx(2 * small, rel=0.1)
    assert smoothing_for([labelled(8, 8), labelled(8, 4000)], ALL) == pytest.approx(small, rel=0.1)
    assert smoothing_for([labelled(4000)], ALL) == MOST_SMOOTHING_PX
    stuff = labelled(8, 4000, 4000, classes=[1, 2, 2])
    assert smoothing_for([stuff], np.array([True, False])) == pytest.approx(small, rel=0.1)
    assert smoothing_for([stuff], np.array([False, False])) == 0.0
    assert smoothing_for([labelled()], ALL) == 0.0


def test_small_objects_are_magnified_and_others_are_not():
    small, large = 2 * SMALL_RADIUS_PX - 1, 2 * SMALL_RADIUS_PX + 1
    assert magnification_for([labelled(small, small)], 256) == MAGNIFICATION
    assert magnification_for([labelled(large, large)], 256) == 1
    some, few = labelled(small, small, small, large, large), labelled(small, *[large] * 9)
    assert magnification_for([some], 256) == MAGNIFICATION
    assert magnification_for([few], 256) == 1
    many = labelled(*[small] * 20)
    assert magnification_for([few, many], 256) == MAGNIFICATION, "all rasters count"
    assert magnification_for([labelled()], 256) == 1


def test_the_least_tile_is_not_made_smaller():
    assert magnification_for([labelled(4)], 32) == 1
    assert magnification_for([labelled(4)], 64) == MAGNIFICATION


def test_specks_are_small_beside_the_small_objects_of_their_category():
    ground = [labelled(10, 20, 20, classes=[1, 2, 2]), labelled(2000, classes=[3])]
    assert least_sizes(ground, 4) == (SPECK_SHARE * 100, SPECK_SHARE * 400, MOST_SPECK_PX, 0)
    assert least_sizes([labelled(1)], 1) == (0,)
