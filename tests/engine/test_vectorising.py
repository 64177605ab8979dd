"""Polygons from class maps: exact, and the same whatever the blocks."""

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.features import shapes

from deepseg_qgis.engine.geometry.areas import burnt
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising.components import joined_components
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import (
    Limits,
    Vectoriser,
    components,
)

maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 3)
)
masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 1)
)
class_maps = maps | masks
polygon_options = st.builds(
    PolygonOptions,
    st.sampled_from([0.0, 0.0, 0.4, 1.0, 2.2]),
    st.sampled_from([0.0, 0.0, 2.0, 4.0]),
)
limits = st.builds(
    Limits,
    cell_px=st.sampled_from([3, 5, 8192]),
    most_vertices=st.sampled_from([0, 12, 10**6]),
    spool_bytes=st.sampled_from([0, 10**6]),
)
cuts = st.lists(st.integers(1, 15), max_size=4, unique=True).map(sorted)
ORIGIN = (5, 7)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Have numba compile (or load) everything before Hypothesis looks at the clock."""
    classes = np.array([[1, 0, 2], [1, 1, 2]], dtype=np.uint8)
    in_blocks(classes, [1], [1], PolygonOptions(1.0, 1.0), Limits(cell_px=2))
    in_blocks(classes, [1], [1], PolygonOptions(0.0), Limits(most_vertices=0))


def region_of(classes):
    return Window(*ORIGIN, *classes.shape)


def in_blocks(classes, rows, columns, options, limits=None, probabilities=None):
    """Return the objects found with blocks cut at these rows and columns, by first pixel."""
    region = region_of(classes)
    if probabilities is None:
        probabilities = (classes * 51).astype(np.uint8)
    row_ends = [0, *(each for each in rows if each < region.height), region.height]
    column_ends = [0, *(each for each in columns if each < region.width), region.width]
    found = []
    with Vectoriser(region, options, limits) as vectoriser:
        for top, bottom in itertools.pairwise(row_ends):
            for left, right in itertools.pairwise(column_ends):
                core = Window(ORIGIN[0] + top, ORIGIN[1] + left, bottom - top, right - left)
                part = classes[top:bottom, left:right]
                empty = not part.any()
                found.append(
                    vectoriser.add(
                        core,
                        None if empty else part,
                        None if empty else probabilities[top:bottom, left:right],
                    )
                )
        vectoriser.check_complete()
    objects = joined_components(found)
    return objects.chosen(np.lexsort((objects.first_columns, objects.first_rows)))


def assert_equal(one, other):
    assert len(one) == len(other)
    for name in ("classes", "sizes_px", "scores", "first_rows", "first_columns"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert [shape.wkb for shape in one.geometries] == [shape.wkb for shape in other.geometries]


@settings(deadline=None, max_examples=400)
@given(class_maps, cuts, cuts, polygon_options, limits)
def test_blocks_do_not_show_in_the_polygons(classes, rows, columns, options, limits):
    whole = in_blocks(classes, [], [], options, limits)
    assert_equal(whole, in_blocks(classes, rows, columns, options, limits))


@given(class_maps)
def test_areas_are_pixel_counts_and_polygons_are_valid(classes):
    found = components(classes, classes, region_of(classes))
    assert (shapely.area(found.geometries) == found.sizes_px).all()
    assert shapely.is_valid(found.geometries).all()
    assert (shapely.get_type_id(found.geometries) == shapely.GeometryType.POLYGON).all()
    for category in range(1, 4):
        assert found.sizes_px[found.classes == category].sum() == (classes == category).sum()


@given(class_maps)
def test_polygons_are_those_of_gdal(classes):
    region = region_of(classes)
    found = components(classes, classes, region)
    traced = [shapely.geometry.shape(each) for each, _ in shapes(classes, mask=classes > 0)]
    expected = shapely.transform(
        shapely.make_valid(traced), lambda xy: xy + np.array([region.column, region.row])
    )
    assert len(found) == len(expected)
    tree = shapely.STRtree(found.geometries)
    for shape in expected:
        nearby = found.geometries[tree.query(shape)]
        assert shapely.equals(nearby, shape).sum() == 1


@given(class_maps)
def test_rasterised_polygons_are_the_classes_again(classes):
    region = region_of(classes)
    found = components(classes, classes, region)
    assert np.array_equal(burnt(found.geometries, found.classes, region), classes)


@given(class_maps, limits)
def test_cut_objects_cover_the_same_ground(classes, limits):
    found = in_blocks(classes, [], [], PolygonOptions(), limits)
    assert np.array_equal(burnt(found.geometries, found.classes, region_of(classes)), classes)
    assert found.sizes_px.sum() == (classes > 0).sum()


@given(class_maps)
def test_first_pixels_are_in_their_objects_and_in_order(classes):
    region = region_of(classes)
    found = components(classes, classes, region)
    rows, columns = found.first_rows - region.row, found.first_columns - region.column
    assert (classes[rows, columns] == found.classes).all()
    assert (np.diff(rows * region.width + columns) > 0).all()
    starts = [shape.exterior.coords[0] for shape in found.geometries]
    assert starts == list(zip(found.first_columns, found.first_rows, strict=True))


@settings(deadline=None, max_examples=300)
@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=6, max_side=24),
        elements=st.integers(1, 3),
    ),
    st.sampled_from([0.4, 1.0, 2.2, 4.0]),
    st.integers(1, 4),
)
def test_simplified_polygons_leave_no_gaps_and_do_not_overlap(classes, tolerance, coarse):
    classes = np.kron(classes, np.ones((coarse, coarse), dtype=np.uint8))
    exact = components(classes, classes, region_of(classes))
    found = in_blocks(classes, [], [], PolygonOptions(tolerance))
    assert len(found) == len(exact)
    assert shapely.is_valid(found.geometries).all()
    together = shapely.union_all(found.geometries)
    assert together.area == pytest.approx(shapely.area(found.geometries).sum(), abs=1e-6)
    holes = [hole for part in shapely.get_parts(together) for hole in part.interiors]
    assert sum(shapely.Polygon(hole).area for hole in holes) == pytest.approx(0.0, abs=1e-6)
    strayed = shapely.hausdorff_distance(
        shapely.boundary(exact.geometries), shapely.boundary(found.geometries)
    )
    assert (strayed <= tolerance + 1e-9).all()


def test_simplifying_smooths_a_slope_and_keeps_a_square():
    rows, columns = np.mgrid[:40, :40]
    slope = (columns * 0.4 + rows > 20).astype(np.uint8)
    (stairs,) = in_blocks(slope, [], [], PolygonOptions()).geometries
    (line,) = in_blocks(slope, [], [], PolygonOptions(1.0)).geometries
    assert len(line.exterior.coords) < 0.4 * len(stairs.exterior.coords)
    square = np.zeros((9, 9), dtype=np.uint8)
    square[2:5, 3:7] = 1
    square[7, 7] = 1
    found = in_blocks(square, [], [], PolygonOptions(4.0))
    assert shapely.area(found.geometries).tolist() == [12.0, 1.0]


def test_neighbours_at_a_node_all_have_its_vertex():
    classes = np.array([[1, 1, 1, 1], [2, 2, 3, 3]], dtype=np.uint8)
    found = components(classes, classes, region_of(classes))
    node = (ORIGIN[1] + 2.0, ORIGIN[0] + 1.0)
    assert all(node in shape.exterior.coords for shape in found.geometries)


@settings(deadline=None)
@given(class_maps, st.integers(2, 12))
def test_small_objects_go_and_small_holes_are_filled(classes, least):
    exact = components(classes, classes, region_of(classes))
    found = in_blocks(classes, [], [], PolygonOptions(min_area=least), probabilities=classes)
    kept = exact.chosen(exact.sizes_px >= least)
    assert np.array_equal(found.first_rows, kept.first_rows)
    assert np.array_equal(found.scores, kept.scores)
    assert (shapely.area(found.geometries) == found.sizes_px).all()
    for shape, before in zip(found.geometries, kept.geometries, strict=True):
        assert all(shapely.Polygon(hole).area >= least for hole in shape.interiors)
        large = [hole for hole in before.interiors if shapely.Polygon(hole).area >= least]
        assert shape.equals(shapely.Polygon(before.exterior, large))
    together = shapely.union_all(found.geometries).area
    assert together == pytest.approx(found.sizes_px.sum())


def test_the_smallest_area_is_measured_at_the_first_pixel():
    classes = np.array([[1, 1, 0, 1, 1]], dtype=np.uint8)
    seen = []

    def pixel_area(places):
        seen.extend(places.tolist())
        return np.where(places[:, 0] > ORIGIN[1] + 2, 3.0, 1.0)

    found = in_blocks(classes, [], [], PolygonOptions(0.0, 5.0, pixel_area))
    assert found.first_columns.tolist() == [ORIGIN[1] + 3]
    assert [ORIGIN[1] + 0.5, ORIGIN[0] + 0.5] in seen


def test_scores_are_mean_probabilities_across_blocks():
    classes = np.array([[1, 1, 0, 2]], dtype=np.uint8)
    probabilities = np.array([[255, 51, 9, 102]], dtype=np.uint8)
    found = in_blocks(classes, [], [1], PolygonOptions(), probabilities=probabilities)
    assert np.allclose(found.scores, [0.6, 0.4])


def test_nothing_gives_nothing():
    classes = np.zeros((4, 4), dtype=np.uint8)
    assert len(components(classes, classes, region_of(classes))) == 0


def spiral(side):
    """Return a spiral one pixel wide: one object that winds through all blocks many times."""
    classes = np.zeros((side, side), dtype=np.uint8)
    for k in range(0, side // 2, 2):
        classes[k, max(0, k - 2) : side - k] = 1
        classes[k : side - k, side - k - 1] = 1
        classes[side - k - 1, k : side - k] = 1
        classes[k + 2 : side - k, k] = 1
    return classes


def test_an_object_that_winds_through_all_blocks():
    classes = spiral(62)
    cuts = list(range(5, 62, 5))
    whole = in_blocks(classes, [], [], PolygonOptions())
    assert len(whole) == 1
    assert_equal(whole, in_blocks(classes, cuts, cuts, PolygonOptions()))
    (shape,) = in_blocks(classes, cuts, cuts, PolygonOptions(), Limits(cell_px=7)).geometries
    assert shape.equals(whole.geometries[0])


def test_too_many_vertices_are_cut_on_the_lattice_and_said_so():
    classes = np.ones((32, 32), dtype=np.uint8)
    classes[1::2, 1:-1:2] = 0
    region = region_of(classes)
    with Vectoriser(region, PolygonOptions(), Limits(cell_px=16, most_vertices=500)) as vectoriser:
        found = vectoriser.add(region, classes, classes)
        assert vectoriser.cut_objects == 1
    lines = shapely.union_all([shapely.LineString([(16 * i, 0), (16 * i, 64)]) for i in range(5)])
    assert len(found) > 1
    assert not shapely.crosses(found.geometries, lines).any()
    with Vectoriser(region, PolygonOptions(), Limits(cell_px=16)) as vectoriser:
        assert len(vectoriser.add(region, classes, classes)) == 1
        assert vectoriser.cut_objects == 0


def test_waiting_outlines_are_small_and_move_to_disk():
    side = 256
    classes = np.zeros((side, side), dtype=np.uint8)
    classes[:, ::2] = 1
    classes[0] = 1  # a comb
    region = Window(0, 0, side, side)
    with Vectoriser(region, PolygonOptions(), Limits(spool_bytes=4000)) as vectoriser:
        found = []
        for row in range(0, side, 32):
            core = Window(row, 0, 32, side)
            found.append(vectoriser.add(core, classes[row : row + 32], classes[row : row + 32]))
            assert vectoriser.held_bytes <= 4000
        assert vectoriser.spilled_bytes > 4000
    objects = joined_components(found)
    assert_equal(objects, components(classes, classes, region))
