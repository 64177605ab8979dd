"""Annotations: repaired, counted, laid over the raster by the pixel-centre rule."""

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.annotations import annotation_layer, countability
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import VectorError
from deepseg_qgis.events import Log

BOW_TIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])


def listening():
    said = []
    return Control(lambda event: said.append(event) if isinstance(event, Log) else None), said


def test_broken_and_nameless_features_are_counted_not_fatal(make_layer):
    control, said = listening()
    polygons = [shapely.box(0, 0, 1, 1), BOW_TIE, None, shapely.box(5, 5, 6, 6)]
    found = annotation_layer.load(make_layer(polygons, ["a", "b", "a", None]), control)
    assert sorted(found.names) == ["a", "b"]
    text = " ".join(event.text for event in said)
    assert "1 feature with an invalid geometry repaired" in text
    assert "1 feature without a usable geometry" in text
    assert "1 feature without a value in 'category'" in text


def test_without_a_field_the_layer_names_the_category(make_layer):
    found = annotation_layer.load(make_layer([shapely.box(0, 0, 1, 1)], name="roofs"), Control())
    assert [category.name for category in found.categories] == ["roofs"]


def test_a_layer_without_usable_polygons_is_refused(make_layer):
    with pytest.raises(VectorError, match="none of them is a polygon with a category"):
        annotation_layer.load(make_layer([None, None], ["a", "b"]), Control())


def test_names_that_differ_in_case_alone_are_warned_of(make_layer):
    shapes = [shapely.box(i, 0, i + 1, 1) for i in range(4)]
    control, said = listening()
    annotation_layer.load(make_layer(shapes, ["House", "house", "road", "house"]), control)
    (warning,) = said
    assert warning.text.startswith("'House', 'house' differ in upper and lower case alone")


COMPOSED, DECOMPOSED = "b\u00e4ume", "ba\u0308ume"


def test_names_in_two_unicode_forms_are_one(make_layer):
    shapes = [shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)]
    found = annotation_layer.load(make_layer(shapes, [COMPOSED, DECOMPOSED]), Control())
    assert [category.name for category in found.categories] == [COMPOSED]
    assert countability.stuff_categories([DECOMPOSED.upper()], [COMPOSED]) == (COMPOSED,)


def test_names_are_spelt_as_the_model_writes_them(make_layer):
    shapes = [shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)]
    found = annotation_layer.load(make_layer(shapes, [COMPOSED, "other"]), Control())
    model = (annotation_layer.Category(DECOMPOSED, "#ff0000"),)
    assert found.spelt_as(model).names.tolist() == [DECOMPOSED, "other"]


def test_annotations_off_the_raster_are_told_with_numbers(make_raster, make_layer):
    layer = annotation_layer.load(make_layer([shapely.box(0, 0, 9, 9)], ["a"]), Control())
    with (
        Raster(make_raster(np.ones((1, 20, 20), dtype=np.uint8))) as raster,
        pytest.raises(VectorError, match="Check that both layers have the right CRS"),
    ):
        annotation_layer.require_touching(layer, [raster])


def test_the_smaller_annotation_lies_on_top():
    large, small = shapely.box(0, 0, 10, 10), shapely.box(2, 2, 5, 5)
    for order in ((large, small), (small, large)):
        classes = np.array([1 if each is large else 2 for each in order], dtype=np.uint8)
        mask = AnnotatedArea(np.array(order, dtype=object), classes).mask(Window(0, 0, 10, 10))
        assert (mask == 2).sum() == 9
        assert (mask == 1).sum() == 91


def test_a_pixel_belongs_to_the_polygon_that_holds_its_centre():
    shape = shapely.Point(7.3, 6.1).buffer(4.7)
    window = Window(1, 2, 12, 13)
    found = Area(shape).mask(window)
    for row, column in np.ndindex(12, 13):
        centre = shapely.Point(window.column + column + 0.5, window.row + row + 0.5)
        assert found[row, column] == shape.contains(centre)


def test_windows_of_an_area_agree_wherever_they_are_cut():
    shape = shapely.Point(20, 20).buffer(15).difference(shapely.Point(24, 18).buffer(5))
    whole = Area(shape).mask(Window(0, 0, 40, 40))
    for row, column in ((0, 0), (7, 13), (-3, 22)):
        window = Window(row, column, 17, 11)
        inside = window.intersection(Window(0, 0, 40, 40))
        part = Area(shape).mask(window)[inside.within(window)]
        assert np.array_equal(part, whole[inside.slices])
