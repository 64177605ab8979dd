"""Classes, probabilities and COCO beside the polygons, and the way back from probabilities."""

import json
import os
import resource
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import example_jobs
import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import burnt
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.prediction import probability_raster
from deepseg_qgis.engine.verbs import importannotations, polygonize, predict
from deepseg_qgis.errors import DeepSegError, OutputError, ParameterError, RasterError
from deepseg_qgis.jobs import RasterSource

ROWS, COLUMNS = 300, 420
COLOURS = ("#00aa11", "#aabbcc", "#1122ff", "#ff0011")
AOI = shapely.Polygon(
    [(500_010, 5_499_990), (500_200, 5_499_985), (500_180, 5_499_870), (500_020, 5_499_860)]
)


def card_of(count):
    names = ["größe <&>", "b", "c", "d"][:count]
    return ModelCard(
        architecture="unet",
        encoder="resnet18",
        task="semantic",
        categories=tuple(map(Category, names, COLOURS)),
        band_names=("1", "2"),
        dtype="uint16",
        resolution_m=None,
        mean=(10_000.0, 9000.0),
        std=(300.0, 200.0),
        tile_size_px=64,
        thresholds=(0.4, 0.3, 0.3, 0.2)[:count] if count > 1 else (0.5,),
    )


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    def model(count):
        path = folder / f"{count}.safetensors"
        if not path.exists():
            torch.manual_seed(1 if count == 4 else 3)  # these say a bit of everything
            state = networks.build(NetworkDesign("unet", "resnet18"), 2, count).state_dict()
            weights.save(str(path), state, card_of(count))
        return str(path)

    return model


@pytest.fixture
def raster(make_raster):
    noise = np.random.default_rng(0).normal(size=(2, ROWS, COLUMNS))
    values = (noise * [[[300]], [[200]]] + [[[10_000]], [[9000]]]).clip(1).astype(np.uint16)
    values[:, 100:180, 250:] = 0
    values[:, 40:60, 40:70] = 0
    return make_raster(values, nodata=0, name="scene.tif")


@pytest.fixture
def predict_job(raster, model_of, tmp_path):
    outputs = {
        "output_classes": str(tmp_path / "classes.tif"),
        "output_probabilities": str(tmp_path / "probabilities.tif"),
        "output_coco": str(tmp_path / "coco.json"),
        "output_statistics": str(tmp_path / "statistics.csv"),
    }
    found = tmp_path / "found.gpkg"
    return example_jobs.predict_job(
        raster, model_of(2), found, tile_size_px=192, resume=False, **outputs
    )


def polygonize_job(predicted, folder, **changes):
    job = jobs.PolygonizeJob(
        probabilities=RasterSource(predicted.output_probabilities, "", "p.tif"),
        threshold=predicted.threshold,
        min_area=predicted.min_area,
        simplify_px=predicted.simplify_px,
        outlines=predicted.outlines,
        output=str(folder / "again.gpkg"),
        output_statistics=str(folder / "again.csv"),
    )
    return replace(job, **changes)


def rows_of(path):
    frame = geopandas.read_file(path).sort_values("id")
    fields = frame.drop(columns="geometry").to_csv(index=False)
    return [shape.wkb for shape in frame.geometry], fields


@pytest.mark.parametrize(
    ("categories", "threshold", "min_area", "simplify_px"),
    [(1, None, 0.0, 1.0), (2, None, 3.0, 0.0), (4, 0.28, 0.0, 1.0)],
)
def test_polygonize_equals_predict_to_the_bit(
    predict_job, model_of, make_layer, tmp_path, categories, threshold, min_area, simplify_px
):
    given = replace(
        predict_job,
        model=model_of(categories),
        aoi=make_layer([AOI], name="aoi"),
        threshold=threshold,
        min_area=min_area,
        simplify_px=simplify_px,
    )
    result = predict.run(given, Control())
    assert result["count"] > 3
    job = polygonize_job(given, tmp_path)
    again = polygonize.run(job, Control())
    assert rows_of(given.output) == rows_of(job.output)
    statistics = [pandas.read_csv(each.output_statistics) for each in (given, job)]
    pandas.testing.assert_frame_equal(*statistics, rtol=1e-12)  # sums are added in another order
    assert (again["count"], again["categories"]) == (result["count"], result["categories"])
    assert again["area_m2"] == pytest.approx(result["area_m2"], rel=1e-12)
    # another threshold than that of the run whose probabilities they are
    other = replace(given, threshold=0.33, output=str(tmp_path / "other.gpkg"))
    other = replace(other, output_classes=None, output_probabilities=None, output_coco=None)
    predict.run(other, Control())
    polygonize.run(replace(job, threshold=0.33), Control())
    assert rows_of(other.output) == rows_of(job.output)


def test_polygons_do_not_depend_on_the_windows(predict_job, tmp_path, monkeypatch):
    predict.run(predict_job, Control())
    job = polygonize_job(predict_job, tmp_path, simplify_px=1.0)
    polygonize.run(job, Control())
    large = rows_of(job.output)
    monkeypatch.setattr(probability_raster, "TILE_PX", 64)
    monkeypatch.setattr(probability_raster, "WINDOW_BYTES", 2 * 64 * 64)
    polygonize.run(job, Control())
    assert rows_of(job.output) == large


def test_of_a_mosaic_at_another_resolution_too(predict_job, make_raster, tmp_path, model_of):
    with rasterio.open(predict_job.rasters[0].path) as dataset:
        values = dataset.read()
    shift = Affine.translation(500_000 + COLUMNS * 0.3, 5_500_000) @ Affine.scale(0.3, -0.3)
    start = Affine.translation(500_000, 5_500_000) @ Affine.scale(0.3, -0.3)
    sources = (
        make_raster(values, start, name="west.tif", nodata=0),
        make_raster(values[:, :200], shift, name="east.tif", nodata=0),
    )
    model = str(tmp_path / "coarse.safetensors")
    torch.manual_seed(3)
    state = networks.build(NetworkDesign("unet", "resnet18"), 2, 2).state_dict()
    weights.save(model, state, replace(card_of(2), resolution_m=0.6))
    given = replace(predict_job, rasters=sources, mosaic=True, model=model, simplify_px=1.0)
    assert predict.run(given, Control())["count"] > 3
    job = polygonize_job(given, tmp_path)
    polygonize.run(job, Control())
    assert rows_of(given.output) == rows_of(job.output)
    with rasterio.open(given.output_classes) as dataset:
        assert dataset.width == pytest.approx(COLUMNS, abs=2)
        (image,) = json.loads(Path(given.output_coco).read_text())["images"]
        assert (image["width"], image["height"]) == (dataset.width, dataset.height)


def test_without_place_too(predict_job, make_raster, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(predict_job.rasters[0].path) as dataset:
            plain = make_raster(dataset.read(), None, None, name="plain.tif")
    given = replace(predict_job, rasters=(plain,), simplify_px=1.0)
    predict.run(given, Control())
    job = polygonize_job(given, tmp_path)
    assert polygonize.run(job, Control())["area_m2"] is None
    assert rows_of(given.output) == rows_of(job.output)


def test_classes_and_probabilities_are_cloud_optimized(predict_job, model_of, raster):
    given = replace(predict_job, model=model_of(4))
    predict.run(given, Control())
    known = rasterio.open(raster.path).dataset_mask() > 0
    shape = known.shape
    with rasterio.open(given.output_probabilities) as dataset:
        probabilities = dataset.read()
        assert (probabilities.dtype, dataset.count) == ("uint8", 4)
        assert dataset.descriptions == ("größe <&>", "b", "c", "d")
        assert np.array_equal(dataset.dataset_mask() > 0, known)
        assert dataset.mask_flag_enums[0] == [rasterio.enums.MaskFlags.per_dataset]
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        card = json.loads(dataset.tags(ns="DEEPSEG")["CARD"])
        assert [each["name"] for each in card["categories"]] == list(dataset.descriptions)
    with rasterio.open(given.output_classes) as dataset:
        classes = dataset.read(1)
        assert np.array_equal(classes == 255, ~known)
        assert dataset.nodata == 255
        table = dataset.colormap(1)
        assert [table[i][:3] for i in (1, 4)] == [(0, 0xAA, 0x11), (255, 0, 0x11)]
        assert dataset.compression.name == "deflate"
        assert dataset.transform == rasterio.open(raster.path).transform
        assert dataset.crs.to_epsg() == 32633
        assert json.loads(dataset.tags(ns="DEEPSEG")["THRESHOLDS"]) == [0.4, 0.3, 0.3, 0.2]
    best = probabilities.argmax(axis=0) + 1
    predicted_cores = classes[(classes > 0) & known] == best[(classes > 0) & known]
    assert predicted_cores.mean() > 0.9  # elsewhere the best one missed its threshold
    found = geopandas.read_file(given.output)
    for number, name in enumerate(["größe <&>", "b", "c", "d"], start=1):
        assert found.area_px[found.category == name].sum() == (classes == number).sum()
    sidecar = Path(f"{given.output_classes}.aux.xml").read_text(encoding="utf-8")
    assert "<Category>background</Category><Category>größe &lt;&amp;&gt;</Category>" in sidecar
    assert shape == (ROWS, COLUMNS)


def test_large_rasters_have_overviews(predict_job, model_of, make_raster):
    values = np.zeros((2, 700, 1300), dtype=np.uint16)
    values[:, 600:650, 1200:1290] = 10_000
    wide = make_raster(values, nodata=0, name="wide.tif")
    predict.run(replace(predict_job, rasters=(wide,)), Control())
    for path, mean in ((predict_job.output_classes, None), (predict_job.output_probabilities, 1)):
        with rasterio.open(path) as dataset:
            assert dataset.overviews(1) == [2, 4]
            assert dataset.block_shapes[0] == (512, 512)
        with rasterio.open(path, OVERVIEW_LEVEL=0) as dataset:
            known = dataset.dataset_mask() > 0
            assert known.sum() == 25 * 45
            if mean:
                assert dataset.read(1)[known].mean() > 10
            else:
                assert set(np.unique(dataset.read(1)[known])) <= {0, 1, 2}


def in_pixels(xy):
    return np.rint((xy - [500_000, 5_500_000]) * [2, -2])


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
@pytest.mark.parametrize("simplify_px", [0.0, 2.0])
def test_masks_of_coco_are_the_pixels(predict_job, tmp_path, simplify_px):
    given = replace(predict_job, simplify_px=simplify_px, min_area=1.0)
    result = predict.run(given, Control())
    exact = polygonize_job(given, tmp_path, simplify_px=0.0)
    polygonize.run(exact, Control())
    frame = geopandas.read_file(exact.output)
    frame["shape"] = shapely.transform(frame.geometry.to_numpy(), in_pixels)
    coco = COCO(given.output_coco)
    assert coco.loadImgs(1)[0] == {
        "id": 1,
        "file_name": "scene.tif",
        "width": COLUMNS,
        "height": ROWS,
    }
    names = {number: each["name"] for number, each in coco.cats.items()}
    assert names == {1: "größe <&>", 2: "b"}
    assert len(coco.anns) == result["count"] == len(frame)
    ours = {
        (names[each["category_id"]], each["area"], coco.annToMask(each).tobytes()): each
        for each in coco.anns.values()
    }
    whole = Window(0, 0, ROWS, COLUMNS)
    holes = 0
    for row in frame.itertuples():
        mask = burnt(np.array([row.shape]), np.ones(1, np.uint8), whole)
        found = ours.pop((row.category, row.area_px, np.ascontiguousarray(mask).tobytes()))
        low, high = row.shape.bounds[:2], row.shape.bounds[2:]
        assert found["bbox"] == [*low, high[0] - low[0], high[1] - low[1]]
        assert found["score"] == row.score
        assert coco_masks.area(found["segmentation"]) == row.area_px
        assert found["iscrowd"] == 0
        holes += len(row.shape.interiors)
    assert not ours
    assert holes > 3


def test_nothing_found_is_a_proper_file_all_the_same(predict_job, model_of):
    predict.run(replace(predict_job, model=model_of(1), threshold=1.0), Control())
    content = json.loads(Path(predict_job.output_coco).read_text(encoding="utf-8"))
    assert content["annotations"] == []
    assert len(content["images"]) == 1


def test_only_what_was_asked_for_is_there(predict_job, tmp_path):
    before = set(os.listdir(tmp_path))
    predict.run(replace(predict_job, output_coco=None, output_classes=None), Control())
    written = {"found.gpkg", "probabilities.tif", "statistics.csv", "statistics.csvt"}
    assert set(os.listdir(tmp_path)) == before | written


def test_several_rasters_need_a_mosaic(predict_job, make_raster, tmp_path):
    other = make_raster(np.ones((2, 64, 64), np.uint16), name="other.tif")
    both = (*predict_job.rasters, other)
    before = set(os.listdir(tmp_path))
    with pytest.raises(ParameterError, match="MOSAIC"):
        predict.run(replace(predict_job, rasters=both), Control())
    assert set(os.listdir(tmp_path)) == before
    alone = replace(predict_job, rasters=both, output_classes=None, output_probabilities=None)
    predict.run(alone, Control())
    content = json.loads(Path(predict_job.output_coco).read_text(encoding="utf-8"))
    assert [each["file_name"] for each in content["images"]] == ["scene.tif", "other.tif"]


def test_classes_are_a_geotiff(predict_job, tmp_path):
    with pytest.raises(OutputError, match=r"ends in \.tif"):
        predict.run(replace(predict_job, output_classes=str(tmp_path / "c.png")), Control())


def test_a_full_disk_leaves_nothing(predict_job, tmp_path, monkeypatch):
    before = set(os.listdir(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(DeepSegError, match="Make room"):
        predict.run(predict_job, Control())
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kilobytes", [30, 60, 120])
def test_a_disk_that_fills_up_leaves_what_is_whole(predict_job, model_of, tmp_path, kilobytes):
    given = replace(predict_job, model=model_of(4), threshold=1.0)
    given = replace(given, output=str(tmp_path / "found.geojson"))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1000, usual[1]))
    try:
        with pytest.raises(DeepSegError, match="could not be written") as told:
            predict.run(given, Control())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    left = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert {"classes.tif", "probabilities.tif"}.isdisjoint(left)
    predict.run(given, Control())
    assert all((tmp_path / name).read_bytes() == content for name, content in left.items())
    saved = set(left) - {"scene.tif", "statistics.csvt"}
    assert all(f"{tmp_path / name}" in str(told.value).partition("saved:")[2] for name in saved)


class StopsAfter(Control):
    """Presses Stop once so many tiles are decided."""

    def __init__(self, tiles):
        super().__init__()
        self._tiles = tiles

    def progress(self, fraction, text="", seconds_left=None):
        self._tiles -= 1
        if self._tiles == 0:
            self.stop()


def test_a_stopped_run_has_what_it_covers(predict_job, tmp_path, cache):
    given = replace(predict_job, resume=True, simplify_px=1.0)
    result = predict.run(given, StopsAfter(5))
    assert "5 of 6 tiles" in result["covered"]
    job = polygonize_job(given, tmp_path)
    polygonize.run(job, Control())
    assert rows_of(given.output) == rows_of(job.output)
    frames = [pandas.read_csv(each.output_statistics) for each in (given, job)]
    pandas.testing.assert_frame_equal(*frames, rtol=1e-12)
    partial = rasterio.open(given.output_probabilities).dataset_mask() > 0
    found = len(json.loads(Path(given.output_coco).read_text())["annotations"])
    assert found == result["count"]
    # run again, it continues
    predict.run(given, Control())
    resumed = rasterio.open(given.output_probabilities)
    known, values = resumed.dataset_mask() > 0, resumed.read()
    assert 0 < partial.sum() < known.sum()
    predict.run(replace(given, resume=False), Control())
    whole = rasterio.open(given.output_probabilities)
    assert np.array_equal(whole.dataset_mask() > 0, known)
    assert np.array_equal(whole.read(), values)


def test_what_was_written_is_imported_again(predict_job, raster, tmp_path):
    given = replace(predict_job, simplify_px=1.0)
    predict.run(given, Control())
    exact = polygonize_job(given, tmp_path, simplify_px=0.0)
    polygonize.run(exact, Control())
    shapes = geopandas.read_file(exact.output)
    output = str(tmp_path / "imported.gpkg")
    job = example_jobs.import_job("coco", given.output_coco, [raster], output)
    importannotations.run(job, Control())
    frame = geopandas.read_file(output)
    pairs = zip(in_order(shapes), in_order(frame), strict=True)
    assert all(
        one == other and shapely.equals(here, there) for (one, here), (other, there) in pairs
    )
    job = replace(job, format="label_raster", rasters=(), annotations=given.output_classes)
    importannotations.run(job, Control())
    frame = geopandas.read_file(output)
    assert set(frame.category) == set(shapes.category)
    for name in set(frame.category):
        area = frame.geometry[frame.category == name].area.sum()
        assert area * 4 == shapes.area_px[shapes.category == name].sum()


def in_order(frame):
    rows = [(row.geometry.bounds, row.category, row.geometry) for row in frame.itertuples()]
    return [row[1:] for row in sorted(rows, key=lambda row: (row[:2], row[2].area))]


def changed(path, **tags):
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(ns="DEEPSEG", **tags)


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({"CARD": ""}, "which categories"),
        ({"CARD": "[" * 100_000}, "damaged"),
        ({"CARD": json.dumps({"format_version": 1})}, "damaged"),
        ({"THRESHOLDS": "[0.5]"}, "thresholds"),
        ({"THRESHOLDS": '{"a": 1}'}, "thresholds"),
        ({"THRESHOLDS": "[NaN, 1e999]"}, "thresholds"),
    ],
)
def test_damaged_tags_are_refused(predict_job, tmp_path, tags, what):
    predict.run(predict_job, Control())
    changed(predict_job.output_probabilities, **tags)
    with pytest.raises(RasterError, match=what):
        polygonize.run(polygonize_job(predict_job, tmp_path), Control())
    assert not (tmp_path / "again.gpkg").exists()


def test_foreign_rasters_are_refused(predict_job, raster, model_of, make_raster, tmp_path):
    predict.run(predict_job, Control())
    job = polygonize_job(predict_job, tmp_path)
    with pytest.raises(RasterError, match="OUTPUT_PROBABILITIES"):
        polygonize.run(replace(job, probabilities=raster), Control())
    classes = RasterSource(predict_job.output_classes, "", "classes.tif")
    with pytest.raises(RasterError, match=r"expected 2 bands.*found 1"):
        polygonize.run(replace(job, probabilities=classes), Control())
    with Raster(job.probabilities) as probabilities:
        tags = probabilities.tags("DEEPSEG")
    floats = make_raster(np.ones((2, 64, 64), np.float32), name="floats.tif")
    with rasterio.open(floats.path, "r+") as dataset:
        dataset.update_tags(ns="DEEPSEG", **tags)
    with pytest.raises(RasterError, match="found 2 of type float32"):
        polygonize.run(replace(job, probabilities=floats), Control())
    with pytest.raises(ParameterError, match="threshold"):
        polygonize.run(replace(job, threshold=1.5), Control())
    with pytest.raises(ParameterError, match="simplified"):
        polygonize.run(replace(job, simplify_px=5.0), Control())
    with pytest.raises(ParameterError, match="right_angles"):
        polygonize.run(replace(job, outlines="round"), Control())


@pytest.mark.parametrize("lost", ["statistics.csv", "coco.json", "classes.tif", "*"])
def test_whatever_fails_later_takes_no_polygon_with_it(predict_job, tmp_path, lost):
    """The place of an output vanishes in the middle of a run."""
    every = {"statistics.csv", "coco.json", "classes.tif", "probabilities.tif"}
    vanished = every if lost == "*" else {lost}

    def vanish(_control):
        for name in vanished:
            (folder,) = tmp_path.glob(f".{name}.*.part")
            shutil.rmtree(folder)

    with pytest.raises(OutputError, match=r"could not be written.*Finished and saved") as told:
        predict.run(predict_job, example_jobs.Watched(2, vanish))
    assert all(str(tmp_path / name) in str(told.value) for name in vanished)
    with_rasters = vanished | ({"probabilities.tif"} if lost == "classes.tif" else set())
    left = {name for name in every if (tmp_path / name).exists()}
    assert left == every - with_rasters
    found = geopandas.read_file(predict_job.output)
    predict.run(predict_job, Control())
    assert len(found) > 10
    assert found.equals(geopandas.read_file(predict_job.output))
    assert not list(tmp_path.glob(".*.part"))


def test_a_table_that_cannot_be_written_leaves_the_polygons_of_polygonize(predict_job, tmp_path):
    predict.run(predict_job, Control())

    def vanish(_control):
        (folder,) = tmp_path.glob(".again.csv.*.part")
        shutil.rmtree(folder)

    with pytest.raises(OutputError, match=r"again\.csv.*Finished and saved: .*again\.gpkg"):
        polygonize.run(polygonize_job(predict_job, tmp_path), example_jobs.Watched(1, vanish))
    again = geopandas.read_file(tmp_path / "again.gpkg")
    assert len(again) == len(geopandas.read_file(predict_job.output))
