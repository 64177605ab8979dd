"""Outlines in styles: right-angled and smooth, within bounds, without overlaps, whatever blocks."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepseg_qgis.engine.vectorising import right_angles, smoothing
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import Limits
from tests.engine.test_vectorising import ORIGIN, assert_equal, in_blocks

BOUNDS = {"right_angles": right_angles.BOUND_PX, "smooth": smoothing.BOUND_PX}
styles = st.sampled_from(sorted(BOUNDS))
tolerances = st.sampled_from([0.0, 1.0, 2.2])


@st.composite
def drawn_maps(draw):
    """Make a class map of rectangles and discs that overlap, roughened by single pixels."""
    rows, columns = draw(st.tuples(st.integers(8, 60), st.integers(8, 60)))
    classes = np.full((rows, columns), draw(st.integers(0, 1)), dtype=np.uint8)
    y, x = np.mgrid[:rows, :columns]
    for _ in range(draw(st.integers(1, 5))):
        middle = draw(st.tuples(st.integers(0, rows), st.integers(0, columns)))
        half = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
        angle = np.radians(draw(st.sampled_from([0, 7, 20, 33, 45, 71])))
        u = (x - middle[1]) * np.cos(angle) + (y - middle[0]) * np.sin(angle)
        v = (y - middle[0]) * np.cos(angle) - (x - middle[1]) * np.sin(angle)
        if draw(st.booleans()):
            inside = (abs(u) < half[0]) & (abs(v) < half[1])
        else:
            inside = (u / half[0]) ** 2 + (v / half[1]) ** 2 < 1
        classes[inside] = draw(st.integers(0, 3))
    rough = np.random.default_rng(draw(st.integers(0, 99))).random(classes.shape)
    return np.where(rough < draw(st.sampled_from([0.0, 0.02])), 1, classes).astype(np.uint8)


noise = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 2)
)
coarse = st.builds(lambda each, by: np.kron(each, np.ones((by, by), np.uint8)), noise, st.just(3))
class_maps = drawn_maps() | noise | coarse
cuts = st.lists(st.integers(1, 59), max_size=4, unique=True).map(sorted)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Have numba compile (or load) everything before Hypothesis looks at the clock."""
    for style in BOUNDS:
        in_blocks(np.ones((9, 9), np.uint8), [3], [4], PolygonOptions(1.0, outlines=style))


@settings(deadline=None, max_examples=300)
@given(class_maps, styles, tolerances)
def test_polygons_are_valid_near_the_pixels_and_do_not_overlap(classes, style, tolerance):
    exact = in_blocks(classes, [], [], PolygonOptions())
    found = in_blocks(classes, [], [], PolygonOptions(tolerance, outlines=style))
    assert np.array_equal(found.sizes_px, exact.sizes_px)
    assert shapely.is_valid(found.geometries).all()
    bound = max(BOUNDS[style], tolerance)
    for before, after in zip(exact.geometries, found.geometries, strict=True):
        assert len(before.interiors) == len(after.interiors)
        assert shapely.hausdorff_distance(before.boundary, after.boundary) <= bound + 1e-6
    together = shapely.union_all(found.geometries).area
    assert together == pytest.approx(shapely.area(found.geometries).sum(), rel=1e-6)


@settings(deadline=None, max_examples=200)
@given(class_maps, cuts, cuts, styles, tolerances, st.sampled_from([16, 8192]))
def test_blocks_do_not_show(classes, rows, columns, style, tolerance, cell_px):
    options, limits = PolygonOptions(tolerance, 2.0, outlines=style), Limits(cell_px=cell_px)
    whole = in_blocks(classes, [], [], options, limits)
    assert_equal(whole, in_blocks(classes, rows, columns, options, limits))


def shape(width, height, angle, middle=(60, 45)):
    """Return a map with an L-shaped house, turned by an angle in degrees."""
    y, x = np.mgrid[:90, :120] + 0.5
    turn = np.radians(angle)
    u = (x - middle[0]) * np.cos(turn) + (y - middle[1]) * np.sin(turn)
    v = (y - middle[1]) * np.cos(turn) - (x - middle[0]) * np.sin(turn)
    inside = (abs(u) < width / 2) & (abs(v) < height / 2) & ~((u > 10) & (v > 3))
    return inside.astype(np.uint8)


def edges(polygon):
    """Return lengths and directions (degrees, modulo 90) of a polygon's edges."""
    steps = np.diff(shapely.get_coordinates(polygon.exterior), axis=0)
    return np.hypot(*steps.T), np.degrees(np.arctan2(steps[:, 1], steps[:, 0])) % 90


@pytest.mark.parametrize("angle", [0, 3, 10, 25, 45, 68])
def test_a_house_gets_its_walls_back(angle):
    (house,) = in_blocks(
        shape(60, 30, angle), [], [], PolygonOptions(1.0, outlines="right_angles")
    ).geometries
    lengths, directions = edges(house)
    assert np.allclose(sorted(lengths), sorted([60, 30, 40, 12, 20, 18]), atol=1.1)
    assert np.allclose((directions - angle + 45) % 90, 45, atol=0.5)
    assert np.allclose(directions, directions[0], atol=1e-9)


def test_a_long_slanted_wall_stays():
    classes = np.zeros((80, 80), dtype=np.uint8)
    y, x = np.mgrid[:80, :80]
    classes[(abs(x - 40) < 30) & (abs(y - 40) < 30) & (x + y < 110)] = 1
    (house,) = in_blocks(classes, [], [], PolygonOptions(1.0, outlines="right_angles")).geometries
    lengths, directions = edges(house)
    assert len(lengths) == 5
    assert directions[np.argmin(abs(lengths - 40))] == pytest.approx(45, abs=1.5)


def test_a_disc_stays_as_it_is_and_a_speck_too():
    y, x = np.mgrid[:90, :120] + 0.5
    classes = ((x - 60) ** 2 + (y - 45) ** 2 < 900).astype(np.uint8)
    classes[2, 2] = 1
    styled, plain = (
        in_blocks(classes, [], [], PolygonOptions(1.0, outlines=each))
        for each in ("right_angles", "plain")
    )
    assert_equal(styled, plain)


@pytest.mark.parametrize("style", sorted(BOUNDS))
def test_houses_in_a_row_share_their_walls(style):
    row = shape(80, 24, 20)
    y, x = np.mgrid[:90, :120]
    across = (x - 60) * np.cos(np.radians(20)) + (y - 45) * np.sin(np.radians(20))
    row[(row > 0) & (across > 0)] = 2
    found = in_blocks(row, [], [], PolygonOptions(1.0, outlines=style))
    one, other = found.geometries
    assert one.intersection(other).length > 20
    assert one.intersection(other).area == 0.0
    assert len(one.union(other).interiors) == 0


def test_curves_are_round_and_keep_their_area():
    y, x = np.mgrid[:90, :120] + 0.5
    for radius in (4, 9, 30):
        classes = ((x - 60) ** 2 + (y - 45) ** 2 < radius**2).astype(np.uint8)
        found = in_blocks(classes, [], [], PolygonOptions(1.0, outlines="smooth"))
        (crown,) = found.geometries
        assert crown.area == pytest.approx(found.sizes_px[0], rel=0.02)
        points = shapely.get_coordinates(crown) - [60 + ORIGIN[1], 45 + ORIGIN[0]]
        assert np.hypot(*points.T) == pytest.approx(np.sqrt(found.sizes_px[0] / np.pi), abs=0.6)
        assert crown.length == pytest.approx(2 * np.sqrt(np.pi * crown.area), rel=0.02)


@pytest.mark.parametrize("style", sorted(BOUNDS))
def test_holes_and_exact_outlines_stay(style):
    classes = shape(70, 60, 30)
    classes[40:50, 50:60] = 0
    exact = in_blocks(classes, [], [], PolygonOptions())
    found = in_blocks(classes, [], [], PolygonOptions(1.0, keep_exact=True, outlines=style))
    assert found.exact is not None
    assert (found.exact.geometries() == exact.geometries).all()
    assert shapely.Polygon(found.geometries[0].interiors[0]).area == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("style", sorted(BOUNDS))
def test_a_contact_at_a_corner_stays_where_it_is(style):
    classes = np.zeros((20, 20), dtype=np.uint8)
    classes[1:10, 1:10] = 1
    classes[10:19, 10:19] = 2
    for shape_ in in_blocks(classes, [], [], PolygonOptions(1.0, outlines=style)).geometries:
        assert (ORIGIN[1] + 10.0, ORIGIN[0] + 10.0) in shape_.exterior.coords
