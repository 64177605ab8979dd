"""The verbs from end to end, on small rasters: real training, real files."""

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import example_jobs
import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from example_jobs import Watched, evaluate_job, predict_job

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning.training import Training
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.verbs import evaluate, predict, statistics, tile, train
from deepseg_qgis.errors import DeepSegError, ParameterError, RasterError, Stopped, VectorError
from deepseg_qgis.events import Epoch, Log
from tests.engine.conftest import NORTH_UP


def train_job(raster, layer, folder, **changes):
    """Return the job of a semantic model with all of its outputs."""
    given = {
        "task": "semantic",
        "architecture": "unet",
        "encoder": "resnet18",
        "epochs": 6,
        "batch_size": 32,  # few steps: each costs as much as the network is large
        "learning_rate": 3e-3,
        "output_validation": str(folder / "validation.gpkg"),
        "output_log": str(folder / "log.csv"),
    }
    return example_jobs.train_job(raster, layer, folder, **{**given, **changes})


SMALL = {"architecture": "linknet", "encoder": "mobilenet_v2"}
"""A network that learns less in so few steps, where nothing hangs on that."""


def rows_of(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("model")


@pytest.fixture
def trained(discs, folder):
    """Return (raster, layer, training job, result, events); trained once for all tests here."""
    raster, layer = discs
    job = train_job(raster, layer, folder, learning_rate=6e-3, **SMALL)
    if not Path(job.output).exists():
        events = []
        result = train.run(job, Control(events.append))
        (folder / "result.json").write_text(json.dumps(result))
        epochs = [each for each in events if isinstance(each, Epoch)]
        assert [each.epoch for each in epochs] == [1, 2, 3, 4, 5, 6]
    return raster, layer, job, json.loads((folder / "result.json").read_text())


def test_training_learns_and_writes_everything(trained, folder):
    _, _, job, result = trained
    assert result["validation_score"] > 0.8
    assert result["epochs_run"] == 6
    card = model_file.read(job.output).card
    assert [category.name for category in card.categories] == ["disc"]
    assert card.resolution_m == pytest.approx(0.5, rel=1e-3)
    assert card.validation_score == result["validation_score"]
    rows = rows_of(folder / "log.csv")
    assert len(rows) == 6
    assert {"epoch", "train_loss", "validation_score", "iou disc"} <= set(rows[0])
    curve = geopandas.read_file(folder / "log.csv")
    assert [curve[name].dtype.kind for name in ("epoch", "train_loss", "kept")] == ["i", "f", "O"]
    kept = geopandas.read_file(job.output_validation)
    assert kept.crs.to_epsg() == 32633
    assert kept.area.sum() == pytest.approx(0.25 * 80 * 80, rel=0.4)
    assert "Validation score" in (folder / "report.html").read_text()


def test_the_validation_score_is_what_evaluate_finds_on_the_validation_area(
    trained, tmp_path, make_layer
):
    raster, layer, job, result = trained
    kept = make_layer(list(geopandas.read_file(job.output_validation).geometry), name="kept")
    found = evaluate.run(evaluate_job(raster, job.output, layer, tmp_path, aoi=kept), Control())
    # training may validate in bfloat16, evaluation runs in float32
    assert found["mean_iou"] == pytest.approx(result["validation_score"], abs=0.02)
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["trained_share"] == 0.0
    for name in evaluate.HEADLINES:
        assert found[name] == written[name]
    assert 0.0 < found["pq"] <= 1.0
    ratio = written["predicted_count"] / written["reference_count"]
    assert found["count_error"] == pytest.approx(ratio - 1.0)


def test_evaluating_on_training_ground_is_said(trained, tmp_path):
    raster, layer, job, _ = trained
    events = []
    found = evaluate.run(evaluate_job(raster, job.output, layer, tmp_path), Control(events.append))
    warnings = [each.text for each in events if isinstance(each, Log) and each.level == "warning"]
    assert any("trained on 7" in text for text in warnings)
    assert found["recall"] > 0.8
    assert found["ap50"] > 0.8


def test_predicted_polygons_have_true_sizes_in_every_format(trained, tmp_path):
    raster, _, job, _ = trained
    areas = {}
    for suffix in ("geojson", "gpkg", "fgb"):
        output = tmp_path / f"found.{suffix}"
        result = predict.run(predict_job(raster, job.output, output), Control())
        frame = geopandas.read_file(output)
        assert len(frame) == result["count"] > 0
        assert frame["id"].is_unique
        assert set(frame["category"]) == {"disc"}
        assert set(frame["source"]) == {"discs.tif"}
        assert frame["score"].between(0, 1).all()
        planar = frame.to_crs(32633).area
        # a coordinate of GeoJSON is rounded to 0.1 mm
        tolerance = 1e-3 if suffix == "geojson" else 1e-6
        assert np.allclose(planar, frame["area_px"] * 0.25, rtol=tolerance)
        assert np.allclose(planar, frame["area_m2"], rtol=2e-3)
        areas[suffix] = result["area_m2"]
    assert areas["geojson"] == pytest.approx(areas["gpkg"], rel=1e-8)
    first = json.loads((tmp_path / "found.geojson").read_text())["features"][0]
    ring = shapely.LinearRing(first["geometry"]["coordinates"][0])
    assert ring.is_ccw  # RFC 7946: exterior rings are counterclockwise
    assert max(len(str(x).partition(".")[2]) for x, _ in ring.coords) <= 9


def test_the_tile_grid_hardly_matters(trained, tmp_path):
    raster, _, job, _ = trained
    totals = []
    for number, size in enumerate((64, 96, 512)):
        output = tmp_path / f"{number}.gpkg"
        run = predict_job(raster, job.output, output, tile_size_px=size, overlap_px=32)
        totals.append(predict.run(run, Control()))
    counts = [each["count"] for each in totals]
    sizes = [each["area_m2"] for each in totals]
    assert max(counts) - min(counts) <= 2
    assert max(sizes) == pytest.approx(min(sizes), rel=0.02)


def test_simplified_polygons_keep_their_pixel_counts_in_every_format(trained, tmp_path):
    raster, _, job, _ = trained
    exact = tmp_path / "exact.gpkg"
    predict.run(predict_job(raster, job.output, exact), Control())
    sizes = geopandas.read_file(exact)["area_px"].tolist()
    vertices = shapely.get_num_coordinates(geopandas.read_file(exact).geometry.array).sum()
    for suffix in ("geojson", "gpkg", "fgb", "shp", "parquet"):
        output = tmp_path / f"simple.{suffix}"
        result = predict.run(predict_job(raster, job.output, output, simplify_px=1.0), Control())
        read = geopandas.read_parquet if suffix == "parquet" else geopandas.read_file
        frame = read(output).to_crs(32633)
        assert len(frame) == result["count"] == len(sizes)
        assert sorted(frame["area_px"]) == sorted(sizes)
        assert shapely.get_num_coordinates(frame.geometry.array).sum() < vertices
        assert frame.geometry.is_valid.all()
        assert frame["area_m2"].sum() == pytest.approx(frame.area.sum(), rel=2e-3)


def test_aoi_and_extent_are_kept_to_the_pixel(trained, tmp_path, make_layer):
    raster, _, job, _ = trained
    whole = tmp_path / "whole.gpkg"
    predict.run(predict_job(raster, job.output, whole, tile_size_px=160, overlap_px=0), Control())
    everything = shapely.union_all(geopandas.read_file(whole).geometry)
    area = shapely.box(500_010, 5_499_930, 500_050, 5_499_980)
    extent = jobs.Extent(500_010, 5_499_930, 500_050, 5_499_980, pyproj.CRS(32633).to_wkt())
    for name, change in (
        ("aoi", {"aoi": make_layer([area], name="area")}),
        ("extent", {"extent": extent}),
    ):
        output = tmp_path / f"{name}.gpkg"
        predict.run(predict_job(raster, job.output, output, threshold=0.5, **change), Control())
        found = shapely.union_all(geopandas.read_file(output).geometry)
        assert found.difference(area).area == pytest.approx(0.0, abs=1e-6)
        assert found.area > 0.5 * everything.intersection(area).area


def test_small_polygons_are_left_out_and_statistics_written(trained, tmp_path):
    raster, _, job, _ = trained
    run = predict_job(
        raster,
        job.output,
        tmp_path / "f.gpkg",
        min_area=50.0,
        output_statistics=str(tmp_path / "s.csv"),
    )
    result = predict.run(run, Control())
    frame = geopandas.read_file(tmp_path / "f.gpkg")
    assert (frame["area_m2"] >= 50.0).all()
    (row,) = rows_of(tmp_path / "s.csv")
    assert int(row["count"]) == result["count"] == len(frame)
    assert float(row["area_m2"]) == pytest.approx(frame["area_m2"].sum())
    assert float(row["smallest_m2"]) == pytest.approx(frame["area_m2"].min())


def test_statistics_of_a_layer_cut_at_an_aoi(make_layer, tmp_path):
    utm = [
        shapely.box(500_000, 5_500_000, 500_100, 5_500_100),
        shapely.box(500_200, 5_500_000, 500_210, 5_500_010),
    ]
    layer = make_layer(utm, ["field", "pond"])
    area = make_layer([shapely.box(500_050, 5_499_000, 501_000, 5_501_000)], name="area")
    job = jobs.StatisticsJob(layer, area, str(tmp_path / "s.csv"), str(tmp_path / "s.html"))
    result = statistics.run(job, Control())
    rows = {row["category"]: row for row in rows_of(tmp_path / "s.csv")}
    assert result["count"] == 2
    assert float(rows["field"]["area_m2"]) == pytest.approx(5000, rel=2e-3)
    assert float(rows["pond"]["area_m2"]) == pytest.approx(100, rel=2e-3)
    share = float(rows["field"]["share_of_aoi"])
    assert share == pytest.approx(5000 / (950 * 2000), rel=1e-3)
    assert "field" in (tmp_path / "s.html").read_text()


def test_statistics_with_an_aoi_elsewhere_says_why_there_are_none(make_layer, tmp_path):
    layer = make_layer([shapely.box(500_000, 5_500_000, 500_100, 5_500_100)])
    area = make_layer([shapely.box(600_000, 5_500_000, 600_100, 5_500_100)], name="area")
    control = Watched()
    job = jobs.StatisticsJob(layer, area, str(tmp_path / "s.csv"), None)
    assert statistics.run(job, control)["count"] == 0
    assert not rows_of(tmp_path / "s.csv")
    (warning,) = control.texts
    assert "None of the polygons of 'layer' (1)" in warning


def test_the_grid_of_tiles_covers_the_raster_or_the_aoi(make_raster, make_layer, tmp_path):
    raster = make_raster(np.ones((1, 100, 70), dtype=np.uint8))
    job = example_jobs.tile_job(raster, tmp_path / "t.gpkg", tile_size_px=32)
    assert tile.run(job, Control())["tiles"] == 4 * 3
    frame = geopandas.read_file(tmp_path / "t.gpkg")
    assert shapely.union_all(frame.geometry).area == pytest.approx(100 * 70 * 0.25)
    by_count = replace(job, rows=2, columns=5, output=str(tmp_path / "c.gpkg"))
    assert tile.run(by_count, Control())["tiles"] == 10
    corner = make_layer([shapely.box(499_999, 5_499_999, 500_001, 5_500_001)], name="corner")
    assert tile.run(replace(job, aoi=corner), Control())["tiles"] == 1


def test_rasters_of_other_resolutions_are_learned_from_at_the_finest(
    discs, make_raster, tmp_path, short_epochs
):
    """As `predict` will show them to the model, whichever comes first."""
    fine, layer = discs
    coarse = make_raster(
        np.full((3, 50, 50), 60, dtype=np.uint8), NORTH_UP @ Affine.scale(4), name="coarse.tif"
    )
    control = Watched()
    job = train_job(coarse, layer, tmp_path, rasters=(coarse, fine), epochs=1, **SMALL)
    train.run(job, control)
    card = model_file.read(job.output).card
    assert card.resolution_m == pytest.approx(0.5, rel=1e-3)
    assert any("coarse.tif has pixels of 2 m" in text for text in control.texts)
    assert not any("discs.tif has pixels" in text for text in control.texts)


def test_stop_keeps_the_model_so_far(discs, tmp_path):
    raster, layer = discs
    events = []
    control = Control()

    def stop_after_the_first_epoch(event):
        events.append(event)
        if isinstance(event, Epoch):
            control.stop()

    control._emit = stop_after_the_first_epoch
    result = train.run(train_job(raster, layer, tmp_path, epochs=50, **SMALL), control)
    assert result["epochs_run"] == 1
    assert model_file.read(result["output"]).card.validation_score == result["validation_score"]


def test_stop_of_a_prediction_leaves_nothing(trained, tmp_path):
    raster, _, job, _ = trained
    control = Control()
    control.stop()
    with pytest.raises(Stopped):
        predict.run(predict_job(raster, job.output, tmp_path / "f.gpkg"), control)
    assert sorted(os.listdir(tmp_path)) == ["discs.gpkg", "discs.tif"]


def test_what_lies_outside_of_the_area_is_not_learned(discs, make_layer, tmp_path, short_epochs):
    raster, layer = discs
    frame = geopandas.read_file(layer.path)
    far_east = frame.geometry.centroid.x > 500_060
    names = list(np.where(far_east, "unseen", "disc"))
    both = make_layer(list(frame.geometry), names, name="both")
    west = make_layer([shapely.box(500_000, 5_499_920, 500_058, 5_500_000)], name="west")
    job = train_job(raster, both, tmp_path, epochs=1, aoi=west, output_html=None, **SMALL)
    result = train.run(job, Control())
    assert [each["name"] for each in result["categories"]] == ["disc"]
    empty = make_layer([shapely.box(500_000, 5_499_999, 500_002, 5_500_000)], name="empty")
    with pytest.raises(VectorError, match="holds no polygon"):
        train.run(replace(job, aoi=empty), Control())


def skipped(training):
    """Stand for an epoch: its steps are counted, nothing is trained."""
    training._trainer.step += training._trainer.steps
    return 0.5


def test_the_last_epoch_that_is_nearly_as_good_as_the_best_is_kept(discs, tmp_path, monkeypatch):
    raster, layer = discs
    scores = iter([0.2, 0.6, 0.3, 0.58, 0.5])
    measured = Training._validate

    def told(self):
        return replace(measured(self), category_iou=(next(scores),))

    monkeypatch.setattr(Training, "_validate", told)
    monkeypatch.setattr(Training, "_train_epoch", skipped)
    job = train_job(raster, layer, tmp_path, epochs=5, **SMALL)
    assert train.run(job, Control())["validation_score"] == 0.58
    card = model_file.read(job.output).card
    assert [each["kept"] for each in card.history] == [True, True, False, True, False]
    assert card.validation_score == 0.58


def test_patience_ends_training(discs, tmp_path, monkeypatch):
    raster, layer = discs
    scores = iter([0.4, 0.6, 0.5, 0.6])
    measured = Training._validate

    def scored(self):
        return replace(measured(self), category_iou=(next(scores),))

    monkeypatch.setattr(Training, "_validate", scored)
    monkeypatch.setattr(Training, "_train_epoch", skipped)
    control = Watched()
    job = train_job(raster, layer, tmp_path, epochs=9, patience=2, **SMALL)
    assert train.run(job, control)["epochs_run"] == 4
    assert any(text.startswith("No better score for 2 epochs") for text in control.texts)


@pytest.mark.parametrize(
    ("image", "transform", "crs"),
    [
        (np.float32, "utm", "utm"),
        (np.uint16, None, None),
    ],
)
def test_other_rasters_train_and_predict(
    image, transform, crs, make_raster, make_layer, tmp_path, short_epochs
):
    rng = np.random.default_rng(0)
    values = rng.normal(0.2, 0.05, (5, 96, 96)) if image is np.float32 else None
    if values is None:
        values = rng.integers(3000, 9000, (1, 96, 96))
    values = values.astype(image)
    values[:, 30:60, 30:60] += np.asarray(values.mean(), dtype=image)
    if image is np.float32:
        values[:, :5] = np.nan
    raster = make_raster(values) if crs else make_raster(values, None, None)
    square = shapely.box(500015, 5499970, 500030, 5499985) if crs else shapely.box(30, -60, 60, -30)
    layer = make_layer([square], ["a"], crs=pyproj.CRS(32633) if crs else None)
    aoi = make_layer(
        [
            shapely.box(500_000, 5_499_952, 500_048, 5_500_000)
            if crs
            else shapely.box(0, -96, 96, 0)
        ],
        name="aoi",
        crs=pyproj.CRS(32633) if crs else None,
    )
    job = train_job(raster, layer, tmp_path, epochs=1, aoi=aoi, **SMALL)
    train.run(job, Control())
    output = tmp_path / "found.gpkg"
    result = predict.run(predict_job(raster, job.output, output, threshold=0.0), Control())
    frame = geopandas.read_file(output)
    covered = 91 * 96 if image is np.float32 else 96 * 96
    assert frame["area_px"].sum() == covered
    if not crs:
        assert result["area_m2"] is None
        assert frame["area_m2"].isna().all()
        assert tuple(frame.total_bounds) == (0.0, -96.0, 96.0, 0.0)


def test_what_cannot_be_used_is_refused_and_leaves_nothing(trained, make_raster, tmp_path):
    raster, layer, job, _ = trained
    before = set(os.listdir(tmp_path))
    nowhere = jobs.Extent(0, 0, 1, 1, "")
    two_bands = make_raster(np.ones((2, 64, 64), dtype=np.uint8), name="two.tif")
    cases = [
        (
            train_job(raster, layer, tmp_path, tile_size_px=33),
            ParameterError,
            "multiple of 32 px, got 33. Use 32 px",
        ),
        (
            train_job(raster, layer, tmp_path, batch_size=1),
            ParameterError,
            "at least 2 (batch normalisation needs two tiles)",
        ),
        (
            train_job(raster, layer, tmp_path, architecture="dpt"),
            DeepSegError,
            "dpt cannot be used with the encoder resnet18",
        ),
        (
            train_job(raster, layer, tmp_path, device="cuda"),
            DeepSegError,
            "'cuda' was asked for, but this computer's engine finds none",
        ),
        (
            predict_job(two_bands, job.output, tmp_path / "f.gpkg"),
            RasterError,
            "expects 3 bands of type uint8 (red, green, blue); two.tif has 2 bands",
        ),
        (
            predict_job(raster, layer.path, tmp_path / "f.gpkg"),
            DeepSegError,
            "discs.gpkg is no model that DeepSeg can use",
        ),
        (
            predict_job(raster, job.output, tmp_path / "f.nonsense"),
            DeepSegError,
            "Choose one of these formats",
        ),
        (
            predict_job(raster, job.output, tmp_path / "f.gpkg", extent=nowhere),
            VectorError,
            "area or extent to predict does not touch discs.tif",
        ),
    ]
    for wrong, kind, words in cases:
        verb = train if isinstance(wrong, jobs.TrainJob) else predict
        with pytest.raises(kind, match=re.escape(words)):
            verb.run(wrong, Control())
    assert set(os.listdir(tmp_path)) == before | {"two.tif"}
