"""The data set of `tile`: what the dialog sends to the engine, and a real run from the shell."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def houses(tmp_path: Path) -> str:
    path = tmp_path / "houses.gpkg"
    shapes = [
        shapely.box(x, y, x + 5, y + 6)
        for x in range(300002, 300060, 9)
        for y in range(2999940, 2999990, 9)
    ]
    frame = geopandas.GeoDataFrame({"kind": ["house"] * len(shapes)}, geometry=shapes, crs=32645)
    frame.to_file(path)
    return str(path)


def test_a_data_set_is_made_only_if_asked_for(
    run: Run, engine: Any, raster: Callable[..., str], houses: str, tmp_path: Path
) -> None:
    engine.acts("os.mkdir(job.output_folder) if job.output_folder else 0\nsay(events.Result({}))")
    scene, folder = raster(), str(tmp_path / "set")
    run("tile", INPUT=scene)
    assert engine.job["annotations"] is None
    assert engine.job["output_folder"] is None
    results = run(
        "tile", INPUT=scene, ANNOTATIONS=houses, CATEGORY_FIELD="kind", OUTPUT_FOLDER=folder
    )
    assert results["OUTPUT_FOLDER"] == engine.job["output_folder"] == folder
    assert engine.job["annotations"]["category_field"] == "kind"
    results = run("tile", INPUT=scene, ANNOTATIONS=houses, OUTPUT_FOLDER="TEMPORARY_OUTPUT")
    assert os.path.isdir(results["OUTPUT_FOLDER"])


def test_from_the_shell_with_the_real_engine(
    raster: Callable[..., str], houses: str, tmp_path: Path
) -> None:
    raster("scene.tif")
    given = ["INPUT=scene.tif", "TILE_SIZE=16", "ANNOTATIONS=houses.gpkg", "CATEGORY_FIELD=kind"]
    given += ["OUTPUT=tiles.gpkg", "OUTPUT_FOLDER=a set"]
    command = [ROOT / "scripts" / "qgis_process", "run", "deepseg:tile", "--", *given]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "a set"
    assert sorted(os.listdir(folder)) == ["deepseg_dataset.json", "test", "train", "validation"]
    frame = geopandas.read_file(tmp_path / "tiles.gpkg")
    assert len(frame) == 16
    assert set(frame["part"]) == {"train", "validation", "test"}
    coco = json.loads((folder / "train" / "annotations.json").read_text())
    assert [category["name"] for category in coco["categories"]] == ["house"]
    assert len(coco["images"]) == (frame["part"] == "train").sum()
