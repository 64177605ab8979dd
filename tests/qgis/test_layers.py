"""Layers reach the engine as QGIS shows them: read back from the GeoPackages that it was given."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pytest
import shapely
from deepseg_qgis.processing.layers import raster_layers
from deepseg_qgis.processing.layers.attribute_texts import category_text
from deepseg_qgis.processing.layers.multipolygons import as_multipolygon
from deepseg_qgis.processing.layers.polygon_fields import likely_category_field
from qgis.core import (
    NULL,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsField,
    QgsFillSymbol,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsRendererCategory,
    QgsVectorLayer,
    QgsVectorLayerJoinInfo,
)
from qgis.PyQt.QtCore import QByteArray, QDate, QDateTime, QVariant

SQUARE = "Polygon((0 0, 0 10, 10 10, 10 0, 0 0))"
BOW_TIE = "Polygon((0 0, 10 10, 10 0, 0 10, 0 0))"
Run = Callable[..., dict[str, Any]]


def layer(
    *rows: tuple[Any, ...], fields: str = "field=kind:string", kind: str = "Polygon"
) -> QgsVectorLayer:
    """A layer in memory; each row is a WKT and the attributes."""
    made = QgsVectorLayer(f"{kind}?crs=EPSG:32645&{fields}", "Felder und Häuser", "memory")
    assert made.dataProvider().addFeatures([feature(made, *row) for row in rows])[0]
    made.updateExtents()
    return made


def feature(of: QgsVectorLayer, wkt: str | None, *attributes: Any) -> QgsFeature:
    made = QgsFeature(of.fields())
    if wkt:
        made.setGeometry(QgsGeometry.fromWkt(wkt))
    made.setAttributes(list(attributes))
    return made


@pytest.fixture
def sent(run: Run, engine: Any, tmp_path: Path) -> Callable[..., Any]:
    """Send a layer through `statistics`; return what the engine found in its file."""

    def send(polygons: Any, **parameters: Any) -> Any:
        run("statistics", INPUT=polygons, OUTPUT=str(tmp_path / "s.csv"), **parameters)
        return pyogrio.read_dataframe(engine.layers / "input.gpkg", layer="polygons")

    return send


def test_features_and_their_categories_arrive(sent: Callable[..., Any], engine: Any) -> None:
    frame = sent(layer((SQUARE, "house"), (SQUARE, " field ")), CATEGORY_FIELD="kind")
    assert list(frame["category"]) == ["house", "field"]
    assert frame.geometry.area.tolist() == [100.0, 100.0]
    job = engine.job["polygons"]
    assert (job["name"], job["category_field"]) == ("Felder und Häuser", "kind")
    assert job["path"].endswith("input.gpkg")
    assert sorted(job["colours"]) == ["field", "house"]
    assert len(set(job["colours"].values())) == 2


@pytest.mark.parametrize(
    ("fields", "likely"),
    [
        ("field=id:integer&field=category:string", "category"),
        ("field=Class:string&field=Category:string", "Category"),
        ("field=id:integer&field=LABEL:integer", "LABEL"),
        ("field=id:integer&field=height:double", None),
    ],
)
def test_a_category_field_that_was_not_chosen_is_warned_of(
    run: Run,
    engine: Any,
    raster: Any,
    feedback: Any,
    tmp_path: Path,
    fields: str,
    likely: str | None,
) -> None:
    polygons = layer((SQUARE, 1, 2), fields=fields)
    given = {"INPUT": [raster()], "ANNOTATIONS": polygons, "AOI": polygons}
    run("train", OUTPUT=str(tmp_path / "m.safetensors"), **given)
    said = [text for text in feedback.all("warning") if "count as one category" in text]
    assert len(said) == bool(likely)
    assert f"'{likely}'" in "".join(said) or not likely
    assert engine.job["annotations"]["category_field"] is None
    if likely:
        given["CATEGORY_FIELD"] = likely
        run("train", OUTPUT=str(tmp_path / "m.safetensors"), **given)
        assert len([text for text in feedback.all("warning") if "one category" in text]) == 1


def test_the_field_that_colours_a_layer_is_its_category_field() -> None:
    polygons = layer((SQUARE, "a"), fields="field=kind:string&field=label:string")
    assert likely_category_field(polygons.fields(), polygons) == "label"
    polygons.setRenderer(QgsCategorizedSymbolRenderer("kind", []))
    assert likely_category_field(polygons.fields(), polygons) == "kind"
    polygons.setRenderer(QgsCategorizedSymbolRenderer("upper(kind)", []))
    assert likely_category_field(polygons.fields(), polygons) == "label"


def test_unsaved_edits_arrive(sent: Callable[..., Any]) -> None:
    polygons = layer((SQUARE, "old"), (SQUARE, "deleted"))
    polygons.startEditing()
    first, second = [each.id() for each in polygons.getFeatures()]
    polygons.changeAttributeValue(first, 0, "changed")
    polygons.deleteFeature(second)
    polygons.addFeature(feature(polygons, BOW_TIE, "drawn"))
    frame = sent(polygons, CATEGORY_FIELD="kind")
    assert sorted(frame["category"]) == ["changed", "drawn"]
    polygons.rollBack()


def test_unsaved_edits_of_a_file_arrive(sent: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "drawn.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties":'
        '{"kind": "a"}, "geometry": {"type": "Polygon", "coordinates":'
        "[[[0,0],[0,1],[1,1],[0,0]]]}}]}"
    )
    polygons = QgsVectorLayer(str(path), "drawn", "ogr")
    polygons.startEditing()
    polygons.addFeature(feature(polygons, SQUARE, "b"))
    assert sorted(sent(polygons, CATEGORY_FIELD="kind")["category"]) == ["a", "b"]
    polygons.rollBack()


def test_only_selected_features_arrive_if_so_asked(sent: Callable[..., Any], project: Any) -> None:
    polygons = layer((SQUARE, "a"), (SQUARE, "b"), (SQUARE, "c"))
    project.addMapLayer(polygons)
    polygons.selectByExpression("kind = 'b'")
    selected = QgsProcessingFeatureSourceDefinition(polygons.id(), True)
    assert list(sent(selected, CATEGORY_FIELD="kind")["category"]) == ["b"]
    assert len(sent(polygons)) == 3


def test_filters_joins_and_virtual_fields_arrive(
    sent: Callable[..., Any], project: Any, tmp_path: Path
) -> None:
    path = tmp_path / "parcels.gpkg"
    frame = geopandas.GeoDataFrame(
        {"code": [1, 2, 3]}, geometry=[shapely.box(i, 0, i + 1, 1) for i in range(3)], crs=32645
    )
    frame.to_file(path)
    parcels = QgsVectorLayer(str(path), "parcels", "ogr")
    uses = QgsVectorLayer("NoGeometry?field=key:integer&field=use:string", "uses", "memory")
    uses.dataProvider().addFeatures(
        [feature(uses, None, 1, "field"), feature(uses, None, 2, "pond")]
    )
    project.addMapLayers([parcels, uses])
    join = QgsVectorLayerJoinInfo()
    join.setJoinFieldName("key")
    join.setTargetFieldName("code")
    join.setJoinLayer(uses)
    parcels.addJoin(join)
    parcels.addExpressionField("'no ' || code", QgsField("label", QVariant.String))
    joined = sent(parcels, CATEGORY_FIELD="uses_use")["category"]
    assert joined[:2].tolist() == ["field", "pond"]
    assert joined.isna().tolist() == [False, False, True]
    assert parcels.setSubsetString("code > 1")
    assert list(sent(parcels, CATEGORY_FIELD="label")["category"]) == ["no 2", "no 3"]


def test_the_crs_that_a_layer_was_assigned_arrives(sent: Callable[..., Any], engine: Any) -> None:
    polygons = layer((SQUARE, "a"))
    polygons.setCrs(QgsCoordinateReferenceSystem("EPSG:25832"))
    assert sent(polygons).crs.to_epsg() == 25832
    assert "ETRS89 / UTM zone 32N" in engine.job["polygons"]["crs_wkt"]


def test_a_layer_without_crs_arrives(sent: Callable[..., Any], engine: Any) -> None:
    polygons = layer((SQUARE, "a"))
    polygons.setCrs(QgsCoordinateReferenceSystem())
    assert len(sent(polygons)) == 1
    assert engine.job["polygons"]["crs_wkt"] == ""


def test_null_and_numbers_as_categories(sent: Callable[..., Any]) -> None:
    polygons = layer((SQUARE, 3.0), (SQUARE, 2.5), (SQUARE, NULL), fields="field=kind:double")
    frame = sent(polygons, CATEGORY_FIELD="kind")
    assert list(frame["category"])[:2] == ["3", "2.5"]
    assert frame["category"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  Vårbyg \n", "Vårbyg"),
        ("", None),
        ("   ", None),
        (None, None),
        (NULL, None),
        (QVariant(), None),
        (7, "7"),
        (7.0, "7"),
        (-0.0, "0"),
        (1e20, "100000000000000000000"),
        (0.1, "0.1"),
        (float("nan"), None),
        (float("inf"), None),
        (True, "true"),
        (False, "false"),
        (QDate(2024, 2, 29), "2024-02-29"),
        (QDateTime(2024, 2, 29, 7, 5), "2024-02-29T07:05:00"),
        (["a"], "a"),
        (["a ", NULL, 3.0], "a, 3"),
        ([], None),
        ([True], "true"),
        ({"b": 1, "a": ["\u00e4"]}, '{"a": ["\u00e4"], "b": 1}'),
        ({}, None),
        (QByteArray("h\u00e4user".encode()), "h\u00e4user"),
        (QByteArray(b"\xff\x01"), "ff01"),
        ("ha\u0308user", "h\u00e4user"),
    ],
)
def test_the_text_of_a_category(value: Any, text: str | None) -> None:
    assert category_text(value) == text


def test_invalid_and_missing_geometries_arrive_as_they_are(sent: Callable[..., Any]) -> None:
    frame = sent(layer((BOW_TIE, "a"), (None, "b")))
    assert frame.geometry.is_valid.tolist() == [False, True]
    assert frame.geometry.is_empty.tolist() == [False, True]


@pytest.mark.parametrize(
    ("wkt", "flat"),
    [
        (
            "PolygonZM((0 0 1 2, 1 0 1 2, 1 1 1 2, 0 0 1 2))",
            "MultiPolygon (((0 0, 1 0, 1 1, 0 0)))",
        ),
        (
            "GeometryCollection(Point(5 5), Polygon((0 0, 1 0, 1 1, 0 0)))",
            "MultiPolygon (((0 0, 1 0, 1 1, 0 0)))",
        ),
        ("LineString(0 0, 1 1)", None),
        ("Point(0 0)", None),
    ],
)
def test_geometries_become_plain_polygons(wkt: str, flat: str | None) -> None:
    result = as_multipolygon(QgsGeometry.fromWkt(wkt))
    assert (result and result.asWkt(3)) == flat


def test_no_polygon_of_a_collection_is_lost() -> None:
    inner = shapely.GeometryCollection([shapely.box(0, 0, 1, 1), shapely.Point(3, 3)])
    several = shapely.MultiPolygon([shapely.box(5, 0, 6, 1), shapely.box(7, 0, 8, 1)])
    outer = QgsGeometry()
    outer.fromWkb(shapely.to_wkb(shapely.GeometryCollection([inner, several])))
    flat = as_multipolygon(outer)
    assert flat is not None
    assert (flat.area(), flat.constGet().numGeometries()) == (3.0, 3)


@pytest.mark.parametrize("around", ["{}", "GeometryCollection({})", "MultiSurface({})"])
@pytest.mark.parametrize("collected", [False, True])
def test_curves_become_edges(around: str, collected: bool) -> None:
    disc = around.format("CurvePolygon(CircularString(-1 0, 0 1, 1 0, 0 -1, -1 0))")
    flat = as_multipolygon(
        QgsGeometry.fromWkt(f"GeometryCollection({disc})" if collected else disc)
    )
    assert flat.isMultipart()
    assert flat.area() == pytest.approx(3.14159, abs=1e-3)
    assert "Circular" not in flat.asWkt()


PREDICTED = "field=source:string&field=category:string&field=score:double&field=area_px:integer"


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ("field=source:string&field=category:string", ["a.tif", "2024/B.TIFF", "s.nc:band", NULL]),
        (PREDICTED, ["my layer", "a.tif"]),
        ("field=source:string&field=category:string&field=iscrowd:integer", ["my layer"]),
    ],
)
def test_the_rasters_of_deepsegs_own_polygons_arrive(
    fields: str, rows: list[Any], sent: Callable[..., Any]
) -> None:
    frame = sent(layer(*[(SQUARE, source, "house") for source in rows], fields=fields))
    assert frame["source"].fillna("").tolist() == [source or "" for source in rows]


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ("field=source:string&field=category:string", ["GPS", "digitised"]),
        ("field=source:string&field=score:double&field=id:integer", ["a.tif", "field book"]),
        ("field=source:integer&field=category:string", [1, 2]),
    ],
)
def test_a_field_source_of_the_users_names_no_raster(
    fields: str, rows: list[Any], sent: Callable[..., Any]
) -> None:
    frame = sent(layer(*[(SQUARE, source) for source in rows], fields=fields))
    assert frame["source"].isna().all()


def test_names_in_two_unicode_forms_are_one(sent: Callable[..., Any], engine: Any) -> None:
    composed, decomposed = "B\u00e4ume", "Ba\u0308ume"
    polygons = layer((SQUARE, composed), (SQUARE, decomposed), fields=f"field={decomposed}:string")
    polygons.setName(decomposed)
    assert list(sent(polygons, CATEGORY_FIELD=composed)["category"]) == [composed] * 2
    assert list(engine.job["polygons"]["colours"]) == [composed]
    assert engine.job["polygons"]["name"] == composed


def test_an_empty_layer_arrives(sent: Callable[..., Any], engine: Any) -> None:
    frame = sent(layer(), CATEGORY_FIELD="kind")
    assert len(frame) == 0
    assert {"category", "source"} <= set(frame.columns)
    assert engine.job["polygons"]["category_field"] == "kind"


def test_an_empty_geojson_file_keeps_no_field_and_arrives(
    sent: Callable[..., Any], engine: Any, tmp_path: Path
) -> None:
    path = tmp_path / "empty.geojson"
    path.write_text('{"type": "FeatureCollection", "name": "empty", "features": []}')
    assert len(sent(str(path), CATEGORY_FIELD="kind")) == 0
    assert engine.job["polygons"]["category_field"] == "kind"


def test_features_without_the_field_of_the_categories_are_refused(
    sent: Callable[..., Any], feedback: Any, tmp_path: Path
) -> None:
    path = tmp_path / "bare.geojson"
    ring = "[[0,0],[0,1],[1,1],[0,0]]"
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {},'
        f'"geometry": {{"type": "Polygon", "coordinates": [{ring}]}}}}]}}'
    )
    with pytest.raises(QgsProcessingException) as caught:
        sent(str(path), CATEGORY_FIELD="kind")
    assert "has no field 'kind'" in "\n".join([str(caught.value), *feedback.all("error")])


def test_no_selected_feature_is_told(sent: Callable[..., Any], feedback: Any, project: Any) -> None:
    polygons = layer((SQUARE, "a"))
    project.addMapLayer(polygons)
    with pytest.raises(QgsProcessingException) as caught:
        sent(QgsProcessingFeatureSourceDefinition(polygons.id(), True))
    said = "\n".join([str(caught.value), *feedback.all("error")])
    assert "none is selected in the layer 'Felder und H\u00e4user'" in said


def test_statistics_takes_the_field_category_where_none_is_chosen(
    sent: Callable[..., Any], engine: Any
) -> None:
    sent(layer((SQUARE, "house")))
    assert engine.job["polygons"]["category_field"] is None
    assert list(engine.job["polygons"]["colours"]) == ["Felder und Häuser"]
    sent(layer((SQUARE, "house"), fields="field=category:string"))
    assert engine.job["polygons"]["category_field"] == "category"


def test_colours_come_from_the_layers_style(sent: Callable[..., Any], engine: Any) -> None:
    polygons = layer((SQUARE, "house"), (SQUARE, "field"), (SQUARE, "other"))
    colours = {"house": "#ff0000", "field": "#123456"}
    categories = [
        QgsRendererCategory(name, QgsFillSymbol.createSimple({"color": colour}), name)
        for name, colour in colours.items()
    ]
    polygons.setRenderer(QgsCategorizedSymbolRenderer("kind", categories))
    sent(polygons, CATEGORY_FIELD="kind")
    sent_colours = engine.job["polygons"]["colours"]
    assert {name: sent_colours[name] for name in colours} == colours
    assert sent_colours["other"] not in colours.values()


def test_colours_come_from_the_style_beside_a_file(
    sent: Callable[..., Any], engine: Any, tmp_path: Path
) -> None:
    polygons = layer((SQUARE, "house"))
    symbol = QgsFillSymbol.createSimple({"color": "#00ff7f"})
    categories = [QgsRendererCategory("house", symbol, "house")]
    polygons.setRenderer(QgsCategorizedSymbolRenderer("kind", categories))
    path = tmp_path / "drawn.gpkg"
    frame = geopandas.GeoDataFrame(
        {"kind": ["house"]}, geometry=[shapely.box(0, 0, 10, 10)], crs="EPSG:32645"
    )
    frame.to_file(path)
    polygons.saveNamedStyle(str(path.with_suffix(".qml")))
    sent(str(path), CATEGORY_FIELD="kind")
    assert engine.job["polygons"]["colours"] == {"house": "#00ff7f"}


@pytest.mark.parametrize(
    ("rows", "kind", "parameters", "message"),
    [
        ([(SQUARE, "a")], "Polygon", {"CATEGORY_FIELD": "age"}, "no field 'age'.* are: kind"),
        ([], "Polygon", {"CATEGORY_FIELD": "age"}, "no field 'age'"),
        ([("LineString(0 0, 1 1)", "a")], "LineString", {}, "1 feature without an area"),
    ],
)
def test_what_cannot_be_used_is_explained(
    rows: list[Any],
    kind: str,
    parameters: dict[str, str],
    message: str,
    sent: Callable[..., Any],
    feedback: Any,
    engine: Any,
) -> None:
    with pytest.raises(QgsProcessingException) as caught:
        sent(layer(*rows, kind=kind), **parameters)
    # QGIS reports what fails while layers are opened, and raises what fails after that
    said = "\n".join([str(caught.value), *feedback.all("error")])
    assert re.search(message, said), said
    assert not (engine.layers / "input.gpkg").exists()


def test_a_raster_travels_with_the_crs_of_its_layer(
    run: Run, engine: Any, raster: Callable[..., str], tmp_path: Path, project: Any
) -> None:
    from qgis.core import QgsRasterLayer

    scene = QgsRasterLayer(raster("größe 1.tif", epsg=None), "my scene")
    scene.setCrs(QgsCoordinateReferenceSystem("EPSG:32644"))
    project.addMapLayer(scene)
    run("tile", INPUT=scene, OUTPUT=str(tmp_path / "t.gpkg"))
    assert engine.job["raster"]["path"] == str(tmp_path / "größe 1.tif")
    assert engine.job["raster"]["name"] == "größe 1.tif"
    assert "UTM zone 44N" in engine.job["raster"]["crs_wkt"]


LOCAL = 'LOCAL_CS["Local Coordinates (m)",UNIT["metre",1]]'


@pytest.mark.parametrize(
    ("wkt", "epsg", "georeferenced"), [(LOCAL, None, False), ("", None, False), ("", 32645, True)]
)
def test_a_local_crs_travels_and_is_no_place_for_a_geojson(
    run: Run, raster: Callable[..., str], wkt: str, epsg: int | None, georeferenced: bool
) -> None:
    from osgeo import gdal
    from qgis.core import QgsRasterLayer

    path = raster(epsg=epsg)
    if wkt:
        gdal.Open(path, gdal.GA_Update).SetProjection(wkt)
    scene = QgsRasterLayer(path, "scene")
    assert raster_layers.is_georeferenced(scene) == georeferenced
    assert ("Local Coordinates (m)" in raster_layers.raster_sources([scene])[0].crs_wkt) == bool(
        wkt
    )


def test_relative_paths_become_absolute(
    run: Run,
    engine: Any,
    raster: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raster("scene.tif")
    monkeypatch.chdir(tmp_path)
    results = run("tile", INPUT="scene.tif", OUTPUT="tiles.gpkg")
    assert engine.job["raster"]["path"] == str(tmp_path / "scene.tif")
    assert engine.job["output"] == results["OUTPUT"] == str(tmp_path / "tiles.gpkg")


def test_several_rasters_keep_their_order_and_get_names_of_their_own(
    run: Run, engine: Any, raster: Callable[..., str], tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    model.touch()
    paths = [raster("b/scene.tif"), raster("a/scene.tif"), raster("other.tif", epsg=None)]
    run("predict", INPUT=paths, MODEL=str(model), OUTPUT=str(tmp_path / "p.gpkg"))
    sources = engine.job["rasters"]
    assert [source["path"] for source in sources] == paths
    assert [source["name"] for source in sources] == ["b/scene.tif", "a/scene.tif", "other.tif"]
    assert sources[2]["crs_wkt"] == ""


def test_what_gdal_needs_in_a_path_stays(raster: Callable[..., str], tmp_path: Path) -> None:
    import zipfile

    from qgis.core import QgsRasterLayer

    with zipfile.ZipFile(tmp_path / "scenes.zip", "w") as archive:
        archive.write(raster("scene.tif"), "scene.tif")
    path = f"/vsizip/{tmp_path / 'scenes.zip'}/scene.tif"
    source = raster_layers.raster_sources([QgsRasterLayer(path, "zipped")])[0]
    assert source.path == path


def test_open_options_of_qgis_do_not_travel(raster: Callable[..., str]) -> None:
    from qgis.core import QgsRasterLayer

    path = raster("scene.tif")
    scene = QgsRasterLayer(f"{path}|option:NUM_THREADS=2", "scene")
    assert scene.isValid()
    assert raster_layers.raster_sources([scene])[0].path == path


def test_a_raster_that_is_no_file_is_refused() -> None:
    from qgis.core import QgsRasterLayer

    from deepseg_qgis.errors import RasterError

    tiles = QgsRasterLayer("type=xyz&url=http://localhost/{z}/{x}/{y}.png", "map", "wms")
    with pytest.raises(RasterError, match=r"'map' is not read from a file.*'wms'.*GeoTIFF"):
        raster_layers.raster_sources([tiles])[0]


def test_a_raster_that_does_not_open_is_named(
    run: Run, feedback: Any, engine: Any, tmp_path: Path
) -> None:
    path = tmp_path / "notes.tif"
    path.write_text("no raster")
    with pytest.raises(QgsProcessingException, match=r"notes\.tif could not be opened"):
        run("tile", INPUT=str(path), OUTPUT=str(tmp_path / "t.gpkg"))
