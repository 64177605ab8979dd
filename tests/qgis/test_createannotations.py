"""An annotation layer for real: made, opened, drawn in, saved."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiona
import geopandas
import pytest
from deepseg_qgis.processing.algorithms.createannotations import split_names
from deepseg_qgis.processing.layers.raster_layers import wkt_of
from desktop import Desktop
from qgis.core import (
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsFeature,
    QgsFieldConstraints,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsVectorLayer,
)

from deepseg_qgis.errors import ParameterError

Run = Callable[..., dict[str, Any]]
NAMES = ["Haus & Hof", "Straße <neu>", "Vandløb"]


@pytest.fixture
def made(run: Run, tmp_path: Path) -> Callable[..., QgsVectorLayer]:
    """Make a layer and open it as a user would."""

    def make(name: str = "annotations.gpkg", **parameters: Any) -> QgsVectorLayer:
        path = str(tmp_path / name)
        given = {"CATEGORIES": ", ".join(NAMES), "CRS": "EPSG:32645", **parameters}
        assert run("createannotations", OUTPUT=path, **given) == {"OUTPUT": path}
        layer = QgsVectorLayer(path, "a", "ogr")
        assert layer.isValid()
        return layer

    return make


@pytest.mark.parametrize("name", ["annotations.gpkg", "annotations.shp", "größe 1.GPKG"])
def test_it_opens_ready_to_draw(made: Callable[..., QgsVectorLayer], name: str) -> None:
    layer = made(name)
    assert layer.featureCount() == 0
    assert layer.crs().authid() == "EPSG:32645"
    index = layer.fields().lookupField("category")
    widget = layer.editorWidgetSetup(index)
    assert widget.type() == "ValueMap"
    assert widget.config()["map"] == [{each: each} for each in NAMES]
    assert layer.editFormConfig().reuseLastValue(index)


@pytest.mark.parametrize("name", ["annotations.gpkg", "annotations.shp"])
def test_it_opens_in_users_scripts(
    made: Callable[..., QgsVectorLayer], name: str, tmp_path: Path
) -> None:
    made(name)
    with fiona.open(tmp_path / name) as layer:
        assert list(layer.schema["properties"]) == ["category"]
        assert layer.schema["properties"]["category"].startswith("str")
        assert layer.schema["geometry"] in ("Polygon", "MultiPolygon")
        assert (layer.crs.to_epsg(), len(layer)) == (32645, 0)
    frame = geopandas.read_file(tmp_path / name, layer="annotations")
    assert (list(frame.columns), frame.crs.to_epsg()) == (["category", "geometry"], 32645)


def test_the_form_asks_for_the_category_and_hides_the_id(
    made: Callable[..., QgsVectorLayer],
) -> None:
    layer = made()
    assert layer.editorWidgetSetup(layer.fields().lookupField("fid")).type() == "Hidden"
    constraints = layer.fields().at(layer.fields().lookupField("category")).constraints()
    assert constraints.constraints() & QgsFieldConstraints.Constraint.ConstraintNotNull
    strength = constraints.constraintStrength(QgsFieldConstraints.Constraint.ConstraintNotNull)
    assert strength == QgsFieldConstraints.ConstraintStrength.ConstraintStrengthHard


@pytest.fixture
def arrived(project: Any, tmp_path: Path) -> Callable[..., QgsVectorLayer]:
    """Make a layer and return it as QGIS adds it to the map."""

    def arrive(algorithm: Any = "deepseg:createannotations", **parameters: Any) -> QgsVectorLayer:
        import processing

        output = str(tmp_path / "annotations.gpkg")
        given = {"CATEGORIES": "house, tree", "CRS": "EPSG:32645", "OUTPUT": output, **parameters}
        processing.runAndLoadResults(algorithm, given)
        (layer,) = project.mapLayers().values()
        return layer

    return arrive


def test_it_arrives_in_the_window_ready_to_draw(
    arrived: Callable[..., QgsVectorLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop = Desktop()
    monkeypatch.setattr("qgis.utils.iface", desktop)
    layer = arrived()
    assert [each.label() for each in layer.renderer().categories()] == ["house", "tree"]
    index = layer.fields().lookupField("category")
    assert layer.editorWidgetSetup(index).config()["map"] == [{"house": "house"}, {"tree": "tree"}]
    assert layer.editorWidgetSetup(layer.fields().lookupField("fid")).type() == "Hidden"
    assert layer.isEditable()
    assert desktop.active is layer
    layer.rollBack()


def test_a_script_gets_the_form_without_editing(arrived: Callable[..., QgsVectorLayer]) -> None:
    layer = arrived()
    assert isinstance(layer.renderer(), QgsCategorizedSymbolRenderer)
    assert not layer.isEditable()


def test_a_model_gets_the_form_without_editing(
    arrived: Callable[..., QgsVectorLayer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qgis.utils.iface", Desktop())
    model, name = in_a_model()
    layer = arrived(model, **{name: str(tmp_path / "from_model.gpkg")})
    assert isinstance(layer.renderer(), QgsCategorizedSymbolRenderer)
    assert not layer.isEditable()


def in_a_model() -> tuple[QgsProcessingModelAlgorithm, str]:
    """Return a model of this one step, and the name of its output."""
    model = QgsProcessingModelAlgorithm("model", "tests")
    child = QgsProcessingModelChildAlgorithm("deepseg:createannotations")
    child.setChildId("made")
    source = QgsProcessingModelChildParameterSource.fromStaticValue("house, tree")
    child.addParameterSources("CATEGORIES", [source])
    output = QgsProcessingModelOutput("layer")
    output.setChildId("made")
    output.setChildOutputName("OUTPUT")
    child.setModelOutputs({"layer": output})
    model.addChildAlgorithm(child)
    model.updateDestinationParameters()
    return model, model.destinationParameterDefinitions()[0].name()


def test_the_save_dialog_offers_what_can_be_drawn_in_with_geopackage_first() -> None:
    registry = QgsApplication.processingRegistry()
    made = registry.createAlgorithmById("deepseg:createannotations")
    model, _ = in_a_model()
    for algorithm in (made, model, model.create()):
        gc.collect()  # QGIS copies parameters, and holds the copies alone
        (output,) = algorithm.destinationParameterDefinitions()
        assert output.supportedOutputVectorLayerExtensions() == ["gpkg", "shp"]
        assert output.createFileFilter().startswith("GPKG files (*.gpkg);;SHP files (*.shp)")
        assert output.generateTemporaryDestination().endswith(".gpkg")
        assert output.isSupportedOutputValue("/tmp/a.gpkg", QgsProcessingContext())[0]
        supported, message = output.isSupportedOutputValue("/a.geojson", QgsProcessingContext())
        assert not supported
        assert ".gpkg" in message


def test_a_missing_ending_is_filled_in(
    arrived: Callable[..., QgsVectorLayer], tmp_path: Path
) -> None:
    layer = arrived(OUTPUT=str(tmp_path / "annotations"))
    assert layer.isValid()
    assert isinstance(layer.renderer(), QgsCategorizedSymbolRenderer)
    assert (tmp_path / "annotations.gpkg").exists()


def test_each_category_has_its_colour(made: Callable[..., QgsVectorLayer]) -> None:
    layer = made()
    renderer = layer.renderer()
    assert isinstance(renderer, QgsCategorizedSymbolRenderer)
    assert renderer.classAttribute() == "category"
    assert [each.value() for each in renderer.categories()] == NAMES
    assert len({each.symbol().color().name() for each in renderer.categories()}) == len(NAMES)


def test_the_style_travels_inside_a_geopackage(
    made: Callable[..., QgsVectorLayer], tmp_path: Path
) -> None:
    made()
    (tmp_path / "annotations.qml").unlink()
    layer = QgsVectorLayer(str(tmp_path / "annotations.gpkg"), "a", "ogr")
    assert isinstance(layer.renderer(), QgsCategorizedSymbolRenderer)


def test_what_is_drawn_is_kept(made: Callable[..., QgsVectorLayer]) -> None:
    layer = made()
    layer.startEditing()
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromWkt("Polygon((0 0, 0 1, 1 1, 0 0))"))
    feature["category"] = NAMES[1]
    assert layer.addFeature(feature)
    assert layer.commitChanges()
    assert [each["category"] for each in layer.getFeatures()] == [NAMES[1]]


def test_drawn_polygons_are_never_overwritten(
    made: Callable[..., QgsVectorLayer], run: Run, tmp_path: Path
) -> None:
    test_what_is_drawn_is_kept(made)
    with pytest.raises(QgsProcessingException, match="has 1 feature, which would be lost"):
        made()
    assert QgsVectorLayer(str(tmp_path / "annotations.gpkg"), "a", "ogr").featureCount() == 1


def test_an_empty_layer_may_be_made_again(made: Callable[..., QgsVectorLayer]) -> None:
    made()
    layer = made(CATEGORIES="one")
    assert len(layer.renderer().categories()) == 1


def test_a_layer_without_crs_comes_with_a_warning(
    made: Callable[..., QgsVectorLayer], feedback: Any
) -> None:
    layer = made(CRS=None)
    assert wkt_of(layer.crs()) == ""
    assert any("no CRS" in text for text in feedback.all("warning"))


@pytest.mark.parametrize("name", ["annotations.geojson", "annotations.txt"])
def test_a_format_that_cannot_hold_it_is_refused(
    made: Callable[..., QgsVectorLayer], name: str, tmp_path: Path
) -> None:
    with pytest.raises(QgsProcessingException, match=r"\.gpkg"):
        made(name)
    assert not list(tmp_path.glob("annotations*"))


def test_a_folder_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QgsProcessingException, match=r"may write to|could not be written"):
        run("createannotations", CATEGORIES="a", OUTPUT=str(tmp_path / "file" / "a.gpkg"))


def test_a_misspelled_parameter_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(QgsProcessingException, match=r"no parameter CATEGORY\. Did you mean"):
        run("createannotations", CATEGORY="a", OUTPUT=str(tmp_path / "a.gpkg"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("building", ["building"]),
        (" building , road,,building, ", ["building", "road"]),
        ("houses, large\nroad\n\n", ["houses, large", "road"]),
        ("Å\r\nÆ\r\n", ["Å", "Æ"]),
        ("B\u00e4ume, Ba\u0308ume", ["B\u00e4ume"]),
    ],
)
def test_names_are_split(text: str, names: list[str]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize("text", ["", " , ,", "\n \n", "x" * 300])
def test_names_that_cannot_be_used(text: str) -> None:
    with pytest.raises(ParameterError, match="Categories: expected"):
        split_names(text)
