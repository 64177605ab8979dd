"""The reference is annotations as they can be seen, where there is data."""

import numpy as np
import shapely

from deepseg_qgis.engine.evaluating.reference import annotated_objects
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box
from deepseg_qgis.engine.geometry.tiling import Window

WHOLE, NOTHING = Window(0, 0, 60, 60), Window(0, 0, 0, 0)


def reference(some, no_data=NOTHING, area=WHOLE):
    """Return the reference objects of annotations on ground, part of which is no data."""
    shapes = np.array([box(each) for each in some], dtype=object)
    known = np.ones((60, 60), dtype=bool)
    known[no_data.slices] = False
    annotated = AnnotatedArea(shapes, np.ones(len(shapes), dtype=np.uint8))
    return annotated_objects(annotated, Area(box(area)), WHOLE, known)


def test_annotations_on_no_data_are_not_missed():
    found = reference(
        [Window(0, 0, 10, 10), Window(0, 17, 10, 10), Window(0, 40, 10, 10)], Window(0, 0, 60, 20)
    )
    ignored = dict(zip(shapely.bounds(found.geometries)[:, 0], found.ignored, strict=True))
    assert ignored == {0.0: True, 17.0: False, 40.0: False}


def test_what_lies_on_top_is_no_part_of_what_is_below():
    large, small = Window(0, 0, 20, 20), Window(5, 5, 10, 10)
    found = reference([small, large])
    assert sorted(shapely.area(found.geometries)) == [100.0, 300.0]
    assert not found.ignored.any()


def test_what_was_drawn_twice_is_one_object():
    found = reference([Window(0, 0, 20, 20), Window(0, 0, 20, 20), Window(30, 30, 5, 5)])
    assert sorted(shapely.area(found.geometries)) == [25.0, 400.0]


def test_less_than_half_inside_of_the_area_is_ignored():
    found = reference([Window(0, 0, 10, 10), Window(20, 0, 10, 10)], area=Window(0, 0, 24, 60))
    assert sorted(shapely.area(found.geometries)) == [40.0, 100.0]
    assert found.ignored[shapely.area(found.geometries) == 40.0].all()
    assert not found.ignored[shapely.area(found.geometries) == 100.0].any()
