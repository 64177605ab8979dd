"""What a network learns of single objects: heights and edges, out of polygons."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import training_sample
from deepseg_qgis.engine.learning.augmentation import (
    ORIENTATIONS,
    GeometricTransform,
    oriented,
)
from deepseg_qgis.engine.learning.targets import (
    MARGIN_PX,
    object_targets,
)
from deepseg_qgis.engine.learning.training_window import TrainingWindow

ALL = np.array([True])


def annotated(polygons, classes=None):
    classes = [1] * len(polygons) if classes is None else classes
    return AnnotatedArea(np.array(polygons, dtype=object), np.array(classes, dtype=np.uint8))


def of_whole(polygons, side, classes=None, countable=ALL):
    return object_targets(annotated(polygons, classes), countable, Window(0, 0, side, side))


@pytest.mark.parametrize("radius", [3, 8, 20, 45, 120])
def test_heights_rise_from_edge_to_middle_whatever_the_size(radius):
    middle, side = radius + 10, 2 * radius + 20
    disc = shapely.Point(middle, middle).buffer(radius, quad_segs=64)
    found = of_whole([disc], side)
    rows, columns = np.indices((side, side)) + 0.5
    away = np.hypot(rows - middle, columns - middle)
    inside = away < radius
    assert (found.heights[~inside & (away > radius + 1)] == 0).all()
    assert found.heights[inside].min() > 0
    # a share of the way from the edge to the middle, to a pixel
    share = (1 - away / radius)[inside]
    assert np.abs(found.heights[inside] - share).max() < 1.5 / radius
    assert found.heights.max() > 1 - 1.5 / radius
    assert found.heights.max() <= 1


def test_edges_are_a_band_along_the_outline_and_leave_the_middle_free():
    disc = shapely.Point(60, 60).buffer(40, quad_segs=64)
    found = of_whole([disc], 120)
    rows, columns = np.indices((120, 120)) + 0.5
    depth = 40 - np.hypot(rows - 60, columns - 60)
    assert found.edges[(depth > 0.2) & (depth < 1)].all()
    assert not found.edges[depth < -0.2].any(), "the band is inside of the object"
    assert not found.edges[depth > 20].any()
    tiny = of_whole([shapely.box(5, 5, 11, 11)], 16)
    assert tiny.edges.any()
    assert not tiny.edges[7:9, 7:9].any(), "a small object has a middle, too"


def test_polygons_that_share_an_edge_stay_two():
    found = of_whole([shapely.box(5, 5, 15, 25), shapely.box(15, 5, 25, 25)], 30)
    one = of_whole([shapely.box(5, 5, 25, 25)], 30)
    row = found.heights[15]
    assert row[14] == row[15] == row[5] > 0, "as low along the common edge as along the outer one"
    assert found.edges[15, 14]
    assert found.edges[15, 15]
    assert row[9] > 0.8
    assert row[20] > 0.8
    assert one.heights[15, 15] > 0.8
    assert not one.edges[15, 15]


def test_the_smaller_of_two_annotations_lies_on_top_and_dents_the_larger():
    house, chimney = shapely.box(2, 2, 42, 42), shapely.box(18, 18, 26, 26)
    for polygons in ([house, chimney], [chimney, house]):
        found = of_whole(polygons, 44)
        assert found.heights[22, 22] > 0.8, "the middle of the chimney"
        assert found.edges[18, 22], "its edge"
        assert found.edges[17, 22], "the edge of the house around it"
        assert found.heights[17, 22] < 0.1
        assert found.heights[10, 10] > found.heights[17, 22]


def test_categories_that_are_not_countable_have_neither_heights_nor_edges():
    polygons = [shapely.box(5, 5, 15, 15), shapely.box(15, 5, 25, 15)]
    found = of_whole(polygons, 30, [1, 2], np.array([False, True]))
    assert (found.heights[:, :15] == 0).all()
    assert not found.edges[:, :15].any()
    assert (found.heights[5:15, 15:25] > 0).all()
    none = of_whole(polygons, 30, [1, 2], np.array([False, False]))
    assert not none.heights.any()
    assert not none.edges.any()


def test_no_annotation_near_gives_zeros():
    for polygons in ([], [shapely.box(500, 500, 510, 510)]):
        found = of_whole(polygons, 20)
        assert found.heights.shape == found.edges.shape == (20, 20)
        assert (found.heights.dtype, found.edges.dtype) == (np.float32, bool)
        assert not found.heights.any()
        assert not found.edges.any()


boxes = st.lists(
    st.tuples(st.integers(0, 80), st.integers(0, 80), st.integers(1, 20), st.integers(1, 20)).map(
        lambda b: shapely.box(b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=50)
@given(boxes, st.data())
def test_targets_of_a_window_are_the_crop_of_those_of_the_whole(polygons, data):
    classes = data.draw(st.lists(st.integers(1, 2), min_size=12, max_size=12))[: len(polygons)]
    area, countable = annotated(polygons, classes), np.array([True, False])
    whole = object_targets(area, countable, Window(-MARGIN_PX, -MARGIN_PX, 200, 200))
    row, column = data.draw(st.integers(-20, 90)), data.draw(st.integers(-20, 90))
    part = object_targets(area, countable, Window(row, column, 24, 40))
    crop = np.s_[row + MARGIN_PX :, column + MARGIN_PX :]
    assert np.array_equal(part.heights, whole.heights[crop][:24, :40])
    assert np.array_equal(part.edges, whole.edges[crop][:24, :40])


def test_an_object_that_a_window_cuts_has_no_edge_along_the_cut():
    found = object_targets(annotated([shapely.box(-40, -10, 60, 30)]), ALL, Window(0, 0, 20, 20))
    assert found.heights[10, 0] == found.heights[10, 10] > 0.9
    assert not found.edges.any()


def test_targets_turn_with_their_picture(discs):
    source, layer = discs
    loaded = annotation_layer.load(layer, Control())
    with Raster(source) as raster:
        over = loaded.over(raster, loaded.categories)
        nothing = Area.of_windows([])
        labelled = LabelledRaster(raster, over, Area(box(raster.grid.window)), nothing)
        window = Window(3, 30, 64, 64)  # so that no way of turning it gives the same
        plain = object_targets(over, ALL, window)
        assert (
            len({oriented(plain.heights, turn).tobytes() for turn in range(ORIENTATIONS)})
            == ORIENTATIONS
        )
        for turn in range(ORIENTATIONS):
            sample = training_sample.read(
                TrainingWindow(labelled, window, GeometricTransform(turn)), ALL
            )
            assert np.array_equal(sample.targets.heights, oriented(plain.heights, turn))
            assert np.array_equal(sample.targets.edges, oriented(plain.edges, turn))
            assert np.array_equal(sample.targets.heights > 0, sample.classes > 0)
        assert training_sample.read(TrainingWindow(labelled, window)).targets is None
        assert training_sample.read(TrainingWindow(labelled, window), ~ALL).targets is None
