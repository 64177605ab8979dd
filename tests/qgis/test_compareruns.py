"""Compare trainings: what the dialog sends, and a real run of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qgis.core import QgsProcessingException, QgsVectorLayer

from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models.model_card import ModelCard, to_json

Run = Callable[..., dict[str, Any]]
CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("roof", "#d55e00"),),
    band_names=("red",),
    dtype="uint8",
    resolution_m=None,
    mean=(100.0,),
    std=(5.0,),
    tile_size_px=64,
    thresholds=(0.5,),
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for number, name in enumerate(("a", "b")):
        card = replace(CARD, validation_score=0.25 + number / 4, training={"seed": number})
        header = json.dumps({"__metadata__": {"deepseg": to_json(card)}}).encode()
        path = folder / f"{name}.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
    return folder


def test_values_of_the_dialog_arrive(run: Run, engine: Any, models: Path, tmp_path: Path) -> None:
    results = run("compareruns", FOLDER=str(models), OUTPUT_HTML=str(tmp_path / "c.html"))
    assert engine.job["folder"] == str(models)
    assert engine.job["output"] == results["OUTPUT"]
    assert results["OUTPUT"].endswith(".csv")
    assert engine.job["output_html"] == str(tmp_path / "c.html")
    run("compareruns", FOLDER=str(models))
    assert engine.job["output_html"] is None


def test_the_table_opens_as_a_layer(run: Run, models: Path, feedback: Any) -> None:
    page = str(models / "c.html")
    results = run("compareruns", FOLDER=str(models), OUTPUT_HTML=page)
    assert results["COUNT"] == 2
    table = QgsVectorLayer(results["OUTPUT"], "c", "ogr")
    assert [feature["seed"] for feature in table.getFeatures()] == [0, 1]
    assert "<html" in Path(page).read_text(encoding="utf-8")
    assert any("b.safetensors: validation score 0.500" in each for each in feedback.all("info"))


def test_a_folder_without_models_says_so(run: Run, tmp_path: Path) -> None:
    with pytest.raises(QgsProcessingException, match="holds no model"):
        run("compareruns", FOLDER=str(tmp_path))
