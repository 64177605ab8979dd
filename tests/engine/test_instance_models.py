"""Models that tell objects apart, from training to polygons: houses in rows, wall to wall."""

import json
import os
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from example_jobs import KilledError, Watched, evaluate_job, kill, predict_job, train_job

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_output import NAMESPACE
from deepseg_qgis.engine.instances.watershed import instances_of
from deepseg_qgis.engine.models import model_file, weights
from deepseg_qgis.engine.verbs import evaluate, polygonize, predict, train
from deepseg_qgis.errors import ParameterError, RasterError

SHAPE = (144, 224)
DEPTH, STREET = 18, 28
"""How deep the houses are, and how far apart the rows begin, in px."""
TILES = {"tile_size_px": 64, "overlap_px": 16}


def houses():
    """Return (left, top, right, bottom) in px: rows of houses that share their walls."""
    rng = np.random.default_rng(3)
    boxes = []
    for top in range(8, SHAPE[0] - DEPTH, STREET):
        left = 8
        while left + 20 < SHAPE[1]:
            right = left + int(rng.integers(12, 20))
            boxes.append((left, top, right, top + DEPTH))
            left = right
    return boxes


def ground(boxes):
    """Return polygons in the CRS of the rasters that tests make."""
    return [
        shapely.box(5e5 + left / 2, 5.5e6 - bottom / 2, 5e5 + right / 2, 5.5e6 - top / 2)
        for left, top, right, bottom in boxes
    ]


@pytest.fixture
def town(make_raster, make_layer):
    """Return (raster, annotations): bright houses with a dark wall between each two."""
    rng = np.random.default_rng(5)
    image = rng.normal(60, 8, (3, *SHAPE))
    for left, top, right, bottom in houses():
        image[:, top:bottom, left:right] += rng.uniform(80, 120)
        image[:, top:bottom, right - 1] = 40
    source = make_raster(image.clip(0, 255).astype(np.uint8), name="town.tif")
    return source, make_layer(ground(houses()), ["house"] * len(houses()), name="houses")


def polygonize_job(probabilities, output, **changes):
    job = jobs.PolygonizeJob(
        probabilities=jobs.RasterSource(str(probabilities), "", Path(probabilities).name),
        threshold=None,
        min_area=0.0,
        simplify_px=0.0,
        outlines="plain",
        output=str(output),
        output_statistics=None,
    )
    return replace(job, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("model")


@pytest.fixture
def model(town, folder):
    """Return the path of a model of the town; trained once for all tests here."""
    job = train_job(*town, folder)
    if not Path(job.output).exists():
        control = Watched()
        train.run(job, control)
        (folder / "log.txt").write_text("\n".join(control.texts))
    return job.output


@pytest.fixture
def meadow_town(town, make_layer):
    """Return annotations of the town with meadows under and between its houses."""
    rows = range(8, SHAPE[0] - DEPTH, STREET)
    meadows = [(2, top - 6, 150, top + STREET - 6) for top in rows]
    names = ["house"] * len(houses()) + ["meadow"] * len(meadows)
    return make_layer(ground(houses() + meadows), names, name="both")


@pytest.fixture
def panoptic_model(town, meadow_town, folder):
    """Return the path of a model, hardly trained, that counts houses and no meadows."""
    path = folder / "panoptic.safetensors"
    if not path.exists():
        changes = {"epochs": 1, "output_html": None, "output": str(path)}
        stuff = {"stuff_categories": ("meadow",), "task": "panoptic"}
        train.run(train_job(town[0], meadow_town, folder, **changes, **stuff), Control())
    return str(path)


def by_id(path):
    """Return a layer's polygons; in which order they come hangs on the blocks."""
    return geopandas.read_file(path).sort_values("id", ignore_index=True)


def assert_same_polygons(one, other):
    one, other = by_id(one), by_id(other)
    assert len(one) > 10
    assert one.drop(columns="geometry").equals(other.drop(columns="geometry"))
    assert (shapely.to_wkb(one.geometry) == shapely.to_wkb(other.geometry)).all()


def assert_no_pixel_twice(frame):
    """Check that polygons along pixel edges (0.5 m) are apart, and their areas pixel counts."""
    assert np.allclose(frame.area, frame["area_px"] * 0.25, rtol=1e-9)
    together = shapely.union_all(frame.geometry)
    assert together.area == pytest.approx(frame["area_px"].sum() * 0.25, rel=1e-9)


def test_auto_tells_touching_houses_apart_and_says_why(model, folder):
    card = model_file.read(model).card
    assert (card.task, card.countable) == ("instance", (True,))
    assert card.depths[0] >= 1
    assert card.smoothing_px > 0
    assert card.validation_score > 0.5
    log = (folder / "log.txt").read_text()
    count = len(houses())
    assert f"house: {count} objects, 100.0% within" in log
    assert "objects are told apart (at least a tenth lie so near" in log
    assert "Task: instance, chosen from the annotations." in log
    assert "Panoptic quality" in (folder / "report.html").read_text()


def test_houses_are_found_one_by_one(town, model, tmp_path):
    raster, _ = town
    output, classes = tmp_path / "found.gpkg", tmp_path / "classes.tif"
    result = predict.run(predict_job(raster, model, output, output_classes=str(classes)), Control())
    frame = geopandas.read_file(output)
    assert len(frame) == result["count"] == pytest.approx(len(houses()), rel=0.15)
    assert_no_pixel_twice(frame)
    assert frame["id"].is_unique
    assert set(frame["category"]) == {"house"}
    assert set(frame["source"]) == {"town.tif"}
    assert frame["score"].between(0.1, 1).all()
    assert (frame["area_px"] >= model_file.read(model).card.least_px[0]).all()
    assert set(frame.geom_type) == {"Polygon"}
    first = frame["id"].to_numpy()
    inside = shapely.points(5e5 + (first % 224 + 0.5) / 2, 5.5e6 - (first // 224 + 0.5) / 2)
    assert shapely.contains(frame.geometry.array, inside).all(), "an id is the first pixel's"
    with rasterio.open(classes) as dataset:
        assert frame["area_px"].sum() <= (dataset.read(1) == 1).sum()


def test_evaluate_counts_houses(town, model, tmp_path):
    raster, layer = town
    found = evaluate.run(evaluate_job(raster, model, layer, tmp_path), Control())
    written = json.loads((tmp_path / "scores.json").read_text())
    assert found["f1"] > 0.85
    assert abs(found["count_error"]) < 0.15
    assert 0.5 < found["pq"] <= 1
    assert found["pq"] == written["pq"] == written["pq_things"]
    assert written["pq_stuff"] is None
    assert written["reference_count"] == len(houses())
    assert (tmp_path / "scores.html").exists()


def test_without_telling_them_apart_the_rows_are_one(town, model, tmp_path):
    """Why all of this is done: the same network, its heights left aside."""
    raster, layer = town
    loaded = weights.load(model)
    card = replace(loaded.card, depths=(255,))  # no house stands out so far
    melted = str(tmp_path / "melted.safetensors")
    weights.save(melted, loaded.network.state_dict(), card)
    found = evaluate.run(evaluate_job(raster, melted, layer, tmp_path), Control())
    assert found["f1"] < 0.3
    assert found["count_error"] < -0.5


@pytest.mark.parametrize(("threshold", "simplify_px"), [(None, 0.0), (0.8, 1.0)])
def test_polygonize_equals_predict(town, model, tmp_path, threshold, simplify_px):
    raster, _ = town
    chances, again = tmp_path / "p.tif", tmp_path / "again.gpkg"
    job = predict_job(raster, model, tmp_path / "default.gpkg", **TILES)
    predict.run(replace(job, output_probabilities=str(chances)), Control())
    with rasterio.open(chances) as dataset:
        assert dataset.descriptions == model_file.read(model).card.legend.planes
    shaping = {"threshold": threshold, "simplify_px": simplify_px}
    job = replace(job, output=str(tmp_path / "found.gpkg"), **shaping)
    result = predict.run(job, Control())
    other = polygonize.run(polygonize_job(chances, again, **shaping), Control())
    assert other["count"] == result["count"]
    assert other["area_m2"] == pytest.approx(result["area_m2"], rel=1e-12)
    assert_same_polygons(job.output, again)


def test_polygonize_equals_predict_inside_an_area(town, model, make_layer, tmp_path):
    raster, _ = town
    triangle = shapely.Polygon([(10, 4), (200, 30), (60, 130)])
    area = shapely.affinity.affine_transform(triangle, (0.5, 0, 0, -0.5, 5e5, 5.5e6))
    chances, again = tmp_path / "p.tif", tmp_path / "again.gpkg"
    aoi = make_layer([area], name="area")
    job = predict_job(raster, model, tmp_path / "found.gpkg", aoi=aoi, **TILES)
    predict.run(replace(job, output_probabilities=str(chances)), Control())
    polygonize.run(polygonize_job(chances, again), Control())
    assert_same_polygons(job.output, again)
    assert_no_pixel_twice(by_id(again))


def test_probabilities_without_heights_are_refused(town, model, tmp_path):
    raster, _ = town
    chances, cut = tmp_path / "p.tif", tmp_path / "cut.tif"
    job = predict_job(raster, model, tmp_path / "found.gpkg", output_probabilities=str(chances))
    predict.run(job, Control())
    with rasterio.open(chances) as dataset:
        tags, first = dataset.tags(ns=NAMESPACE), dataset.read(1)
        profile = dataset.profile | {"count": 1}
    with rasterio.open(cut, "w", **profile) as dataset:
        dataset.write(first, 1)
        dataset.update_tags(ns=NAMESPACE, **tags)
    with pytest.raises(RasterError, match=r"expected \d bands.*house, height.*found 1"):
        polygonize.run(polygonize_job(cut, tmp_path / "again.gpkg"), Control())


def test_a_run_that_was_interrupted_ends_as_if_it_was_not(town, model, tmp_path, cache):
    raster, _ = town
    job = predict_job(raster, model, tmp_path / "found.geojson", simplify_px=1.0, **TILES)
    result = predict.run(job, Control())
    whole = Path(job.output).read_bytes()
    os.remove(job.output)
    with pytest.raises(KilledError):
        predict.run(job, Watched(9, kill))
    control = Watched()
    assert predict.run(job, control) == result
    assert any("continuing a run" in text and "9 of" in text for text in control.texts)
    assert Path(job.output).read_bytes() == whole


def test_stop_keeps_the_houses_that_it_covers(town, model, tmp_path, cache):
    raster, _ = town
    job = predict_job(raster, model, tmp_path / "part.gpkg", **TILES)
    result = predict.run(job, Watched(14, Control.stop))
    assert "14 of 24 tiles" in result["covered"]
    part = geopandas.read_file(job.output)
    assert 0 < len(part) < len(houses())
    assert_no_pixel_twice(part)


def test_the_tile_grid_hardly_matters(town, model, tmp_path):
    raster, _ = town
    counts = []
    for size, overlap in ((64, 32), (96, 32), (None, None)):
        output = tmp_path / f"{size}.gpkg"
        job = predict_job(raster, model, output, tile_size_px=size, overlap_px=overlap)
        counts.append(predict.run(job, Control())["count"])
        assert_no_pixel_twice(geopandas.read_file(output))
    assert max(counts) - min(counts) <= 0.15 * len(houses())


def test_no_pixel_is_in_two_polygons_of_a_panoptic_model(town, panoptic_model, tmp_path):
    card = model_file.read(panoptic_model).card
    names = [category.name for category in card.categories]
    countable = dict(zip(names, card.countable, strict=True))
    assert (card.task, countable) == ("panoptic", {"house": True, "meadow": False})
    raster, _ = town
    outputs = {
        "output_classes": str(tmp_path / "classes.tif"),
        "output_probabilities": str(tmp_path / "p.tif"),
    }
    # a low threshold, so that a network that has learned little says something
    job = predict_job(raster, panoptic_model, tmp_path / "found.gpkg", threshold=0.1, **outputs)
    predict.run(job, Control())
    frame = geopandas.read_file(job.output)
    assert set(frame["category"]) == {"house", "meadow"}
    assert_no_pixel_twice(frame)
    sums = frame.groupby("category")["area_px"].sum()
    with rasterio.open(job.output_classes) as dataset:
        classes = dataset.read(1)
    house, meadow = names.index("house"), names.index("meadow")
    ground = (classes == meadow + 1).astype(np.uint8)
    parts = np.bincount(instances_of(ground, np.zeros_like(ground), [1]).ravel())[1:]
    assert sums["meadow"] == parts[parts >= card.least_px[meadow]].sum()
    assert sums["house"] <= (classes == house + 1).sum()
    again = tmp_path / "again.gpkg"
    polygonize.run(polygonize_job(job.output_probabilities, again, threshold=0.1), Control())
    assert_same_polygons(job.output, again)


def test_evaluate_takes_stuff_as_ground(town, meadow_town, panoptic_model, tmp_path):
    evaluate.run(evaluate_job(town[0], panoptic_model, meadow_town, tmp_path), Control())
    written = json.loads((tmp_path / "scores.json").read_text())
    countable = {entry["name"]: entry["countable"] for entry in written["categories"]}
    assert countable == {"house": True, "meadow": False}


def test_stuff_of_another_name_ends_training_before_it_begins(town, folder):
    job = train_job(
        *town, folder, stuff_categories=("lake",), output=str(folder / "no.safetensors")
    )
    with pytest.raises(ParameterError, match="there is no 'lake'"):
        train.run(job, Control())
    assert not Path(job.output).exists()
