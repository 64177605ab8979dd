"""Rasters and layers whose place on the ground is not known, or known to nobody else."""

import json

import example_jobs
import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from deepseg_qgis import jobs
from deepseg_qgis.engine.annotations.annotation_layer import load, placed
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.raster_sets import as_mosaic, at_model_resolution, open_rasters
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid
from deepseg_qgis.engine.geometry.local_crs import metres_per_local_unit
from deepseg_qgis.engine.geometry.measures import area_and_perimeter_m
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.verbs import predict, statistics, tile
from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import RasterSource
from tests.engine.conftest import NORTH_UP, UTM

LOCAL = pyproj.CRS.from_wkt('LOCAL_CS["Local Coordinates (m)",UNIT["metre",1]]')
FEET = pyproj.CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
HEIGHTS = pyproj.CRS.from_wkt(
    'COMPD_CS["site and height",LOCAL_CS["site",UNIT["metre",1]],'
    'VERT_CS["h",VERT_DATUM["v",2005],UNIT["metre",1],AXIS["Up",UP]]]'
)
PIXELS = pyproj.CRS.from_wkt('LOCAL_CS["picture",UNIT["pixel",1]]')
PLACE = Affine(0.25, 0.0, 1000.0, 0.0, -0.25, 2000.0)
IMAGE = np.random.default_rng(2).integers(0, 255, (1, 80, 80)).astype(np.uint8)


@pytest.fixture
def said():
    texts = []
    return Control(lambda event: texts.append(getattr(event, "text", ""))), texts


@pytest.fixture
def model(tmp_path):
    import torch

    torch.manual_seed(0)
    card = ModelCard(
        architecture="linknet",
        encoder="mobilenet_v2",
        task="semantic",
        categories=(Category("a", "#00aa11"),),
        band_names=("band 1",),
        dtype="uint8",
        resolution_m=None,
        mean=(128.0,),
        std=(60.0,),
        tile_size_px=64,
        thresholds=(0.5,),
    )
    path = str(tmp_path / "model.safetensors")
    weights.save(
        path, networks.build(NetworkDesign("linknet", "mobilenet_v2"), 1, 1).state_dict(), card
    )
    return path


def tiled(source, path, control):
    tile.run(example_jobs.tile_job(source, path, tile_size_px=40), control)
    return path


@pytest.mark.parametrize(
    ("crs", "unit_m"), [(LOCAL, 1.0), (FEET, 0.3048), (HEIGHTS, 1.0), (PIXELS, None)]
)
def test_sizes_in_a_local_crs_are_those_on_its_plane(crs, unit_m):
    square = np.array([shapely.box(0, 0, 10, 4).difference(shapely.box(1, 1, 2, 2))], dtype=object)
    (area,), (perimeter,) = area_and_perimeter_m(square, crs)
    assert metres_per_local_unit(crs) == unit_m
    if unit_m is None:
        assert np.isnan([area, perimeter]).all()
    else:
        assert (area, perimeter) == pytest.approx((39 * unit_m**2, 32 * unit_m))


@pytest.mark.parametrize("crs", [LOCAL, FEET, HEIGHTS])
@pytest.mark.parametrize("extension", ["gpkg", "fgb", "parquet"])
def test_a_local_crs_is_kept(make_raster, tmp_path, said, crs, extension):
    source = make_raster(IMAGE, PLACE, crs.to_wkt(version="WKT1_GDAL"))
    path = tiled(source, tmp_path / f"tiles.{extension}", said[0])
    read = geopandas.read_parquet if extension == "parquet" else geopandas.read_file
    frame = read(path)
    assert frame.crs is not None
    assert metres_per_local_unit(pyproj.CRS(frame.crs)) == metres_per_local_unit(crs)
    assert frame.total_bounds.tolist() == [1000, 1980, 1020, 2000]
    texts = " ".join(said[1])
    assert "is local" in texts
    assert "pixels" not in texts


def test_predictions_in_a_local_crs_have_areas(make_raster, tmp_path, model, said):
    source = make_raster(IMAGE, PLACE, LOCAL.to_wkt(version="WKT1_GDAL"))
    output = tmp_path / "found.gpkg"
    classes = str(tmp_path / "classes.tif")
    given = example_jobs.predict_job(source, model, output, threshold=0.0, output_classes=classes)
    result = predict.run(given, said[0])
    assert result["area_m2"] == pytest.approx(400.0)
    assert pyogrio.read_dataframe(output)["area_m2"].sum() == pytest.approx(400.0)
    with rasterio.open(classes) as dataset:
        assert pyproj.CRS.from_wkt(dataset.crs.to_wkt()) == LOCAL
        assert dataset.transform == PLACE
    assert "georeference" not in " ".join(said[1])


def test_statistics_know_a_local_crs(make_layer, tmp_path, said):
    squares = [shapely.box(x, 0, x + 2, 2) for x in (0, 10)]
    for crs, area in ((LOCAL, 8.0), (FEET, 8 * 0.3048**2), (PIXELS, None), (None, None)):
        layer = make_layer(squares, ["a", "a"], crs=crs, name=f"layer{area}")
        job = jobs.StatisticsJob(layer, None, str(tmp_path / "t.csv"), None)
        assert statistics.run(job, said[0])["area_m2"] == (area and pytest.approx(area))
        assert ("not known" in " ".join(said[1])) == (area is None)


def test_rasters_in_a_local_crs_are_resampled_and_joined(make_raster, said):
    wkt = FEET.to_wkt(version="WKT1_GDAL")
    west = make_raster(IMAGE, PLACE, wkt, name="west.tif")
    east = make_raster(IMAGE, PLACE @ Affine.translation(80, 0), wkt, name="east.tif")
    with open_rasters([west, east]) as rasters:
        assert rasters[0].grid.resolution_m == pytest.approx(0.25 * 0.3048)
        assert as_mosaic(rasters).grid.width == 160
        (coarse,) = at_model_resolution(rasters, 0.5 * 0.3048, True, said[0])
        assert coarse.grid.width == 80


def test_annotations_in_the_same_local_crs_lie_where_they_were_drawn(make_raster, make_layer):
    layer = make_layer([shapely.box(1002, 1990, 1004, 1998)], ["a"], crs=LOCAL)
    with Raster(make_raster(IMAGE, PLACE, LOCAL.to_wkt(version="WKT1_GDAL"))) as raster:
        (shape,), _ = load(layer, Control()).on(raster)
        assert shape.bounds == (8, 8, 16, 40)
        utm = placed(np.array([shapely.box(0, 0, 1, 1)]), UTM, raster.grid)  # nobody knows better
        assert not utm[0].is_empty


SAID = {
    "no place": (None, None, "are in pixels"),
    "coordinates alone": (PLACE, None, "No usable CRS"),
    "a local CRS": (PLACE, LOCAL, "is local"),
    "a place": (NORTH_UP, UTM, None),
}


@pytest.mark.parametrize("what", SAID)
@pytest.mark.parametrize("extension", ["geojson", "gpkg"])
def test_what_coordinates_are_is_said_as_it_is(make_raster, tmp_path, said, what, extension):
    transform, crs, text = SAID[what]
    wkt = crs and crs.to_wkt(version="WKT1_GDAL")
    tiled(make_raster(IMAGE, transform, wkt), tmp_path / f"t.{extension}", said[0])
    texts = " ".join(said[1])
    others = {each for _, _, each in SAID.values() if each} - {text}
    assert not text or text in texts
    assert not any(each in texts for each in others)
    assert ("for degrees" in texts) == (extension == "geojson" and text is not None)


@pytest.mark.parametrize(
    ("wkt", "text"),
    [
        ('PROJCRS["from the future",BASE["x"]]', "CRS is not understood"),
        (pyproj.CRS(4978).to_wkt(), "no coordinates of a map"),
        (pyproj.CRS(5773).to_wkt(), "no coordinates of a map"),
    ],
)
def test_a_crs_that_cannot_be_used_is_named(make_raster, said, wkt, text):
    source = make_raster(IMAGE, PLACE, None)
    with open_rasters([RasterSource(source.path, wkt, source.name)], said[0]) as (raster,):
        assert raster.grid.crs is None
        assert raster.grid.transform == PLACE
    assert text in said[1][0]
    assert "Set Layer CRS" in said[1][0]


def test_a_crs_of_a_plane_with_heights_or_in_odd_units_is_known(make_raster):
    side = {
        "EPSG:25832+7837": 0.5,  # heights above the sea beside metres
        "EPSG:4807": 0.842,  # 1e-5 grads at 50 grads, which is 45°
        "EPSG:4979": 0.893,  # 1e-5 degrees at 50°, heights above the ellipsoid
        "EPSG:2227": 0.152,  # half a US survey foot
    }
    for number, (crs, resolution_m) in enumerate(side.items()):
        known = pyproj.CRS(crs)
        place = Affine(1e-5, 0, 5.0, 0, -1e-5, 50.0) if known.is_geographic else NORTH_UP
        source = make_raster(IMAGE, place, None, name=f"{number}.tif")
        with Raster(RasterSource(source.path, known.to_wkt(), "x")) as raster:
            assert raster.grid.resolution_m == pytest.approx(resolution_m, rel=0.01)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ["rpc", "points", "nothing"])
def test_a_georeference_that_is_not_understood_is_named(tmp_path, said, kind):
    numbers = [0.0] * 20
    rpcs = RPC(0.0, 1.0, 50.0, 1.0, numbers, numbers, 0.0, 1.0, 10.0, 1.0, numbers, numbers, 0, 1)
    points = [GroundControlPoint(0, 0, 10.0, 50.0), GroundControlPoint(0, 8, 10.1, 50.0)]
    extra = {"rpc": {"rpcs": rpcs}, "points": {"gcps": points, "crs": UTM}, "nothing": {}}[kind]
    path = tmp_path / "odd.tif"
    size = {"count": 1, "height": 80, "width": 80, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **size, **extra) as dataset:
        dataset.write(IMAGE)
    with open_rasters([RasterSource(str(path), "", "odd.tif")], said[0]) as (raster,):
        assert raster.grid.transform == UNREFERENCED
    texts = " ".join(said[1])
    assert ("Warp (reproject)" in texts) == (kind != "nothing")
    assert ("RPC" in texts, "ground control points" in texts) == (kind == "rpc", kind == "points")


def grid(crs, transform=PLACE):
    return Grid(80, 80, transform, crs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (grid(UTM), grid(None)),
        (grid(UTM), grid(None, UNREFERENCED)),
        (grid(UTM), grid(LOCAL)),
        (grid(LOCAL), grid(None)),
        (grid(LOCAL), grid(FEET)),
    ],
)
def test_rasters_that_lie_nowhere_to_each_other_are_not_in_one_file(one, other):
    for pair in ((one, other), (other, one)):
        named = list(zip(("a.tif", "b.tif"), pair, strict=True))
        with pytest.raises(RasterError, match=r"cannot go into one file.*'a\.tif'.*'b\.tif'"):
            output_crs("x.gpkg", named, Control())


def test_rasters_that_may_be_in_one_file(said):
    other = pyproj.CRS(25832)
    for grids, crs in (
        ((grid(UTM), grid(UTM)), UTM),
        ((grid(UTM), grid(other)), pyproj.CRS(4326)),
        ((grid(LOCAL), grid(LOCAL)), LOCAL),
        ((grid(None), grid(None)), None),
        ((grid(None), grid(None, UNREFERENCED)), None),
    ):
        named = list(zip(("a.tif", "b.tif"), grids, strict=True))
        assert output_crs("x.gpkg", named, said[0]) == crs
    texts = said[1][-2:]
    assert ["'a.tif'" in texts[0], "'b.tif'" in texts[1]] == [True, True]


def test_predict_refuses_before_any_work(make_raster, tmp_path, model):
    known = make_raster(IMAGE, name="known.tif")
    unknown = make_raster(IMAGE, None, None, name="unknown.tif")
    found = tmp_path / "found.gpkg"
    job = example_jobs.predict_job(known, model, found, rasters=(known, unknown))
    with pytest.raises(RasterError, match="cannot go into one file"):
        predict.run(job, Control())
    assert not found.exists()


def test_a_geojson_in_local_coordinates_holds_them_as_they_are(make_raster, tmp_path, said):
    source = make_raster(IMAGE, PLACE, LOCAL.to_wkt(version="WKT1_GDAL"))
    content = json.loads(tiled(source, tmp_path / "t.geojson", said[0]).read_text())
    shape = shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in content["features"]])
    assert shape.bounds == (1000, 1980, 1020, 2000)


def test_a_plane_without_lengths_has_its_smallest_area_in_pixels(make_raster, tmp_path, model):
    file = make_raster(IMAGE, PLACE, None)
    source = RasterSource(file.path, PIXELS.to_wkt(), file.name)
    found = tmp_path / "found.gpkg"
    job = example_jobs.predict_job(source, model, found, threshold=0.0, min_area=6000.0)
    assert predict.run(job, Control())["count"] == 1


@pytest.mark.parametrize("pixel", [np.nan, np.inf, 1e305])
@pytest.mark.parametrize("epsg", [32633, 4326])
def test_a_georeference_that_is_nowhere_is_told(make_raster, tmp_path, said, pixel, epsg):
    control, lines = said
    transform = Affine(pixel, 0, 0, 0, -pixel, 0)
    source = make_raster(np.ones((1, 64, 64), np.uint8), transform, pyproj.CRS(epsg))
    with open_rasters([source], control) as (raster,):
        assert raster.grid.crs is None
    tiled(source, tmp_path / "tiles.gpkg", control)
    assert "a geotransform without an area or a place" in " ".join(lines)
