"""Sizes on the ellipsoid are those of Karney's geodesics, on every kind of grid."""

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid, Placing
from deepseg_qgis.engine.geometry.measures import (
    MOST_STEPS,
    STRAIGHT_WITHIN_M,
    Ellipsoid,
    Ruler,
    area_and_perimeter_m,
)
from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.geometry.projections import WGS84

GRIDS = {
    "utm": Grid(3000, 2000, Affine(0.2, 0, 352_000, 0, -0.2, 5_804_000), pyproj.CRS(32633)),
    "rotated": Grid(900, 900, Affine(2.6, 2.1, 352_000, 1.5, -3.4, 804_000), pyproj.CRS(32733)),
    "coarse": Grid(900, 900, Affine(30, 0, 200_000, 0, -30, 7_800_000), pyproj.CRS(32633)),
    "mercator": Grid(
        4096, 4096, Affine(0.149, 0, 9_497_000, 0, -0.149, 3_202_000), pyproj.CRS(3857)
    ),
    "degrees": Grid(3600, 1800, Affine(1e-4, 0, 13.2, 0, -1e-4, 52.6), WGS84),
    "equator": Grid(3600, 1800, Affine(1e-3, 0, 13.2, 0, -1e-3, 0.6), WGS84),
    "antimeridian": Grid(900, 900, Affine(5, 0, 625_000, 0, -5, 7_500_000), pyproj.CRS(32660)),
    "pole": Grid(2000, 2000, Affine(10, 0, -10_000, 0, -10, 10_000), pyproj.CRS(3413)),
    "other ellipsoid": Grid(900, 900, Affine(1, 0, 400_000, 0, -1, 400_000), pyproj.CRS(27700)),
    "feet": Grid(900, 900, Affine(3, 0, 900_000, 0, -3, 200_000), pyproj.CRS(2263)),
    "grads": Grid(900, 900, Affine(5, 0, 600_000, 0, -5, 2_400_000), pyproj.CRS(27572)),
}

LOST_M2 = 2e-5
"""By how much pyproj's geodesic areas are off, however small the polygon (seen: some 1e-6)."""


def on_ellipsoid(grid, xy):
    """Return longitude and latitude in degrees on the grid's own ellipsoid, by pyproj alone."""
    a, b, c, d, e, f = grid.transform[:6]
    x, y = a * xy[:, 0] + b * xy[:, 1] + c, d * xy[:, 0] + e * xy[:, 1] + f
    if grid.crs.is_geographic:
        return np.column_stack([x, y])
    # from Paris and in grads for one of them; the longitude of the origin does not matter
    to = pyproj.Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True)
    unit = grid.crs.geodetic_crs.axis_info[0].unit_conversion_factor
    return np.degrees(np.column_stack(to.transform(x, y)) * unit)


def by_geodesics(grid, polygon):
    """Return area and perimeter by Karney's algorithms along densely cut edges."""
    geod = grid.crs.get_geod()
    area = length = 0.0
    for i, ring in enumerate([polygon.exterior, *polygon.interiors]):
        dense = shapely.get_coordinates(shapely.segmentize(ring, 0.5))
        found, around = geod.polygon_area_perimeter(*on_ellipsoid(grid, dense).T)
        area += abs(found) if i == 0 else -abs(found)
        length += around
    return area, length


def by_scale(grid, places):
    """Return the true areas of pixels by the areal scale of the projection, from PROJ."""
    scale = pyproj.Proj(grid.crs).get_factors(*on_ellipsoid(grid, places).T).areal_scale
    unit = grid.crs.axis_info[0].unit_conversion_factor
    return abs(grid.transform.determinant) * unit**2 / np.atleast_1d(scale)


@st.composite
def blobs(draw):
    """A polygon of some pixels around a place on a grid of 900 px, perhaps with a hole."""
    corners = draw(st.integers(3, 12))
    turns = np.sort(
        draw(st.lists(st.floats(0, 6.2), min_size=corners, max_size=corners, unique=True))
    )
    radii = np.array(draw(st.lists(st.floats(2, 40), min_size=corners, max_size=corners)))
    middle = np.array([draw(st.integers(50, 850)), draw(st.integers(50, 850))])
    points = middle + radii[:, None] * np.column_stack([np.cos(turns), np.sin(turns)])
    hull = shapely.convex_hull(shapely.multipoints(np.vstack([points, middle, middle + 3])))
    return (
        shapely.difference(hull, shapely.Point(middle).buffer(1)) if draw(st.booleans()) else hull
    )


@pytest.mark.parametrize("kind", GRIDS)
@settings(max_examples=15)
@given(shape=blobs())
def test_sizes_are_those_of_geodesics(kind, shape):
    grid = GRIDS[kind]
    polygon = shape if shape.geom_type == "Polygon" else shape.geoms[0]
    if kind == "pole":  # of these grids the middle holds the pole, of the others nothing special
        polygon = shapely.affinity.translate(polygon, 1.5, 2.5)
    area, length = by_geodesics(grid, polygon)
    areas, lengths = Placing(grid, grid.crs).placed(np.array([polygon], dtype=object)).sizes()
    bowed = STRAIGHT_WITHIN_M * length * 2 / 3  # what an arc of that height holds over its chord
    assert areas[0] == pytest.approx(area, rel=2e-8, abs=LOST_M2 + bowed)
    if not grid.crs.is_geographic and kind != "mercator":  # whose scale PROJ takes on a sphere
        middle = shapely.get_coordinates(shapely.centroid(polygon))
        expected = polygon.area * by_scale(grid, middle)[0]
        assert areas[0] == pytest.approx(expected, rel=1e-6, abs=1e-6 + bowed)
    assert lengths[0] == pytest.approx(length, rel=2e-8, abs=1e-7)


def test_a_ring_around_a_pole_holds_it():
    grid = GRIDS["pole"]
    square = shapely.box(400.3, 300.4, 1600.2, 1500.1)
    area, length = by_geodesics(grid, square)
    areas, lengths = area_and_perimeter_m(grid.to_crs(np.array([square]), grid.crs), grid.crs)
    assert areas[0] == pytest.approx(area, rel=1e-7)
    assert lengths[0] == pytest.approx(length, rel=1e-7)


def test_an_edge_across_the_antimeridian_is_cut_no_finer_than_others():
    grid = GRIDS["antimeridian"]
    box = np.array([shapely.box(0, 100, 900, 200)], dtype=object)
    placed = Placing(grid, WGS84).placed(box)
    longitudes = placed.polygons.coordinates[:, 0]
    assert longitudes.max() > 179
    assert longitudes.min() < -179
    assert len(longitudes) < 300
    assert placed.sizes()[0] == pytest.approx(
        Placing(grid, grid.crs).placed(box).sizes()[0], rel=1e-8
    )


def test_long_edges_of_parallels_and_meridians():
    geod = pyproj.Geod(ellps="WGS84")
    for bounds in ((10, 20, 25, 30), (-10, -60, 170, 60), (170, -5, 190, 5)):
        box = shapely.box(*bounds)
        dense = shapely.get_coordinates(shapely.segmentize(box, 0.005))
        area, length = geod.polygon_area_perimeter(*dense.T)
        areas, lengths = area_and_perimeter_m(np.array([box], dtype=object), WGS84)
        assert areas[0] == pytest.approx(abs(area), rel=1e-8)
        assert lengths[0] == pytest.approx(length, rel=1e-8)


def test_the_whole_ellipsoid_has_its_area():
    halves = [shapely.box(-180, -90, -60, 90), shapely.box(-60, -90, 60, 90)]
    areas, _ = area_and_perimeter_m(np.array([*halves, shapely.box(60, -90, 180, 90)]), WGS84)
    assert areas.sum() == pytest.approx(510_065_621_724_089.0, rel=1e-12)  # Karney's value


@pytest.mark.parametrize("west", [-180.0, 0.0, -180.0000001])
def test_edges_around_the_world_are_as_long_as_they_look(west):
    east = west + 360.0 + 2e-7 * (west < -180.0)
    boxes = [shapely.box(west, -90, east, 90), shapely.box(west, -30, east, 30)]
    areas, lengths = area_and_perimeter_m(np.array(boxes), WGS84)
    assert areas[0] == pytest.approx(510_065_621_724_089.0, rel=1e-8)
    third = [shapely.box(x, -30, x + 120, 30) for x in (0, 120, 240)]
    parts, around = area_and_perimeter_m(np.array(third), WGS84)
    assert areas[1] == pytest.approx(parts.sum(), rel=1e-8)
    assert lengths[1] == pytest.approx(around.sum() - 4 * 3_320_113.4 * 2, rel=1e-3)


def test_small_steps_are_exact_to_a_billionth():
    geod = pyproj.Geod(ellps="WGS84")
    for latitude in (0.0, 27.6, -52.5, 80.0):
        for side in (1e-6, 1e-5, 1e-3):  # a pixel of a decimetre to a hundred metres
            ring = shapely.box(85.4, latitude, 85.4 + side, latitude + side)
            west, south, east, north = np.radians(np.array(ring.bounds, dtype=np.longdouble))
            area = zone_m2(geod, north, south) * (east - west)
            _, length = geod.polygon_area_perimeter(*shapely.get_coordinates(ring).T)
            areas, lengths = area_and_perimeter_m(np.array([ring], dtype=object), WGS84)
            # digits of the degrees themselves: 1.4e-14 of 1e-6
            assert lengths[0] == pytest.approx(length, rel=1e-9 + 3e-14 / side)
            assert areas[0] == pytest.approx(float(area), rel=1e-11 + 3e-14 / side)


def zone_m2(geod, north, south):
    """Return the area between two parallels per radian of longitude (Snyder 1987, 3-12)."""
    e = np.sqrt(np.longdouble(geod.es))

    def q(latitude):
        sine = np.sin(latitude)
        return (1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)

    return np.longdouble(geod.a) ** 2 / 2 * (q(north) - q(south))


def test_features_are_told_apart():
    two = shapely.MultiPolygon([shapely.box(0, 0, 1e-3, 1e-3), shapely.box(1, 0, 1.001, 1e-3)])
    holed = shapely.box(0, 0, 1e-3, 1e-3) - shapely.box(2e-4, 2e-4, 5e-4, 6e-4)
    wild = shapely.transform(holed, lambda xy: np.where(xy > 9e-4, np.inf, xy))
    shapes = np.array([holed, two, wild, two.geoms[1], holed], dtype=object)
    areas, lengths = area_and_perimeter_m(shapes, WGS84)
    assert np.isnan(areas).tolist() == [False, False, True, False, False]
    assert np.isnan(lengths).tolist() == [False, False, True, False, False]
    assert areas[0] == areas[4] == pytest.approx(areas[3] * 0.88, rel=1e-6)
    assert areas[1] == pytest.approx(2 * areas[3], rel=1e-6)
    back = PolygonArrays.of(shapes).geometries()
    assert shapely.equals_exact(back[[0, 1, 3, 4]], shapes[[0, 1, 3, 4]]).all()


def test_batches_do_not_matter(monkeypatch):
    grid = GRIDS["coarse"]
    shapes = np.array([shapely.box(i, 2 * i, i + 5, 2 * i + 3) for i in range(40)], dtype=object)
    shapes[7] = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 3, 5, 5)])
    whole = Placing(grid, WGS84).placed(shapes)
    areas, lengths = whole.sizes()
    monkeypatch.setattr("deepseg_qgis.engine.geometry.measures.BATCH", 7)
    assert np.array_equal(whole.sizes(), (areas, lengths))
    one_by_one = [Placing(grid, WGS84).placed(shapes[i : i + 1]).sizes()[0][0] for i in range(40)]
    assert one_by_one == pytest.approx(areas.tolist(), rel=1e-11)


@pytest.mark.parametrize("kind", [kind for kind in GRIDS if kind != "mercator"])
def test_pixels_have_their_area_on_the_ground(kind):
    grid = GRIDS[kind]
    places = np.array([[10.5, 20.5], [700.2, 30.9], [899.0, 899.0]])
    latitude = on_ellipsoid(grid, places)[:, 1]
    if grid.crs.is_geographic:
        phi, step = np.radians(latitude), np.radians(grid.transform.a)
        geod = grid.crs.get_geod()
        expected = [float(zone_m2(geod, x + step / 2, x - step / 2) * step) for x in phi]
    else:
        expected = by_scale(grid, places)
    assert grid.pixel_areas_m2(places) == pytest.approx(expected, rel=1e-6)
    assert grid.pixel_areas_m2(np.empty((0, 2))).shape == (0,)


def test_nothing_is_known_without_a_crs():
    grid = Grid(100, 100, UNREFERENCED, None)
    assert np.isnan(grid.pixel_areas_m2(np.array([[3.0, 4.0]]))).all()
    square = np.array([shapely.box(0, 0, 1, 1)], dtype=object)
    areas, lengths = Placing(grid, WGS84).placed(square).sizes()
    assert np.isnan([areas, lengths]).all()
    assert len(Ruler(WGS84).sizes(PolygonArrays.of(square[:0]))[0]) == 0


def test_beyond_the_poles_nothing_is_known():
    shapes = np.array([shapely.box(0, 0, 1, 1e9), shapely.box(0, 89, 1, 90.125)], dtype=object)
    areas, lengths = area_and_perimeter_m(shapes, WGS84)
    assert np.isnan(areas).tolist() == np.isnan(lengths).tolist() == [True, False]


def test_a_comb_over_half_the_world_takes_bounded_memory(monkeypatch):
    columns = np.repeat(np.linspace(0, 1, 2000), 2)
    rows = np.tile([80, -80, -80, 80], 1000)
    comb = shapely.Polygon([*zip(columns, rows, strict=True), (1, 85), (0, 85)])
    lengths = []
    at = Ellipsoid._at
    monkeypatch.setattr(
        Ellipsoid, "_at", lambda self, latitude: lengths.append(len(latitude)) or at(self, latitude)
    )
    areas, _ = area_and_perimeter_m(np.array([comb], dtype=object), WGS84)
    assert max(lengths) < 2 * MOST_STEPS
    monkeypatch.undo()
    teeth = [shapely.box(columns[i], -80, columns[i + 2], 80) for i in range(1, 3999, 4)]
    teeth.append(shapely.box(0, 80, 1, 85))
    expected, _ = area_and_perimeter_m(np.array(teeth, dtype=object), WGS84)
    assert areas[0] == pytest.approx(expected.sum(), rel=1e-9)
