"""Pixels land where they belong: to 0.1 mm, on every kind of grid."""

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.geometry import densification
from deepseg_qgis.engine.geometry.densification import reprojected
from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid
from deepseg_qgis.engine.geometry.measures import area_and_perimeter_m
from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.geometry.projections import WGS84
from deepseg_qgis.errors import DeepSegError

GRIDS = {
    "north-up": Grid(3000, 2000, Affine(0.2, 0, 352_000, 0, -0.2, 5_804_000), pyproj.CRS(32633)),
    "rotated": Grid(
        3000,
        2000,
        Affine(0.26, 0.21, 352_000, 0.15, -0.34, 5_804_000),
        pyproj.CRS(32633),
    ),
    "south-up": Grid(900, 700, Affine(10, 0, 600_000, 0, 10, 1_000_000), pyproj.CRS(32736)),
    "geographic": Grid(3600, 1800, Affine(1e-4, 0, 13.2, 0, -1e-4, 52.6), WGS84),
    "web mercator": Grid(
        4096, 4096, Affine(0.149, 0, 9_497_000, 0, -0.149, 3_202_000), pyproj.CRS(3857)
    ),
}


def on_ground(grid: Grid, xy: np.ndarray) -> np.ndarray:
    """Return longitude and latitude of pixel coordinates, point by point, by pyproj alone."""
    a, b, c, d, e, f = grid.transform[:6]
    x, y = a * xy[:, 0] + b * xy[:, 1] + c, d * xy[:, 0] + e * xy[:, 1] + f
    to = pyproj.Transformer.from_crs(grid.crs, WGS84, always_xy=True)
    return np.column_stack(to.transform(x, y))


def distance_m(points: np.ndarray, line: shapely.Geometry) -> float:
    """Return the greatest distance in metres of points to a line, both in degrees."""
    scale = np.array([111_320 * np.cos(np.radians(points[0, 1])), 110_574.0])
    metric = shapely.transform(line, lambda xy: (xy - points[0]) * scale)
    return shapely.distance(shapely.points((points - points[0]) * scale), metric).max()


@pytest.mark.parametrize("kind", GRIDS)
def test_edges_stay_within_a_tenth_of_a_millimetre_of_their_course(kind):
    grid = GRIDS[kind]
    square = shapely.box(3, 5, grid.width - 7, grid.height - 11)
    (found,) = grid.to_crs(np.array([square], dtype=object), WGS84)
    dense = shapely.get_coordinates(shapely.segmentize(square, 0.37).exterior)
    assert distance_m(on_ground(grid, dense), found.exterior) < 1.1e-4


@pytest.mark.parametrize("kind", GRIDS)
def test_there_and_back_is_the_same_place(kind):
    grid = GRIDS[kind]
    square = np.array([shapely.box(10, 20, 310, 120)], dtype=object)
    for crs in (WGS84, pyproj.CRS(3857), grid.crs):
        back = grid.from_crs(grid.to_crs(square, crs), crs)
        pixel_m = grid.resolution_m
        assert shapely.hausdorff_distance(back, square)[0] * pixel_m < 2e-4 + 0.01 * pixel_m


@pytest.mark.parametrize("kind", GRIDS)
def test_areas_are_those_of_pyproj_on_dense_edges(kind):
    grid = GRIDS[kind]
    outer = shapely.box(50, 50, 650, 450)
    shape = shapely.difference(outer, shapely.box(100, 100, 200, 300))
    dense = shapely.transform(shapely.segmentize(shape, 0.5), lambda xy: on_ground(grid, xy))
    area, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shapely.normalize(dense))
    lengths = [
        pyproj.Geod(ellps="WGS84").line_length(*shapely.get_coordinates(ring).T)
        for ring in (dense.exterior, *dense.interiors)
    ]
    for crs in (grid.crs, WGS84):
        geometry = grid.to_crs(np.array([shape], dtype=object), crs)
        found_area, found_length = area_and_perimeter_m(geometry, crs)
        assert found_area[0] == pytest.approx(abs(area), rel=2e-8)
        assert found_length[0] == pytest.approx(sum(lengths), rel=2e-8)


def test_web_mercator_is_not_taken_for_metres():
    grid = GRIDS["web mercator"]
    assert grid.resolution_m == pytest.approx(0.149 * np.cos(np.radians(27.6)), rel=0.01)


def test_without_crs_places_are_pixels_and_sizes_unknown():
    grid = Grid(100, 50, UNREFERENCED, None)
    square = np.array([shapely.box(0, 0, 10, 20)], dtype=object)
    assert grid.to_crs(square, WGS84)[0].bounds == (0.0, -20.0, 10.0, 0.0)
    assert grid.resolution_m is None
    assert np.isnan(area_and_perimeter_m(square, None)[0]).all()


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 900), st.integers(0, 900))
def test_shared_edges_are_cut_alike(width, height, column, row):
    grid = Grid(1000, 1000, Affine(25, 0, 200_000, 0, -25, 7_000_000), pyproj.CRS(32633))
    left = shapely.box(column, row, column + width, row + height)
    right = shapely.box(column + width, row, column + 2 * width, row + height)
    both = grid.to_crs(np.array([left, right], dtype=object), WGS84)
    seam = shapely.intersection(*(shapely.set_precision(each, 1e-9) for each in both))
    assert seam.area < 1e-15
    corners = [shapely.get_coordinates(each).round(9) for each in both]
    edge = [{tuple(xy) for xy in each} for each in corners]
    shared = edge[0] & edge[1]
    on_edge = on_ground(grid, np.array([[column + width, row], [column + width, row + height]]))
    assert {tuple(xy) for xy in on_edge.round(9)} <= shared


def test_polygons_stay_polygons_beside_multipolygons():
    grid = GRIDS["north-up"]
    single = shapely.box(0, 0, 1000, 1000)
    double = shapely.MultiPolygon([shapely.box(0, 0, 5, 5), shapely.box(10, 10, 15, 15)])
    found = grid.to_crs(np.array([single, double], dtype=object), WGS84)
    assert [each.geom_type for each in found] == ["Polygon", "MultiPolygon"]


def test_what_begins_beyond_the_projection_is_infinite():
    grid = Grid(900, 900, Affine(0.2, 0, 700_000, 0, -0.2, 6_600_000), pyproj.CRS(2154))
    world = shapely.Polygon([(-180, -90), (180, -90), (180, 80), (-180, 80)])
    (found,) = grid.from_crs(np.array([world], dtype=object), WGS84)
    (first, *_, last) = shapely.get_coordinates(found).tolist()
    assert first == last == [np.inf, np.inf]


def test_measures_do_not_count():
    measured = shapely.from_wkt("POLYGON M ((0 0 1, 4 0 2, 4 4 3, 0 0 1))")
    arrays = PolygonArrays.of(np.array([measured], dtype=object))
    assert arrays.coordinates.tolist() == [[0, 0], [4, 0], [4, 4], [0, 0]]


def test_from_the_moon_there_is_no_way():
    moon = pyproj.CRS("+proj=longlat +R=1737400 +no_defs +type=crs")
    grid = GRIDS["north-up"]
    with pytest.raises(DeepSegError, match=r"cannot be brought to .*name the output \.gpkg"):
        grid.from_crs(np.array([shapely.box(0, 0, 1, 1)], dtype=object), moon)


def test_a_wild_projection_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr(densification, "MOST_ADDED", 1000)
    turn = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    star = shapely.Polygon(np.column_stack([np.cos(turn), np.sin(turn)]) * (1 + turn % 2)[:, None])
    (found,) = reprojected(np.array([star], dtype=object), lambda xy: np.sin(xy * 50), 1e-9)
    assert 500 < shapely.get_num_coordinates(found) <= 1000 + 5 * 501
