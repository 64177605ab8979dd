"""Nothing found and nothing annotated are answers: every chain goes on, with its fields."""

import csv
import json

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine
from example_jobs import (
    Watched,
    evaluate_job,
    import_job,
    predict_job,
    tile_job,
    train_job,
)

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import imported_polygons
from deepseg_qgis.engine.prediction.polygon_stream import FIELDS
from deepseg_qgis.engine.scoring import category_statistics
from deepseg_qgis.engine.verbs import (
    evaluate,
    importannotations,
    polygonize,
    predict,
    statistics,
    tile,
    train,
)
from deepseg_qgis.errors import VectorError

WHOLE = shapely.box(500_000, 5_499_920, 500_080, 5_500_000)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    return tmp_path_factory.mktemp("model")


@pytest.fixture
def trained(discs, model_path, short_epochs):
    """Return (raster, annotations, model) of a model that has hardly seen its discs."""
    raster, layer = discs
    job = train_job(raster, layer, model_path, task="semantic", epochs=1, output_html=None)
    if not (model_path / "model.safetensors").exists():
        train.run(job, Control())
    return raster, layer, job.output


def heads(path):
    with open(path, encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return head, rows


def test_statistics_of_nothing_are_a_table_without_rows(make_layer, tmp_path):
    area = make_layer([WHOLE], name="area")
    for aoi in (None, area):
        path, page = tmp_path / "s.csv", tmp_path / "s.html"
        job = jobs.StatisticsJob(make_layer([], name="none"), aoi, str(path), str(page))
        result = statistics.run(job, Control())
        assert (result["count"], result["area_m2"]) == (0, 0.0)
        assert isinstance(result["area_m2"], float)
        assert heads(path) == (list(category_statistics.FIELDS), [])
        assert "There are no polygons to count" in page.read_text()


def test_evaluating_on_ground_that_holds_nothing_counts_false_positives(
    trained, make_layer, tmp_path
):
    raster, _, model = trained
    nothing, area = make_layer([], name="none"), make_layer([WHOLE], name="area")
    job = evaluate_job(raster, model, nothing, tmp_path, aoi=area, threshold=0.0)
    control = Watched()
    found = evaluate.run(job, control)
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["reference_count"] == 0
    assert written["fp"] == written["predicted_count"] > 0
    assert found["precision"] == 0.0
    assert found["recall"] is None
    assert any("'none' is empty" in text for text in control.texts)
    assert "0 objects in the reference" in (tmp_path / "scores.html").read_text()


def test_evaluating_where_the_model_finds_nothing(trained, tmp_path):
    raster, layer, model = trained
    evaluate.run(evaluate_job(raster, model, layer, tmp_path, threshold=1.0), Control())
    written = json.loads((tmp_path / "scores.json").read_text())
    assert (written["tp"], written["predicted_count"], written["reference_count"]) == (0, 0, 16)
    assert written["recall"] == 0.0


def test_evaluating_nothing_on_nothing(trained, make_layer, tmp_path):
    raster, _, model = trained
    nothing, area = make_layer([], name="none"), make_layer([WHOLE], name="area")
    job = evaluate_job(raster, model, nothing, tmp_path, aoi=area, threshold=1.0)
    found = evaluate.run(job, Control())
    assert all(value is None for name, value in found.items() if name in evaluate.HEADLINES)


@pytest.mark.parametrize("verb", ["train", "evaluate", "tile"])
def test_without_annotations_and_area_nothing_is_known(verb, trained, make_layer, tmp_path):
    raster, _, model = trained
    nothing = make_layer([], name="none")
    run = {
        "train": lambda: train.run(train_job(raster, nothing, tmp_path), Control()),
        "evaluate": lambda: evaluate.run(evaluate_job(raster, model, nothing, tmp_path), Control()),
        "tile": lambda: tile.run(data_set_job(raster, nothing, None, tmp_path), Control()),
    }[verb]
    with pytest.raises(VectorError, match=r"'none' is empty\. Draw polygons"):
        run()


def data_set_job(raster, annotations, aoi, folder):
    data = str(folder / "data")
    return tile_job(
        raster, folder / "tiles.gpkg", annotations=annotations, aoi=aoi, output_folder=data
    )


def test_a_data_set_of_background(trained, make_layer, tmp_path):
    raster, _, _ = trained
    nothing, area = make_layer([], name="none"), make_layer([WHOLE], name="area")
    tile.run(data_set_job(raster, nothing, area, tmp_path), Control())
    described = json.loads((tmp_path / "data" / "deepseg_dataset.json").read_text())
    assert described["categories"] == []
    assert sum(part["pixels"][0] for part in described["parts"].values()) == 160 * 160
    for part in described["parts"]:
        coco = json.loads((tmp_path / "data" / part / "annotations.json").read_text())
        assert (coco["annotations"], coco["categories"]) == ([], [])


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "tile", "statistics"])
def test_an_empty_area_of_interest_is_told(verb, trained, make_layer, tmp_path):
    raster, layer, model = trained
    area = make_layer([], name="none")
    run = {
        "train": lambda: train.run(train_job(raster, layer, tmp_path, aoi=area), Control()),
        "evaluate": lambda: evaluate.run(
            evaluate_job(raster, model, layer, tmp_path, aoi=area), Control()
        ),
        "predict": lambda: predict.run(
            predict_job(raster, model, tmp_path / "p.gpkg", aoi=area), Control()
        ),
        "tile": lambda: tile.run(data_set_job(raster, layer, area, tmp_path), Control()),
        "statistics": lambda: statistics.run(
            jobs.StatisticsJob(layer, area, str(tmp_path / "s.csv"), None), Control()
        ),
    }[verb]
    with pytest.raises(VectorError, match="The area of interest 'none' has no polygon"):
        run()


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "shp", "parquet", "geojson"])
def test_nothing_predicted_keeps_its_fields(suffix, trained, tmp_path):
    raster, _, model = trained
    path, table = tmp_path / f"p.{suffix}", tmp_path / "s.csv"
    probabilities = tmp_path / "probabilities.tif"
    job = predict_job(
        raster,
        model,
        path,
        threshold=1.0,
        output_statistics=str(table),
        output_probabilities=str(probabilities),
    )
    assert predict.run(job, Control())["count"] == 0
    assert heads(table) == (list(category_statistics.FIELDS), [])
    source = jobs.RasterSource(str(probabilities), "", "probabilities.tif")
    again = tmp_path / f"again.{suffix}"
    polygonize.run(
        jobs.PolygonizeJob(source, 1.0, 0.0, 0.0, "plain", str(again), str(table)), Control()
    )
    for each in (path, again):
        read = geopandas.read_parquet if suffix == "parquet" else geopandas.read_file
        frame = read(each)
        assert len(frame) == 0
        if suffix != "geojson":  # which keeps no fields without features
            assert len([name for name in frame.columns if name != "geometry"]) == len(FIELDS)
            assert frame.crs.to_epsg() == 32633


def test_an_empty_layer_of_degrees_is_one_of_polygons(make_raster, trained, tmp_path):
    _, _, model = trained
    ground = Affine(7e-6, 0, 15.0, 0, -4.5e-6, 49.65)
    raster = make_raster(
        np.full((3, 70, 70), 60, dtype=np.uint8), ground, pyproj.CRS.from_epsg(4326), "wgs.tif"
    )
    for suffix in ("gpkg", "fgb"):
        path = tmp_path / f"p.{suffix}"
        predict.run(predict_job(raster, model, path, threshold=1.0), Control())
        # QGIS 3.22 takes an empty layer of unknown type for a table without CRS
        assert "Polygon" in pyogrio.read_info(path)["geometry_type"]


def test_a_label_raster_of_background_is_an_empty_layer(make_raster, tmp_path):
    labels = make_raster(np.zeros((1, 9, 9), np.uint8), name="labels.tif")
    control, found = Watched(), tmp_path / "found.gpkg"
    result = importannotations.run(import_job("label_raster", labels.path, [], found), control)
    assert (result["count"], result["categories"]) == (0, [])
    frame = geopandas.read_file(tmp_path / "found.gpkg")
    assert (len(frame), frame.crs.to_epsg()) == (0, 32633)
    assert [*imported_polygons.FIELDS, "geometry"] == list(frame.columns)
    assert any("the layer is empty" in text for text in control.texts)


@pytest.mark.parametrize("left_out", [False, True])
def test_coco_without_annotations_is_an_empty_layer(left_out, make_raster, tmp_path):
    raster = make_raster(np.zeros((1, 40, 60), np.uint8), name="scene.tif")
    bad = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": "nothing"}
    content = {
        "images": [{"id": 1, "file_name": "scene.tif", "height": 40, "width": 60}],
        "categories": [{"id": 1, "name": "roof"}],
        "annotations": [bad] if left_out else [],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    job = import_job("coco", path, [raster], tmp_path / "found.gpkg")
    if left_out:
        with pytest.raises(VectorError, match="No polygon was found"):
            importannotations.run(job, Control())
    else:
        assert importannotations.run(job, Control())["count"] == 0
        assert len(geopandas.read_file(tmp_path / "found.gpkg")) == 0
