"""Pretrained weights from the dialog: what reaches the engine, and a real download of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pytest
import safetensors.torch
import shapely
from qgis.core import QgsProcessingException

from deepseg_qgis.engine.models import networks
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.pretrained.library_weights import FILE, published_weights

Run = Callable[..., dict[str, Any]]
ENCODER = "mobilenet_v2"


@pytest.fixture
def polygons(tmp_path: Path) -> str:
    path = tmp_path / "polygons.gpkg"
    shapes = [shapely.box(300010, 2999950, 300020, 2999960)]
    geopandas.GeoDataFrame(geometry=shapes, crs=32645).to_file(path)
    return str(path)


def test_the_dialogs_words_reach_the_engine(run: Run, engine: Any) -> None:
    engine.acts("say(events.Result({'output': '/a/file'}))")
    assert run("fetchweights", ENCODER="resnet34")["OUTPUT"] == "/a/file"
    assert engine.job["encoder"] == "resnet34"
    assert engine.job["weights"] == "imagenet"
    run("fetchweights", ENCODER="resnet18", WEIGHTS=" ssl ")
    assert engine.job["weights"] == "ssl"


@pytest.mark.parametrize(
    ("given", "job"),
    [({}, "auto"), ({"ENCODER_WEIGHTS": ""}, "auto"), ({"ENCODER_WEIGHTS": "ssl"}, "ssl")],
)
def test_train_takes_words(
    given: dict[str, str], job: str, run: Run, engine: Any, raster: Any, polygons: str
) -> None:
    run("train", INPUT=raster(), ANNOTATIONS=polygons, **given)
    assert engine.job["encoder_weights"] == job


def test_train_takes_a_file_by_its_absolute_path(
    run: Run, engine: Any, raster: Any, polygons: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    run("train", INPUT=raster(), ANNOTATIONS=polygons, ENCODER_WEIGHTS="mine.pth")
    assert engine.job["encoder_weights"] == str(tmp_path / "mine.pth")


def test_a_real_download_from_a_mirror(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror is a folder: its address reaches the engine, and the file the store."""
    published = published_weights(ENCODER)["imagenet"]
    place = tmp_path / "hub" / published.repository / "resolve" / published.revision
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))
    monkeypatch.setenv("HF_ENDPOINT", (tmp_path / "hub").as_uri())
    with pytest.raises(QgsProcessingException, match="could not be downloaded"):
        run("fetchweights", ENCODER=ENCODER)
    place.mkdir(parents=True)
    state = networks.build(NetworkDesign("unet", ENCODER), 3, 1).encoder.state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    safetensors.torch.save_file(tensors, str(place / FILE))
    path = Path(run("fetchweights", ENCODER=ENCODER)["OUTPUT"])
    assert path.is_relative_to(tmp_path / "data")
    with safetensors.safe_open(path, framework="pt") as file:
        sha256 = hashlib.sha256((place / FILE).read_bytes()).hexdigest()
        assert sha256 in file.metadata()["deepseg_encoder"]
        assert set(file.keys()) == set(tensors)
