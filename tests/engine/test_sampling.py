"""Maps as strata, points on them, and what becomes of points that are filled in."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.label_rasters.value_names import category_tags
from deepseg_qgis.engine.files.raster_output import write_value_names
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.measures import area_and_perimeter_m
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.sampling.polygon_strata import PolygonStrata, random_places
from deepseg_qgis.engine.sampling.raster_strata import PixelGround, RasterStrata
from deepseg_qgis.engine.verbs import estimatearea, sampledesign
from deepseg_qgis.errors import DeepSegError
from deepseg_qgis.jobs import EstimateAreaJob, SampleDesignJob, SamplePoint, SampleSource
from tests.engine.conftest import UTM
from tests.support.example_jobs import Watched

WGS84 = pyproj.CRS.from_epsg(4326)


def design_job(output, **changes):
    job = SampleDesignJob(
        map_raster=None,
        map_polygons=None,
        aoi=None,
        target=0.05,
        expected_accuracy=0.8,
        expected_accuracies={},
        sample_size=60,
        min_points=20,
        seed=1,
        output=str(output),
    )
    return replace(job, **changes)


def area_job(points, folder, **changes):
    job = EstimateAreaJob(
        sample=SampleSource("sample", "reference_category", tuple(points), ()),
        map_raster=None,
        map_polygons=None,
        aoi=None,
        output=str(folder / "areas.csv"),
        output_json=str(folder / "areas.json"),
        output_html=str(folder / "areas.html"),
    )
    return replace(job, **changes)


@pytest.fixture
def classes(make_raster):
    """A class raster: a block of houses, background, a corner without data; named beside it."""
    array = np.zeros((1, 100, 80), dtype=np.uint8)
    array[0, :20, :40] = 1
    array[0, 90:, :] = 255
    source = make_raster(array, name="classes.tif", nodata=255)
    write_value_names(source.path, ["background", "house"])
    return source


def test_strata_of_a_raster(classes) -> None:
    with Raster(classes, stored=True) as raster:
        strata = RasterStrata(raster, None, Control()).strata
    assert [each.name for each in strata] == ["background", "house"]
    assert [each.most_points for each in strata] == [6400, 800]
    assert [each.share for each in strata] == pytest.approx([8 / 9, 1 / 9], rel=1e-4)
    assert strata[1].area_m2 == pytest.approx(200.0, rel=2e-3)


def test_points_lie_on_pixels_of_their_stratum_and_none_twice(classes, tmp_path) -> None:
    output = tmp_path / "sample.gpkg"
    result = sampledesign.run(design_job(output, map_raster=classes), Control())
    sample = geopandas.read_file(output)
    assert result["count"] == len(sample) == 60
    assert sample.crs == UTM
    columns = (sample.geometry.x - 5e5) / 0.5
    rows = (55e5 - sample.geometry.y) / 0.5
    assert np.allclose(columns % 1, 0.5)
    assert len(set(zip(columns, rows, strict=True))) == 60
    houses = (rows < 20) & (columns < 40)
    assert (sample["map_category"] == np.where(houses, "house", "background")).all()
    assert (rows < 90).all()
    assert int(houses.sum()) == 20
    assert sample["reference_category"].isna().all()
    assert sample["stratum_share"].round(3).unique().tolist() in ([0.889, 0.111], [0.111, 0.889])
    assert sample["id"].tolist() == list(range(1, 61))
    assert len(set(sample["map_category"][:12])) == 2, "in random order"


def test_the_seed_decides(classes, tmp_path) -> None:
    paths = [tmp_path / f"{name}.gpkg" for name in "abc"]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        sampledesign.run(design_job(path, map_raster=classes, seed=seed), Control())
    one, same, other = (geopandas.read_file(path).geometry for path in paths)
    assert (one == same).all()
    assert not (one == other).all()


def test_the_advised_size_follows_what_is_expected(classes, tmp_path) -> None:
    job = design_job(
        tmp_path / "s.gpkg",
        map_raster=classes,
        sample_size=None,
        target=0.1,
        expected_accuracies={"background": 0.95},
    )
    few = sampledesign.run(job, Control())
    many = sampledesign.run(
        replace(job, expected_accuracies={}, output=str(tmp_path / "t.gpkg")), Control()
    )
    assert few["count"] == 40, "the least of both categories"
    assert many["count"] == 62, "eq. 13: (0.4 / (0.1 / 1.96))² = 61.5"
    assert few["half_width"] < 0.1
    assert [each["name"] for each in few["categories"]] == ["background", "house"]


def test_small_strata_are_drawn_whole_and_single_pixels_left_out(make_raster, tmp_path) -> None:
    array = np.zeros((1, 60, 60), dtype=np.uint8)
    array[0, 0, :3] = 1
    array[0, 9, 9] = 2
    source = make_raster(array)
    control = Watched()
    result = sampledesign.run(design_job(tmp_path / "s.gpkg", map_raster=source), control)
    assert result["count"] == 43
    assert any("'1' has 3 pixels: all of them" in text for text in control.texts)
    assert any("The value 2" in text and "1 pixel" in text for text in control.texts)


def test_names_in_the_metadata_of_masks(make_raster) -> None:
    array = np.ones((1, 8, 8), dtype=np.uint8)
    array[0, 0] = 0
    source = make_raster(array)
    import rasterio

    with rasterio.open(source.path, "r+") as dataset:
        dataset.update_tags(ns="DEEPSEG", **category_tags([Category("roof", "#123456")]))
    with Raster(source, stored=True) as raster:
        strata = RasterStrata(raster, None, Control()).strata
    assert strata[1].category == Category("roof", "#123456")


def test_pixels_count_by_their_ground(make_raster, make_layer, tmp_path) -> None:
    """In longitude and latitude a pixel at 60° has half the ground of one at the equator."""
    array = np.zeros((1, 120, 40), dtype=np.uint8)
    array[0, :60] = 1
    source = make_raster(array, transform=Affine(0.5, 0, 0, 0, -0.5, 60.0), crs=WGS84)
    with Raster(source, stored=True) as raster:
        ground = PixelGround(raster.grid).of(raster.grid.window)
        exact = raster.grid.pixel_areas_m2(np.array([[0.5, 0.5], [20.5, 77.5]]))
        strata = RasterStrata(raster, None, Control()).strata
        drawn = RasterStrata(raster, None, Control()).draw([700, 0], np.random.default_rng(0))[0]
    assert [ground[0, 0], ground[77, 20]] == pytest.approx(exact.tolist(), rel=1e-3)
    north = area_and_perimeter_m(np.array([shapely.box(0, 30, 20, 60)]), WGS84)[0][0]
    south = area_and_perimeter_m(np.array([shapely.box(0, 0, 20, 30)]), WGS84)[0][0]
    assert strata[1].area_m2 == pytest.approx(north, rel=1e-4)
    assert strata[1].share == pytest.approx(north / (north + south), rel=1e-4)
    # between the equator and 30°, the half below asin(0.25) = 14.5° has half of the ground
    below = float((drawn[:, 1] < 14.48).mean())
    assert abs(below - 0.5) < 0.06


def test_an_area_of_interest_bounds_a_raster_map(classes, make_layer, tmp_path) -> None:
    aoi = make_layer([shapely.box(5e5, 55e5 - 10, 5e5 + 40, 55e5)])
    sampledesign.run(design_job(tmp_path / "s.gpkg", map_raster=classes, aoi=aoi), Control())
    sample = geopandas.read_file(tmp_path / "s.gpkg")
    assert sample.within(shapely.box(5e5, 55e5 - 10, 5e5 + 40, 55e5)).all()
    assert sample["stratum_share"].round(3).unique().tolist() == [0.5]
    away = make_layer([shapely.box(0, 0, 10, 10)], name="away")
    with pytest.raises(DeepSegError, match="no classes here"):
        sampledesign.run(design_job(tmp_path / "t.gpkg", map_raster=classes, aoi=away), Control())


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8, 8), np.uint8), "found 3 bands"),
        (np.zeros((1, 8, 8), np.float32), "of type float32"),
        (np.arange(400, dtype=np.int16).reshape(1, 20, 20), "more than 254"),
    ],
)
def test_what_is_no_raster_of_classes(array, words, make_raster, tmp_path) -> None:
    with pytest.raises(DeepSegError, match=words):
        sampledesign.run(design_job(tmp_path / "s.gpkg", map_raster=make_raster(array)), Control())


def test_strata_of_polygons_have_true_areas_and_the_smaller_lies_on_top(make_layer) -> None:
    field, pond = shapely.box(10, 50, 10.02, 50.01), shapely.box(10.005, 50.002, 10.01, 50.006)
    layer = make_layer([field, pond], ["field", "pond"], crs=WGS84)
    aoi = make_layer([shapely.box(10, 50, 10.04, 50.02)], crs=WGS84, name="aoi")
    found = PolygonStrata(layer, aoi, Control())
    true, _ = area_and_perimeter_m(
        np.array([shapely.box(10, 50, 10.04, 50.02), field, pond]), WGS84
    )
    assert [each.name for each in found.strata] == ["background", "field", "pond"]
    areas = [each.area_m2 for each in found.strata]
    expected = [true[0] - true[1], true[1] - true[2], true[2]]
    assert areas == pytest.approx(expected, rel=1e-6)
    background, fields, ponds = found.draw([400, 200, 50], np.random.default_rng(0))
    assert shapely.contains_xy(pond, ponds).all()
    assert shapely.contains_xy(shapely.difference(field, pond), fields).all()
    assert not shapely.contains_xy(field, background).any()
    assert shapely.contains_xy(shapely.box(10, 50, 10.04, 50.02), background).all()
    # of the background a third lies north of the field, and two thirds east of it
    assert abs(float((background[:, 0] > 10.02).mean()) - 2 / 3) < 0.08


def test_polygons_on_both_sides_of_the_antimeridian(make_layer) -> None:
    west, east = shapely.box(179.9, -1, 180, 0), shapely.box(-180, -1, -179.9, 0)
    layer = make_layer([west, east], ["reef", "reef"], crs=WGS84)
    aoi = make_layer([shapely.box(179.8, -1, 180, 0), shapely.box(-180, -1, -179.8, 0)], crs=WGS84)
    layer = make_layer([west, east], ["reef", "reef"], crs=WGS84, name="reefs")
    found = PolygonStrata(layer, aoi, Control())
    assert [each.share for each in found.strata] == pytest.approx([0.5, 0.5], rel=1e-6)
    places = found.draw([10, 40], np.random.default_rng(0))[1]
    assert (np.abs(places[:, 0]) > 179.9).all()
    assert len(set(np.sign(places[:, 0]))) == 2


def test_polygons_without_a_crs_have_shares_but_no_areas(make_layer, tmp_path) -> None:
    layer = make_layer([shapely.box(0, 0, 10, 10)], ["a"], crs=None)
    aoi = make_layer([shapely.box(0, 0, 20, 20)], crs=None, name="aoi")
    sampledesign.run(design_job(tmp_path / "s.gpkg", map_polygons=layer, aoi=aoi), Control())
    sample = geopandas.read_file(tmp_path / "s.gpkg")
    assert set(sample["stratum_share"]) == {0.25, 0.75}
    assert sample["stratum_m2"].isna().all()
    assert sample.crs is None


def test_polygons_that_leave_nothing_need_no_background(make_layer) -> None:
    found = PolygonStrata(make_layer([shapely.box(5e5, 0, 5e5 + 9, 9)], ["a"]), None, Control())
    assert [each.name for each in found.strata] == ["a"]
    away = make_layer([shapely.box(6e5, 0, 6e5 + 9, 9)], name="away")
    with pytest.raises(DeepSegError, match="lies in the area of interest"):
        PolygonStrata(make_layer([shapely.box(5e5, 0, 5e5 + 9, 9)], ["a"]), away, Control())


def test_places_in_polygons_are_uniform() -> None:
    ring = shapely.difference(shapely.box(0, 0, 4, 4), shapely.box(1, 1, 3, 3))
    shapes = np.array([ring, shapely.box(10, 0, 14, 1)], dtype=object)
    places = random_places(shapes, 4000, np.random.default_rng(0))
    assert shapely.contains_xy(shapely.union_all(shapes), places).all()
    assert abs(float((places[:, 0] > 9).mean()) - 0.25) < 0.03
    assert abs(float((places[places[:, 0] < 9][:, 1] > 3).mean()) - 1 / 3) < 0.03


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample_size": 30}, "sample size of 40 or more"),
        ({"expected_accuracies": {"tree": 0.9}}, "no category 'tree'.*'background', 'house'"),
        ({"expected_accuracies": {"house": 1.0}}, "of 'house' must be from 0.01 to 0.99, got 1"),
        ({"target": 0.0}, "half width must be"),
        ({"output": "/t/s.geojson"}, "ends in .gpkg"),
        ({"map_raster": None}, "Expected one map"),
    ],
)
def test_designs_that_cannot_be(changes, words, classes, tmp_path) -> None:
    job = replace(design_job(tmp_path / "s.gpkg", map_raster=classes), **changes)
    with pytest.raises(DeepSegError, match=words):
        sampledesign.run(job, Control())
    assert not (tmp_path / "s.gpkg").exists()


POINTS = [
    *[SamplePoint("house", "house", 0.2, 2e4)] * 40,
    *[SamplePoint("house", "background", 0.2, 2e4)] * 10,
    *[SamplePoint("background", "background", 0.8, 8e4)] * 95,
    *[SamplePoint("background", "house", 0.8, 8e4)] * 5,
]


def test_areas_come_as_table_json_and_page(tmp_path) -> None:
    result = estimatearea.run(area_job(POINTS, tmp_path), Control())
    assert result["overall_accuracy"] == pytest.approx(0.2 * 0.8 + 0.8 * 0.95)
    assert result["count"] == 150
    with open(tmp_path / "areas.csv", encoding="utf-8") as file:
        rows = {row["category"]: row for row in csv.DictReader(file)}
    house = rows["house"]
    assert float(house["area_ha"]) == pytest.approx(10.0 * (0.2 * 0.8 + 0.8 * 0.05))
    assert float(house["mapped_m2"]) == 2e4
    assert float(house["area_low_ha"]) < 2.0 < float(house["area_high_ha"])
    types = (tmp_path / "areas.csvt").read_text().strip().split(",")
    assert types[:3] == ['"String"', '"Integer64"', '"Real"']
    content = json.loads((tmp_path / "areas.json").read_text(encoding="utf-8"))
    assert content["error_matrix"]["counts"] == [[95, 5], [10, 40]]
    assert content["total_m2"] == pytest.approx(1e5)
    page = (tmp_path / "areas.html").read_text(encoding="utf-8")
    assert "Estimated area (ha)" in page
    assert "76.00 (95)" in page
    assert "Olofsson" in page


def test_the_map_says_the_ground_anew(classes, tmp_path) -> None:
    bare = [replace(each, share=None, area_m2=None) for each in POINTS]
    with pytest.raises(DeepSegError, match="Choose the map"):
        estimatearea.run(area_job(bare, tmp_path), Control())
    estimatearea.run(area_job(bare, tmp_path, map_raster=classes), Control())
    content = json.loads((tmp_path / "areas.json").read_text(encoding="utf-8"))
    shares = [each["mapped_share"] for each in content["categories"]]
    assert shares == pytest.approx([8 / 9, 1 / 9], rel=1e-4)


def test_without_sizes_there_are_shares(tmp_path) -> None:
    control = Watched()
    points = [replace(each, area_m2=None) for each in POINTS]
    estimatearea.run(area_job(points, tmp_path), control)
    assert any("Areas in hectares are not known" in text for text in control.texts)
    assert "Estimated area (% of the map)" in (tmp_path / "areas.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "has no points"),
        ([*POINTS, replace(POINTS[0], reference_category=None)], "1 point of 151.*has no value"),
        ([*POINTS, replace(POINTS[0], map_category=None)], "added by hand"),
        ([*POINTS, replace(POINTS[0], reference_category="House")], "Did you mean 'house'"),
        ([*POINTS, replace(POINTS[0], share=0.3)], "as 0.2 and as 0.3"),
        (POINTS[:50], "have 20.0 % of its ground together"),
        (POINTS[49:], "1 point where the map says 'house'"),
    ],
)
def test_samples_that_cannot_be_used(points, words, tmp_path) -> None:
    with pytest.raises(DeepSegError, match=words):
        estimatearea.run(area_job(points, tmp_path), Control())
    assert not list(tmp_path.iterdir())


def test_an_area_without_a_map_is_told(make_layer, tmp_path) -> None:
    aoi = make_layer([shapely.box(5e5, 0, 5e5 + 9, 9)])
    with pytest.raises(DeepSegError, match="no map is chosen"):
        estimatearea.run(area_job(POINTS, tmp_path, aoi=aoi), Control())


def test_no_output_replaces_the_sample(tmp_path) -> None:
    sample = tmp_path / "areas.csv"
    sample.write_text("x")
    job = area_job(POINTS, tmp_path)
    job = replace(job, sample=replace(job.sample, files=(str(sample),)))
    with pytest.raises(DeepSegError, match="belongs to the layer 'sample'"):
        estimatearea.run(job, Control())
