"""Areas and annotations over a raster, in pixels."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box
from deepseg_qgis.engine.geometry.tiling import Window

SIDE = 40
WHOLE = Window(0, 0, SIDE, SIDE)

windows = st.builds(
    Window, st.integers(0, 35), st.integers(0, 35), st.integers(1, 12), st.integers(1, 12)
)


def annotated(some):
    shapes = np.array([box(each) for each in some], dtype=object)
    return AnnotatedArea(shapes, np.ones(len(shapes), dtype=np.uint8))


@settings(max_examples=100, deadline=None)
@given(st.lists(windows, max_size=8))
def test_windows_hold_an_area_and_do_not_overlap(some):
    area = Area.of_windows(some)
    found = area.windows(WHOLE)
    times = np.zeros((SIDE, SIDE), dtype=int)
    for each in found:
        times[each.slices] += 1
    assert times.max(initial=0) <= 1
    assert (times[area.mask(WHOLE)] == 1).all()
    around = area.window(WHOLE)
    assert times.sum() <= around.height * around.width


def test_what_lies_apart_has_windows_of_its_own():
    some = [Window(0, 0, 5, 5), Window(30, 30, 5, 5), Window(3, 5, 5, 5)]
    assert sorted(Area.of_windows(some).windows(WHOLE)) == [
        Window(0, 0, 8, 10),
        Window(30, 30, 5, 5),
    ]
    assert Area.of_windows([]).windows(WHOLE) == []
    assert Area.of_windows([Window(50, 50, 5, 5)]).windows(WHOLE) == []


@settings(max_examples=100, deadline=None)
@given(windows, windows)
def test_a_window_shares_as_many_pixels_as_are_in_both(one, other):
    shared = one.intersection(other)
    assert Area.of_windows([one]).shared_px(other) == shared.height * shared.width


@settings(max_examples=100, deadline=None)
@given(st.lists(windows, max_size=6))
def test_visible_is_what_the_map_of_objects_shows(some):
    """Along whole pixels the visible parts are the pixels that each annotation has in the map."""
    area = annotated(some)
    numbers = area.objects(Window(-1, -1, 60, 60))
    sizes = np.bincount(numbers.ravel(), minlength=len(some) + 1)[1:]
    np.testing.assert_allclose(shapely.area(area.visible), sizes)
    for one, other in zip(area.visible, area.geometries, strict=True):
        assert one.is_empty or other.covers(one)


def test_annotations_count_as_inside_with_half_of_their_ground():
    area = annotated([Window(0, 0, 10, 10), Window(20, 0, 10, 10), Window(30, 30, 4, 4)])
    inside = area.mostly_within(Area.of_windows([Window(0, 0, 10, 5), Window(20, 0, 10, 4)]))
    boxes = shapely.bounds(area.geometries)[:, 1]
    assert dict(zip(boxes, inside, strict=True)) == {0.0: True, 20.0: False, 30.0: False}
