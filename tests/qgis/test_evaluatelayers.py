"""Two layers are compared: what the dialog sends, and a real run of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pytest
from qgis.core import QgsProcessingException, QgsVectorLayer
from shapely import box

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def layers(tmp_path: Path) -> tuple[str, str]:
    shapes = [box(x, 3e6, x + 10, 3e6 + 10) for x in (3e5, 3e5 + 20)]
    first, second = tmp_path / "found.gpkg", tmp_path / "drawn.gpkg"
    frame = geopandas.GeoDataFrame(
        {"kind": ["roof", "pond"], "certain": [0.75, None], "score": [0.5, 0.25]},
        geometry=shapes,
        crs=32645,
    )
    frame.to_file(first)
    frame[["kind", "geometry"]][:1].to_crs(4326).to_file(second)
    return str(first), str(second)


def test_values_of_the_dialog_arrive(run: Run, engine: Any, layers: tuple[str, str]) -> None:
    chosen = {"CATEGORY_FIELD": "kind", "REFERENCE_CATEGORY_FIELD": "kind"}
    results = run(
        "evaluatelayers",
        PREDICTIONS=layers[0],
        REFERENCE=layers[1],
        SCORE_FIELD="certain",
        IOU_THRESHOLD=0.25,
        OUTPUT_ERRORS="TEMPORARY_OUTPUT",
        **chosen,
    )
    job = engine.job
    assert [job[side]["category_field"] for side in ("predictions", "reference")] == ["kind"] * 2
    assert (job["score_field"], job["iou_threshold"], job["aoi"]) == ("certain", 0.25, None)
    assert (job["output_csv"], job["output_json"]) == (None, None)
    assert job["output_errors"] == results["OUTPUT_ERRORS"]
    streamed = geopandas.read_file(engine.layers / "predictions.gpkg")
    assert streamed["score"].tolist()[0] == 0.75
    assert streamed["score"].isna().tolist() == [False, True]
    assert "score" not in geopandas.read_file(engine.layers / "reference.gpkg").columns


def test_the_usual_fields_are_taken(run: Run, engine: Any, layers: tuple[str, str]) -> None:
    run("evaluatelayers", PREDICTIONS=layers[0], REFERENCE=layers[1])
    assert engine.job["score_field"] == "score"
    assert engine.job["predictions"]["category_field"] is None
    run("evaluatelayers", PREDICTIONS=layers[1], REFERENCE=layers[0])
    assert engine.job["score_field"] is None


def test_the_layer_of_errors_is_styled(run: Run, layers: tuple[str, str], tmp_path: Path) -> None:
    results = run(
        "evaluatelayers",
        PREDICTIONS=layers[0],
        REFERENCE=layers[1],
        OUTPUT_ERRORS=str(tmp_path / "errors.gpkg"),
        OUTPUT_CSV=str(tmp_path / "scores.csv"),
        OUTPUT_HTML=str(tmp_path / "scores.html"),
    )
    assert (results["PRECISION"], results["RECALL"], results["AP50"]) == (1.0, 1.0, 1.0)
    errors = QgsVectorLayer(results["OUTPUT_ERRORS"], "errors", "ogr")
    assert errors.renderer().classAttribute() == "kind"
    labels = {category.value() for category in errors.renderer().categories()}
    assert {feature["kind"] for feature in errors.getFeatures()} == {"right"} < labels
    table = QgsVectorLayer(results["OUTPUT_CSV"], "scores", "ogr")
    rows = {feature["category"]: feature["f1"] for feature in table.getFeatures()}
    assert rows == {"drawn": 1.0, "(all)": 1.0}
    assert "What is wrong with the objects" in Path(results["OUTPUT_HTML"]).read_text("utf-8")


def test_a_field_that_is_missing_is_named(run: Run, layers: tuple[str, str], feedback: Any) -> None:
    with pytest.raises(QgsProcessingException):
        run("evaluatelayers", PREDICTIONS=layers[0], REFERENCE=layers[1], SCORE_FIELD="sure")
    assert any("no field 'sure'" in each for each in feedback.all("error"))
