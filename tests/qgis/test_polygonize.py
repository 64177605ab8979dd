"""Other outputs of predict, and polygonize: what the dialogs send, and a real run of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pytest
import torch
from osgeo import gdal
from qgis.core import QgsRasterLayer

from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign

Run = Callable[..., dict[str, Any]]
CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("roof", "#d55e00"), Category("lawn", "#009e73")),
    band_names=("red", "green", "blue"),
    dtype="uint8",
    resolution_m=None,
    mean=(100.0, 100.0, 100.0),
    std=(5.0, 5.0, 5.0),
    tile_size_px=64,
    thresholds=(0.3, 0.3),
)


@pytest.fixture
def scene(raster: Callable[..., str]) -> str:
    path = raster()
    dataset = gdal.Open(path, gdal.GA_Update)
    for band in range(1, 4):
        noise = bytes((i * i * band * 7919 // 64) % 256 for i in range(64 * 64))
        dataset.GetRasterBand(band).WriteRaster(0, 0, 64, 64, noise)
    dataset.FlushCache()
    return path


def test_values_of_the_dialog_arrive(
    run: Run, engine: Any, raster: Callable[..., str], tmp_path: Path
) -> None:
    scene = raster("probabilities.tif")
    run("polygonize", PROBABILITIES=scene, THRESHOLD=0, MIN_AREA=2.5, SIMPLIFY=0, OUTLINES="smooth")
    job = engine.job
    assert job["probabilities"]["path"] == scene
    assert (job["threshold"], job["min_area"], job["simplify_px"]) == (0.0, 2.5, 0.0)
    assert (job["outlines"], job["output_statistics"]) == ("smooth", None)
    run("polygonize", PROBABILITIES=scene, OUTPUT_STATISTICS=str(tmp_path / "s.csv"))
    assert engine.job["threshold"] is None
    assert engine.job["outlines"] == "plain"
    assert engine.job["output_statistics"] == str(tmp_path / "s.csv")


def test_a_temporary_result_without_place_is_no_geojson(
    run: Run, engine: Any, raster: Callable[..., str]
) -> None:
    scene = raster(epsg=None, transform=None)
    assert run("polygonize", PROBABILITIES=scene)["OUTPUT"].endswith(".gpkg")


def test_other_outputs_are_asked_for_by_name(
    run: Run, engine: Any, raster: Callable[..., str], tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    model.touch()
    given = {
        "OUTPUT_CLASSES": str(tmp_path / "c.tif"),
        "OUTPUT_PROBABILITIES": "TEMPORARY_OUTPUT",
        "OUTPUT_COCO": str(tmp_path / "o.json"),
    }
    results = run("predict", INPUT=[raster()], MODEL=str(model), **given)
    job = engine.job
    assert job["output_classes"] == results["OUTPUT_CLASSES"] == given["OUTPUT_CLASSES"]
    assert job["output_probabilities"] == results["OUTPUT_PROBABILITIES"]
    assert results["OUTPUT_PROBABILITIES"].endswith(".tif")
    assert job["output_coco"] == results["OUTPUT_COCO"] == given["OUTPUT_COCO"]


def test_predict_and_polygonize_with_the_real_engine(
    run: Run, scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(tmp_path / "m.safetensors")
    torch.manual_seed(3)
    weights.save(model, networks.build(NetworkDesign("unet", "resnet18"), 3, 2).state_dict(), CARD)
    found = run(
        "predict",
        INPUT=[scene],
        MODEL=model,
        DEVICE="cpu",
        OUTPUT=str(tmp_path / "found.gpkg"),
        OUTPUT_CLASSES=str(tmp_path / "classes.tif"),
        OUTPUT_PROBABILITIES=str(tmp_path / "probabilities.tif"),
        OUTPUT_COCO=str(tmp_path / "objects.json"),
    )
    assert found["COUNT"] > 1
    again = run(
        "polygonize",
        PROBABILITIES=found["OUTPUT_PROBABILITIES"],
        OUTPUT=str(tmp_path / "again.gpkg"),
    )
    frames = [geopandas.read_file(each["OUTPUT"]).sort_values("id") for each in (found, again)]
    assert [each.wkb for each in frames[0].geometry] == [each.wkb for each in frames[1].geometry]
    assert frames[0].drop(columns="geometry").equals(frames[1].drop(columns="geometry"))
    assert set(frames[1]["source"]) == {"scene.tif"}
    assert again["AREA_M2"] == pytest.approx(found["AREA_M2"], rel=1e-12)
    assert 'value="roof"' in (tmp_path / "again.qml").read_text()
    for style in ("right_angles", "smooth"):
        styled = run(
            "polygonize",
            PROBABILITIES=found["OUTPUT_PROBABILITIES"],
            OUTLINES=style,
            OUTPUT=str(tmp_path / f"{style}.gpkg"),
        )
        frame = geopandas.read_file(styled["OUTPUT"]).sort_values("id")
        assert list(frame["area_px"]) == list(frames[0]["area_px"])
        assert [each.wkb for each in frame.geometry] != [each.wkb for each in frames[0].geometry]
        assert frame.geometry.is_valid.all()
    monkeypatch.setenv("GDAL_PAM_ENABLED", "YES")  # GDAL's default, but not that of the tests
    assert classes_of(found["OUTPUT_CLASSES"]) == {1: "roof", 2: "lawn"}
    (tmp_path / "classes.qml").unlink()
    classes = classes_of(found["OUTPUT_CLASSES"])
    assert [classes[value] for value in (0, 1, 2)] == ["background", "roof", "lawn"]


def classes_of(path: str) -> dict[int, str]:
    """Return the values and labels in the legend of a raster that is opened in QGIS."""
    layer = QgsRasterLayer(path, "classes")
    return {each.value: each.label for each in layer.renderer().classes()}
