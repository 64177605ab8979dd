"""Sampling design and area with confidence: the dialog, the form of the points, and a real run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qgis.core import QgsFeature, QgsGeometry, QgsProcessingException, QgsVectorLayer, edit

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def houses() -> QgsVectorLayer:
    """A layer of two houses on a hectare, and unlike names for its fields."""
    layer = QgsVectorLayer("Polygon?crs=epsg:32645&field=kind:string", "houses", "memory")
    for x in (500_000, 500_040):
        feature = QgsFeature(layer.fields())
        box = f"POLYGON(({x} 0,{x} 20,{x + 20} 20,{x + 20} 0,{x} 0))"
        feature.setGeometry(QgsGeometry.fromWkt(box))
        feature["kind"] = "house"
        layer.dataProvider().addFeature(feature)
    return layer


@pytest.fixture
def hectare() -> QgsVectorLayer:
    layer = QgsVectorLayer("Polygon?crs=epsg:32645", "hectare", "memory")
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromWkt("POLYGON((5e5 0,5e5 100,500100 100,500100 0,5e5 0))"))
    layer.dataProvider().addFeature(feature)
    return layer


def test_values_of_the_dialog_arrive(run: Run, engine: Any, raster: Any, houses: Any) -> None:
    run(
        "sampledesign",
        INPUT=raster(),
        TARGET=0.1,
        EXPECTED_ACCURACY=0.7,
        EXPECTED_ACCURACIES="house=0.9, a=b=0.95",
        SAMPLE_SIZE=90,
        MIN_POINTS=10,
        SEED=7,
    )
    job = engine.job
    assert job["map_raster"]["name"] == "scene.tif"
    assert job["map_polygons"] is None
    assert (job["target"], job["expected_accuracy"], job["sample_size"]) == (0.1, 0.7, 90)
    assert job["expected_accuracies"] == {"house": 0.9, "a=b": 0.95}
    assert (job["min_points"], job["seed"]) == (10, 7)
    assert job["output"].endswith(".gpkg")
    run("sampledesign", INPUT=houses, STRATA="kind")
    assert engine.job["map_raster"] is None
    assert engine.job["map_polygons"]["category_field"] == "kind"
    assert engine.job["sample_size"] is None


def test_a_slip_in_the_expectations_is_told(run: Run, engine: Any, raster: Any) -> None:
    with pytest.raises(QgsProcessingException, match="expected entries like building"):
        run("sampledesign", INPUT=raster(), EXPECTED_ACCURACIES="house:0.9")


def test_a_sample_is_a_geopackage(run: Run, raster: Any, tmp_path: Path) -> None:
    with pytest.raises(QgsProcessingException, match="GeoPackage"):
        run("sampledesign", INPUT=raster(), OUTPUT=str(tmp_path / "s.geojson"))
    with pytest.raises(QgsProcessingException, match="could not be opened"):
        run("sampledesign", INPUT=str(tmp_path / "nothing.tif"))


def test_from_the_map_to_the_area(
    run: Run, houses: Any, hectare: Any, tmp_path: Path, feedback: Any
) -> None:
    path = str(tmp_path / "sample.gpkg")
    made = run(
        "sampledesign",
        INPUT=houses,
        STRATA="kind",
        AOI=hectare,
        SAMPLE_SIZE=60,
        MIN_POINTS=20,
        OUTPUT=path,
    )
    assert made["COUNT"] == 60
    assert 0.0 < made["HALF_WIDTH"] < 0.2
    sample = QgsVectorLayer(path, "sample", "ogr")
    assert sample.featureCount() == 60
    field = sample.fields().lookupField("reference_category")
    widget = sample.editorWidgetSetup(field)
    assert widget.type() == "ValueMap"
    assert widget.config()["map"] == [{"background": "background"}, {"house": "house"}]
    hidden = sample.fields().lookupField("map_category")
    assert sample.editorWidgetSetup(hidden).type() == "Hidden"
    assert sample.renderer().classAttribute() == "reference_category"
    with pytest.raises(QgsProcessingException, match="60 points of 60"):
        run("estimatearea", INPUT=sample)
    with edit(sample):
        for feature in sample.getFeatures():
            there = feature["map_category"]
            wrong = there == "house" and feature["id"] % 5 == 0
            sample.changeAttributeValue(feature.id(), field, "background" if wrong else there)
    with pytest.raises(QgsProcessingException, match="60 points filled in, which would be lost"):
        run("sampledesign", INPUT=houses, STRATA="kind", AOI=hectare, OUTPUT=path)
    page = str(tmp_path / "areas.html")
    found = run("estimatearea", INPUT=sample, OUTPUT_HTML=page)
    assert found["COUNT"] == 60
    assert 0.95 < found["OVERALL_ACCURACY"] < 1.0
    table = QgsVectorLayer(found["OUTPUT"], "areas", "ogr")
    rows = {row["category"]: row for row in table.getFeatures()}
    assert rows["house"]["mapped_m2"] == pytest.approx(800.0, rel=2e-3)
    assert rows["house"]["area_m2"] < rows["house"]["mapped_m2"]
    assert rows["house"]["area_low_ha"] < 0.08 < rows["house"]["area_high_ha"] + 0.02
    assert "Areas with confidence" in Path(page).read_text(encoding="utf-8")
    again = run("estimatearea", INPUT=sample, MAP=houses, STRATA="kind", AOI=hectare)
    assert again["OVERALL_ACCURACY"] == pytest.approx(found["OVERALL_ACCURACY"], rel=1e-9)


def test_unsaved_edits_and_own_fields_count(run: Run, engine: Any, feedback: Any) -> None:
    fields = "field=mapped:string&field=seen:integer&field=stratum_share:double"
    layer = QgsVectorLayer(f"Point?crs=epsg:4326&{fields}", "visits", "memory")
    layer.startEditing()
    feature = QgsFeature(layer.fields())
    feature.setAttributes(["1", 2, None])
    layer.addFeature(feature)
    run("estimatearea", INPUT=layer, MAP_FIELD="mapped", REFERENCE_FIELD="seen")
    assert engine.job["sample"]["points"] == [
        {"map_category": "1", "reference_category": "2", "share": None, "area_m2": None}
    ]
    assert engine.job["map_raster"] is None
    layer.rollBack()
    with pytest.raises(QgsProcessingException):
        run("estimatearea", INPUT=layer)
    assert any("has no field 'map_category'" in text for _, text in feedback.said)
