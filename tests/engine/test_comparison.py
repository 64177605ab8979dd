"""Two sides are compared, whoever made them."""

import subprocess
import sys

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.evaluating.comparison import Comparison, Segmentation, objects_inside
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.legend import Category

CATEGORIES = (Category("house", "#d55e00"), Category("pond", "#0072b2"))
WHOLE = Window(0, 0, 40, 40)
EVERYWHERE = np.ones((40, 40), dtype=bool)


def side(*drawn):
    """Return what somebody drew: (window, class) each."""
    classes = np.zeros((40, 40), dtype=np.uint8)
    for window, number in drawn:
        classes[window.slices] = number
    shapes = np.array([box(window) for window, _ in drawn], dtype=object)
    numbers = np.array([number for _, number in drawn], dtype=np.uint8)
    return Segmentation(
        classes, objects_inside(Area(box(WHOLE)), shapes, numbers, np.ones(len(drawn)))
    )


def test_two_drawings_are_compared_without_a_model():
    one = side((Window(0, 0, 10, 10), 1), (Window(20, 0, 10, 10), 1))
    other = side((Window(0, 0, 10, 10), 1), (Window(0, 20, 10, 10), 2))
    comparison = Comparison(CATEGORIES, (True, False), 0.5)
    comparison.add(one, other, EVERYWHERE)
    scores = comparison.scores((0.5,))
    house, pond = scores["categories"]
    assert (house["tp"], house["fp"], house["fn"]) == (1, 1, 0)
    assert (house["iou"], pond["iou"]) == (0.5, 0.0)
    assert (house["threshold"], pond["threshold"]) == (0.5, None)


def test_rasters_add_up():
    house = side((Window(0, 0, 10, 10), 1))
    comparison = Comparison(CATEGORIES, (True, False), 0.5)
    comparison.add(house, house, EVERYWHERE)
    comparison.add(house, side(), EVERYWHERE)
    scores = comparison.scores(())
    assert (scores["tp"], scores["fp"], scores["fn"]) == (1, 1, 0)
    assert scores["categories"][0]["predicted_px"] == 200


def test_where_nothing_counts_no_pixel_is_compared():
    comparison = Comparison(CATEGORIES, (True, True), 0.5)
    comparison.add(side((Window(0, 0, 10, 10), 1)), side(), ~EVERYWHERE)
    assert not np.any(comparison.scores(())["confusion"]["matrix"])


def test_objects_are_cut_at_the_area_and_ignored_if_most_is_outside():
    shapes = np.array([shapely.box(0, 0, 10, 10), shapely.box(18, 0, 28, 10)], dtype=object)
    area = Area(shapely.box(4, 0, 20, 20))
    found = objects_inside(area, shapes, np.array([1, 2], np.uint8), np.array([0.5, 0.75]))
    assert shapely.area(found.geometries).tolist() == [60.0, 20.0]
    assert found.ignored.tolist() == [False, True]
    assert (found.categories.tolist(), found.scores.tolist()) == ([0, 1], [0.5, 0.75])


@pytest.mark.parametrize("module", ["evaluating.comparison", "scoring.scores"])
def test_a_comparison_needs_no_model_raster_or_annotation(module):
    script = (
        f"import sys, deepseg_qgis.engine.{module}\n"
        "print(*(name for name in sys.modules if name.startswith('deepseg_qgis.engine.')))"
    )
    shown = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    rooms = {name.split(".")[2] for name in shown.stdout.split()}
    assert module.split(".")[0] in rooms
    assert not rooms & {"annotations", "backends", "files", "inference", "learning", "models"}
