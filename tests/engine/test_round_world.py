"""Polygons across the antimeridian and around the poles: cut, whole, and of the right size."""

import json

import geopandas
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.annotations.annotation_layer import placed
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.features import PolygonBatch
from deepseg_qgis.engine.files.vectors import write_features
from deepseg_qgis.engine.geometry.georeference import Grid, Placing
from deepseg_qgis.engine.geometry.measures import area_and_perimeter_m
from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.geometry.projections import WGS84
from deepseg_qgis.engine.geometry.world import World
from deepseg_qgis.engine.verbs import statistics
from deepseg_qgis.jobs import StatisticsJob

FIELDS = {"id": pa.int64()}


def around_pole(epsg, pixel=25_000.0, size=256, x=0.0, y=0.0):
    """Return a grid with the place (x, y), the pole in most, in its middle."""
    west, north = x - size / 2 * pixel, y + size / 2 * pixel
    return Grid(size, size, Affine(pixel, 0, west, 0, -pixel, north), pyproj.CRS(epsg))


GRIDS = {
    "antarctic": around_pole(3031),
    "antarctic, fine": around_pole(3031, pixel=0.5),
    "arctic": around_pole(3413),
    "arctic, russian": around_pole(3995, pixel=3_000.0),
    "universal polar": around_pole(5041, x=2e6, y=2e6, pixel=1_000.0),
    "equal area": around_pole(6931, pixel=60_000.0),
    "beside the pole": around_pole(3031, pixel=1_000.0, y=-100_000.5, x=777.7),
    "pacific": around_pole(3832, x=3_339_584.7238, pixel=2_000.0),
    "pacific, a pixel edge on 180": around_pole(3832, x=0.0, pixel=3_339_584.723798207 / 100),
    "mercator beyond 180": around_pole(3857, x=20_037_508.342789244, pixel=10_000.0),
    "utm": around_pole(32660, x=833_978.0, y=1e4, pixel=30.0),
    "half the world": around_pole(4087, pixel=78_000.0, x=15e6),
    "alaska": around_pole(3338, x=-1_700_000.0, y=600_000.0, pixel=4_000.0),
}  # fmt: skip


@st.composite
def pixel_shapes(draw):
    """Return a polygon on pixel edges: a union of boxes in the middle, often with a hole."""
    middle = st.integers(96, 160)
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        x, y = draw(middle), draw(middle)
        boxes.append(shapely.box(x, y, x + draw(st.integers(1, 60)), y + draw(st.integers(1, 60))))
    whole = shapely.union_all(boxes)
    if draw(st.booleans()):
        x, y = draw(middle), draw(middle)
        whole = shapely.difference(whole, shapely.box(x, y, x + 9, y + 20))
    parts = [part for part in shapely.get_parts(whole) if part.area > 0]
    return max(parts, key=shapely.area) if parts else shapely.box(128, 128, 140, 140)


def check(grid, shape):
    """Check one polygon in pixels as a polygon in WGS 84."""
    shapes = np.array([shape], dtype=object)
    put = Placing(grid, WGS84).placed(shapes)
    (found,) = put.polygons.geometries()
    assert found.geom_type in ("Polygon", "MultiPolygon")
    assert found.is_valid
    rounded = shapely.transform(found, lambda xy: np.round(xy, 9))  # as GeoJSON has it
    assert rounded.is_valid
    xmin, ymin, xmax, ymax = found.bounds
    assert (xmin, ymin) >= (-180, -90)
    assert (xmax, ymax) <= (180, 90)
    for ring in shapely.get_rings(found):
        assert np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])).max() < 180
    # the sum of the parts is the whole, measured in the raster's own CRS
    area, perimeter = put.sizes()
    own, around = Placing(grid, grid.crs).placed(shapes).sizes()
    assert area == pytest.approx(own, rel=1e-7)
    assert perimeter == pytest.approx(around, rel=1e-6)
    cut, _ = area_and_perimeter_m(np.array([found], dtype=object), WGS84)
    assert cut == pytest.approx(own, rel=1e-7)
    # and the same ground on the way back
    (back,) = placed(np.array([found], dtype=object), WGS84, grid)
    off = shapely.symmetric_difference(back, shape).area
    assert off < 0.02 * shape.length + 1e-3
    return found


@pytest.mark.parametrize("name", GRIDS)
@settings(max_examples=6)
@given(shape=pixel_shapes())
def test_polygons_are_cut_and_stay_what_they_are(name, shape):
    check(GRIDS[name], shape)


SPECIAL = {
    "whole": shapely.box(0, 0, 256, 256),
    "a quarter at the pole": shapely.box(128, 128, 256, 256),
    "three quarters at the pole": shapely.box(0, 0, 256, 256) - shapely.box(128, 128, 256, 256),
    "half, an edge through the pole": shapely.box(0, 0, 256, 128),
    "a ring around the pole": shapely.box(9, 9, 200, 200) - shapely.box(100, 100, 150, 150),
    "a ring with a side near": shapely.box(9, 9, 200, 175) - shapely.box(100, 100, 150, 150),
    "a hole that touches the pole": shapely.box(9, 9, 200, 200) - shapely.box(128, 128, 150, 150),
    "a hole beside it": shapely.box(9, 9, 200, 200) - shapely.box(130, 20, 140, 30),
    "touches 180 in a line": shapely.box(128, 20, 140, 30),
    "touches it in a point": shapely.Polygon([(128, 20), (140, 10), (140, 30)]),
    "one pixel with the pole in its corner": shapely.box(127, 127, 128, 128),
    "the pole in the middle of an edge": shapely.box(120, 120, 128, 140),
}


@pytest.mark.parametrize("shape", SPECIAL)
@pytest.mark.parametrize(
    "grid",
    ["antarctic", "arctic", "antarctic, fine", "pacific, a pixel edge on 180", "universal polar"],
)
def test_what_touches_the_antimeridian_or_a_pole(grid, shape):
    check(GRIDS[grid], SPECIAL[shape])


def test_a_ring_around_the_pole_has_its_edge_there():
    found = check(GRIDS["antarctic"], SPECIAL["whole"])
    assert found.bounds[:3] == (-180.0, -90.0, 180.0)
    found = check(GRIDS["antarctic"], SPECIAL["a ring around the pole"])
    assert found.bounds[1] > -90.0
    assert not found.covers(shapely.Point(77.0, -89.9))


def test_more_than_a_hemisphere_holds_the_pole_that_is_inside():
    grid = around_pole(3573, pixel=85_000.0)
    whole = np.array([shapely.Point(128, 128).buffer(115)], dtype=object)
    put = Placing(grid, WGS84).placed(whole)
    assert put.sizes()[0][0] > 0.55 * 510e12
    assert put.polygons.geometries()[0].covers(shapely.Point(3.0, 89.9))


def written(path, grid, shapes, crs=WGS84):
    arrays = Placing(grid, crs).placed(np.array(shapes, dtype=object)).polygons
    write_features(str(path), [PolygonBatch(arrays, {"id": np.arange(len(shapes))})], FIELDS, crs)
    return json.loads(path.read_text()) if path.suffix == ".geojson" else None


@pytest.mark.parametrize("west", [-180.0, 0.0, 170.0, 350.0, -190.0])
def test_geojson_of_a_raster_in_degrees_lies_within_180(tmp_path, west):
    grid = Grid(360, 180, Affine(1, 0, west, 0, -1, 90), WGS84)
    shapes = [shapely.box(3, 4, 357, 100), shapely.box(0, 0, 360, 180), shapely.box(8, 80, 16, 90)]
    texts = written(tmp_path / "a.geojson", grid, shapes)["features"]
    for text, shape in zip(texts, shapes, strict=True):
        found = shapely.geometry.shape(text["geometry"])
        assert found.is_valid
        assert found.area == pytest.approx(shape.area)
        assert shapely.box(-180, -90, 180, 90).covers(found)
        (back,) = placed(np.array([found], dtype=object), WGS84, grid)
        assert shapely.symmetric_difference(
            shapely.intersection(back, shapely.box(0, 0, 360, 180)), shape
        ).area == pytest.approx(0.0, abs=1e-6)


def test_what_lies_beyond_the_poles_has_no_geometry(tmp_path):
    grid = Grid(10, 10, Affine(1, 0, 175, 0, -1, -85), WGS84)
    shapes = [shapely.box(0, 6, 9, 9), shapely.box(0, 2, 9, 9), shapely.box(0, 5, 9, 9)]
    texts = written(tmp_path / "a.geojson", grid, shapes)["features"]
    assert [text["geometry"] is None for text in texts] == [True, False, True]


def test_wide_polygons_have_their_area():
    grid = Grid(360, 180, Affine(1, 0, -180, 0, -1, 90), WGS84)
    areas, _ = Placing(grid, WGS84).placed(np.array([shapely.box(10, 0, 350, 180)])).sizes()
    assert areas[0] == pytest.approx(510_065_621_724_089.0 * 34 / 36, rel=1e-9)


def test_other_formats_keep_the_place_of_the_raster(tmp_path):
    import pyogrio

    grid = Grid(360, 180, Affine(1, 0, 0, 0, -1, 90), WGS84)
    written(tmp_path / "a.gpkg", grid, [shapely.box(170, 80, 190, 90)])
    assert pyogrio.read_info(tmp_path / "a.gpkg")["total_bounds"] == (170, 0, 190, 10)


def test_among_rasters_of_other_crss_every_format_lies_within_180(tmp_path):
    import pyogrio

    grid = Grid(360, 180, Affine(1, 0, 0, 0, -1, 90), WGS84)
    arrays = Placing(grid, WGS84).placed(np.array([shapely.box(170, 80, 190, 90)])).polygons
    for kind in ("gpkg", "fgb", "parquet", "geojson"):
        path = tmp_path / f"a.{kind}"
        batch = PolygonBatch(arrays, {"id": np.arange(1)})
        write_features(str(path), [batch], FIELDS, WGS84, anywhere=True)
        found = (
            geopandas.read_parquet(path) if kind == "parquet" else pyogrio.read_dataframe(path)
        ).geometry[0]
        assert found.area == pytest.approx(200)
        assert [part.bounds for part in sorted(found.geoms, key=lambda part: part.bounds)] == [
            (-180, 0, -170, 10),
            (170, 0, 180, 10),
        ]


@pytest.mark.parametrize("drawn", [3031, 4326])
def test_statistics_within_an_area_around_the_pole(tmp_path, make_layer, drawn):
    grid = around_pole(3031, pixel=1_000.0)
    shapes = np.array([shapely.box(x, 0, x + 64, 256) for x in range(0, 256, 64)], dtype=object)
    polygons = make_layer(Placing(grid, WGS84).placed(shapes).polygons.geometries(), crs=WGS84)
    around = shapely.box(64, 64, 192, 192)
    crs = pyproj.CRS(drawn)
    place = Placing(grid, crs).placed(np.array([around], dtype=object))
    area = make_layer(place.polygons.geometries(), crs=crs, name="area")
    job = StatisticsJob(polygons, area, str(tmp_path / "table.csv"), None)
    found = statistics.run(job, Control())
    assert found["count"] == 2
    assert found["area_m2"] == pytest.approx(place.sizes()[0][0], rel=1e-6)


ACROSS = shapely.box(179, 0, 181, 1)
SPLIT = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
EAST, WEST = shapely.box(181, 0, 182, 1), shapely.box(-179, 0, -178, 1)


@pytest.mark.parametrize(
    ("polygon", "area"), [(ACROSS, SPLIT), (SPLIT, ACROSS), (EAST, WEST), (WEST, EAST)]
)
@pytest.mark.parametrize("crs", [4326, 3857])
def test_an_area_of_interest_counts_on_both_sides_of_180(tmp_path, make_layer, polygon, area, crs):
    metres = 1.0 if crs == 4326 else 20_037_508.342789244 / 180.0
    drawn = shapely.transform(area, lambda xy: xy * metres)
    polygons = make_layer([polygon], crs=WGS84)
    aoi = make_layer([drawn], crs=pyproj.CRS(crs), name="area")
    found = statistics.run(StatisticsJob(polygons, aoi, str(tmp_path / "s.csv"), None), Control())
    expected = area_and_perimeter_m(np.array([polygon]), WGS84)[0][0]
    assert found["area_m2"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("crs", [3031, 4326, 3857])
@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_what_is_drawn_around_a_pole_covers_it_on_a_raster_of_the_world(crs, west):
    drawn = {
        3031: shapely.Point(0, 0).buffer(2e6, quad_segs=64),
        4326: shapely.box(-180, -90, 180, -71.5),
        3857: shapely.box(-20_037_508.34, -2e8, 20_037_508.34, -11_576_000),
    }[crs]
    grid = Grid(360, 180, Affine(1, 0, west, 0, -1, 90), WGS84)
    (found,) = placed(np.array([drawn], dtype=object), pyproj.CRS(crs), grid)
    on_raster = shapely.intersection(found, shapely.box(0, 0, 360, 179))
    assert on_raster.area == pytest.approx(360 * 17.5, rel=0.02)


@pytest.mark.parametrize("x", [20_037_508.342789244, -20_037_508.342789244])
def test_annotations_across_180_lie_on_both_sides_of_a_mercator_raster(x):
    grid = around_pole(3857, x=x, pixel=1_000.0)
    for drawn in (
        shapely.box(179.9, -0.1, 180.1, 0.1),
        shapely.box(-180.1, -0.1, -179.9, 0.1),
        shapely.MultiPolygon(
            [shapely.box(179.9, -0.1, 180, 0.1), shapely.box(-180, -0.1, -179.9, 0.1)]
        ),
    ):
        (found,) = placed(np.array([drawn], dtype=object), WGS84, grid)
        assert found.area == pytest.approx((0.2 * 111.3195) ** 2, rel=1e-4)


def test_cylinders_and_longitudes_close_on_themselves_and_others_do_not():
    turn = 2 * np.pi * 6_378_137.0
    for epsg in (3857, 3832, 4087, 3395):
        world = World.of(pyproj.CRS(epsg))
        assert world is not None
        assert world.period == pytest.approx(turn, rel=1e-12)
    assert World.of(WGS84) == World(360.0, -90.0, 90.0)
    for epsg in (3031, 32660, 3338, 2154, 27700, 31370):
        assert World.of(pyproj.CRS(epsg)) is None


def test_what_does_not_reach_the_antimeridian_keeps_every_digit():
    grid = around_pole(32633, x=5e5, y=5.8e6, pixel=10.0)
    arrays = PolygonArrays.of(np.array([shapely.box(3, 4, 90, 80)], dtype=object))
    put = Placing(grid, WGS84).placed(arrays)
    assert put.polygons is put.course


def test_what_reaches_around_the_world_for_ever_is_cut_soon():
    grid = Grid(90, 70, Affine(4, 0, -180, 0, -2.5, 90), WGS84)
    far = np.array([shapely.box(-1e14, 0, 1e14, 10), shapely.box(1e13, 0, 1e14, 10)], dtype=object)
    found = placed(far, pyproj.CRS.from_epsg(4258), grid)
    assert shapely.is_valid(found).all()
