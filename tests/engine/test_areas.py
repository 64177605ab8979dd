"""Areas and annotations over a raster, in pixels."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box, burnt, clipped
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


coordinates = st.one_of(
    st.floats(-10, 50), st.integers(-10, 50).map(float), st.integers(-20, 100).map(lambda n: n / 2)
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=8),
        min_size=1,
        max_size=4,
    ),
    windows,
)
def test_polygons_are_burnt_as_gdal_burns_the_whole(outlines, window):
    """On a window as on the whole raster, also where edges run through centres of pixels."""
    shapes = np.array([shapely.Polygon(outline) for outline in outlines], dtype=object)
    shapes = shapes[shapely.is_valid(shapes) & (shapely.area(shapes) > 0.0)]
    if len(shapes) == 0:
        return
    values = np.arange(1, len(shapes) + 1, dtype=np.uint8)
    numbered = zip(shapes, values.tolist(), strict=True)
    whole = rasterize(numbered, out_shape=(60, 60), dtype=np.uint8)
    assert np.array_equal(burnt(shapes, values, window), whole[window.slices])


def star(vertices, middle, radius, seed=0):
    """Return a ragged polygon, with a hole."""
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    lengths = radius * (0.7 + 0.3 * np.random.default_rng(seed).random(vertices))
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None] + middle
    return shapely.Polygon(points, [shapely.Point(middle).buffer(radius / 5).exterior.coords])


def test_an_outline_of_very_many_vertices_is_burnt_window_by_window_as_the_whole():
    shape = star(30_000, (150, 120), 110)
    area = Area(shape)
    whole = rasterize([shape], out_shape=(300, 300), dtype=np.uint8).astype(bool)
    for row in range(0, 300, 60):
        for column in range(0, 300, 75):
            window = Window(row, column, 60, 75)
            assert np.array_equal(area.mask(window), whole[window.slices])
            assert area.shared_px(window) == whole[window.slices].sum()
    assert np.array_equal(area.row_counts(Window(0, 0, 300, 300)), whole.sum(axis=1))


def test_what_lies_far_out_does_not_come_back_on_the_other_side():
    wide = shapely.box(-1e12, -1e12, 1e12, 20.0)
    assert Area(wide).mask(WHOLE).sum() == 20 * SIDE


@settings(max_examples=50, deadline=None)
@given(st.lists(windows, min_size=1, max_size=5), st.integers(3, 9))
def test_cells_are_those_of_the_lattice_that_touch(some, side):
    area = Area.of_windows(some)
    around = area.window(WHOLE)
    found = area.cells(around, side)
    every = [
        Window(row, column, side, side).intersection(around)
        for row in range(around.row, around.row_end, side)
        for column in range(around.column, around.column_end, side)
    ]
    assert found == [each for each in every if area.touches(each)]


def test_cells_of_scattered_areas_are_found_without_looking_everywhere():
    far = Area.of_windows([Window(5, 5, 50, 50), Window(10**7, 10**7, 50, 50)])
    assert len(far.cells(far.window(Window(0, 0, 2 * 10**7, 2 * 10**7)), 128)) <= 8


def test_annotations_across_a_ragged_area_are_cut_as_across_any_other():
    shape = star(3_000, (150, 120), 110)
    squares = shapely.box(*np.random.default_rng(3).uniform(0, 280, (2, 80)), 0, 0)
    x, y = shapely.bounds(squares)[:, 2:].T
    squares = shapely.box(x, y, x + 15, y + 15)
    found = clipped(squares, Area(shape))
    right = shapely.intersection(squares, shape)
    np.testing.assert_allclose(shapely.area(found), shapely.area(right), atol=1e-9)
    assert shapely.equals_exact(found, right, 1e-9, normalize=True).mean() > 0.9
