"""Bad input, as a user meets it: by ``scripts/qgis_process``, with the real engine.

Each case gives one message that says what to do, an exit code that is not 0, no traceback, and
leaves nothing half-written.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
import torch

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_output import RasterOutput
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.verbs import demoscene
from deepseg_qgis.jobs import DemoSceneJob

ROOT = Path(__file__).resolve().parents[2]
CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("building", "#d55e00"),),
    band_names=("red", "green", "blue"),
    dtype="uint8",
    resolution_m=0.25,
    mean=(100.0, 100.0, 100.0),
    std=(50.0, 50.0, 50.0),
    tile_size_px=64,
    thresholds=(0.5,),
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scene, its annotations, a model and some files that are not what they say."""
    folder = tmp_path_factory.mktemp("given")
    paths = [str(folder / f"{name}.gpkg") for name in ("annotations", "training", "test")]
    demoscene.run(DemoSceneJob(256, 1, True, str(folder / "scene.tif"), *paths), Control())
    torch.manual_seed(1)  # of many polygons
    network = networks.build(NetworkDesign("unet", "resnet18"), 3, 1)
    weights.save(str(folder / "model.safetensors"), network.state_dict(), CARD)
    (folder / "text.safetensors").write_text("this is a shopping list, not a model")
    absurd = struct.pack("<Q", 2**62) + b'{"__metadata__":{}}'
    (folder / "absurd.safetensors").write_bytes(absurd)
    frame = geopandas.read_file(folder / "annotations.gpkg")
    frame[:0].to_file(folder / "empty.gpkg")
    far = frame.copy()
    far["geometry"] = shapely.affinity.translate(shapely.box(0, 0, 50, 50), 10_000, 10_000)
    far.set_crs(frame.crs, allow_override=True).to_file(folder / "far.gpkg")
    with RasterOutput(
        str(folder / "two_bands.tif"), _grid(frame), bands=2, dtype="uint8"
    ) as raster:
        raster.write(_grid(frame).window, np.ones((2, 64, 64), dtype=np.uint8))
    whole = (folder / "scene.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    return folder


def _grid(frame: geopandas.GeoDataFrame) -> Grid:
    import pyproj
    from affine import Affine

    west, _, _, north = frame.total_bounds
    return Grid(64, 64, Affine(0.25, 0, west, 0, -0.25, north), pyproj.CRS(frame.crs))


@pytest.fixture
def run(given: Path) -> Run:
    def run(algorithm: str, **parameters: object) -> subprocess.CompletedProcess[str]:
        values = [f"{name}={value}" for name, value in parameters.items()]
        command = [ROOT / "scripts" / "qgis_process", "run", f"deepseg:{algorithm}", "--", *values]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=180, cwd=given, check=False
        )

    return run


def assert_refused(found: subprocess.CompletedProcess[str], message: str) -> None:
    said = found.stdout + found.stderr
    assert found.returncode != 0, said
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"CATEGORY_FIELD": "nonsense"}, "has no field 'nonsense'"),
        ({"ANNOTATIONS": "empty.gpkg"}, "'empty' is empty. Draw polygons"),
        ({"ANNOTATIONS": "far.gpkg"}, "Check that both layers have the right CRS"),
        ({"AOI": "far.gpkg"}, "does not touch any of the rasters"),
        ({"INPUT": "cut.tif"}, "could not be read as a raster"),
        ({"INPUT": "annotations.gpkg"}, "could not be opened as a raster"),
        ({"OUTPUT": "scene.tif/model.safetensors"}, "Choose a folder that you may write to"),
    ],
)
def test_training_on_what_cannot_be_used(
    run: Run, tmp_path: Path, values: dict[str, str], message: str
) -> None:
    good = {
        "INPUT": "scene.tif",
        "ANNOTATIONS": "annotations.gpkg",
        "CATEGORY_FIELD": "category",
        "TILE_SIZE": 64,
        "EPOCHS": 1,
        "OUTPUT": tmp_path / "model.safetensors",
        "OUTPUT_VALIDATION": tmp_path / "validation.gpkg",
        "OUTPUT_HTML": tmp_path / "report.html",
    }
    assert_refused(run("train", **good | values), message)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"INPUT": "two_bands.tif"}, "The model expects 3 bands of type uint8"),
        ({"INPUT": "cut.tif"}, "could not be read as a raster"),
        ({"MODEL": "text.safetensors"}, "it does not start like one"),
        ({"MODEL": "absurd.safetensors"}, "it does not start like one"),
        ({"MODEL": "missing.safetensors"}, "missing.safetensors"),
        ({"OUTPUT": "scene.tif/found.gpkg"}, "Choose a folder that you may write to"),
        ({"OUTPUT_STATISTICS": "scene.tif/s.csv"}, "Choose a folder that you may write to"),
    ],
)
def test_predicting_with_what_cannot_be_used(
    run: Run, tmp_path: Path, values: dict[str, str], message: str
) -> None:
    output = tmp_path / "found.gpkg"
    output.write_text("what was there before")
    good = {"INPUT": "scene.tif", "MODEL": "model.safetensors", "OUTPUT": output}
    assert_refused(run("predict", **good | values), message)
    assert os.listdir(tmp_path) == ["found.gpkg"]
    assert output.read_text() == "what was there before"


def test_a_file_that_exists_is_replaced_by_the_finished_result(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "found.geojson"
    output.write_text("what was there before")
    found = run("predict", INPUT="scene.tif", MODEL="model.safetensors", OUTPUT=output)
    assert found.returncode == 0, found.stdout + found.stderr
    assert output.read_text().startswith("{")
    assert sorted(os.listdir(tmp_path)) == ["found.geojson", "found.qml"]


def test_a_truncated_jp2(run: Run, shared_data: Path, tmp_path: Path) -> None:
    broken = shared_data / "odd_rasters" / "jp2" / "truncated.jp2"
    output = tmp_path / "found.gpkg"
    found = run("predict", INPUT=broken, MODEL="model.safetensors", OUTPUT=output)
    assert_refused(found, "truncated.jp2")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    with contextlib.suppress(OSError):
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            yield disk
            subprocess.run(["umount", str(disk)], check=True)
            return
    pytest.skip("mounting a small disk needs to be root on Linux")


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "fgb", "shp"])
def test_a_full_disk_under_a_prediction(run: Run, small_disk: Path, suffix: str) -> None:
    output = small_disk / f"found.{suffix}"
    found = run(
        "predict", INPUT="scene.tif", MODEL="model.safetensors", OUTPUT=output, THRESHOLD=0.4
    )
    assert_refused(found, "room")
    assert os.listdir(small_disk) == []


def test_a_full_disk_under_a_model(run: Run, small_disk: Path) -> None:
    found = run(
        "train",
        INPUT="scene.tif",
        ANNOTATIONS="annotations.gpkg",
        EPOCHS=1,
        TILE_SIZE=32,
        BATCH_SIZE=64,
        OUTPUT=small_disk / "model.safetensors",
    )
    assert_refused(found, "room")
    assert os.listdir(small_disk) == []
