"""What the user has on the disk stays as it is: other layers, styles, layers in edit mode."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deepseg_qgis.processing.layers.layer_files import files_of
from deepseg_qgis.processing.layers.style_files import save_beside
from deepseg_qgis.processing.layers.styles import category_style, outline_style, save_style
from osgeo import gdal, ogr
from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsVectorLayerJoinInfo,
)
from qgis.PyQt.QtCore import QUrl

Run = Callable[..., dict[str, Any]]
RED = {"categories": [{"name": "a", "colour": "#ff0000"}]}


@pytest.fixture
def write(application: Any, tmp_path: Path) -> Callable[..., str]:
    """Write a layer of some polygons (with 'a' as their category); return its path."""

    def write_layer(name: str, layer: str = "parcels", count: int = 3) -> str:
        path = str(tmp_path / name)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        memory = QgsVectorLayer("Polygon?crs=epsg:32645&field=category:string", layer, "memory")
        features = []
        for i in range(count):
            feature = QgsFeature(memory.fields())
            corner = f"{300_000 + 9 * i} 2999990"
            feature.setGeometry(
                QgsGeometry.fromWkt(
                    f"Polygon(({corner}, 300000 3000000, 300040 3000000, {corner}))"
                )
            )
            feature["category"] = "a"
            features.append(feature)
        memory.dataProvider().addFeatures(features)
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.driverName = {"gpkg": "GPKG", "shp": "ESRI Shapefile", "csv": "CSV"}[
            name.rpartition(".")[2]
        ]
        options.layerName = layer
        if Path(path).exists():
            options.actionOnExistingFile = (
                QgsVectorFileWriter.ActionOnExistingFile.CreateOrOverwriteLayer
            )
        context = QgsProject.instance().transformContext()
        QgsVectorFileWriter.writeAsVectorFormatV3(memory, path, context, options)
        return path

    return write_layer


def state(folder: Path) -> dict[str, str]:
    """Return all files of a folder with a hash of each."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_input_of_an_algorithm_is_never_replaced(
    run: Run, write: Callable[..., str], tmp_path: Path
) -> None:
    path = write("own.gpkg", "own")
    (tmp_path / "there").symlink_to(tmp_path)
    before = state(tmp_path)
    for output in (path, str(tmp_path / "there" / "own.gpkg")):
        with pytest.raises(QgsProcessingException, match=r"(?s)the layer 'own'.*another file name"):
            run("statistics", INPUT=f"{path}|layername=own", OUTPUT=output)
    assert state(tmp_path) == before


def test_a_layer_in_edit_mode_keeps_its_file(
    run: Run, write: Callable[..., str], tmp_path: Path, raster: Callable[..., str]
) -> None:
    path = write("tiles.gpkg", "tiles")
    layer = QgsVectorLayer(path, "drawing", "ogr")
    QgsProject.instance().addMapLayer(layer)
    layer.startEditing()
    for name, more in (("tile", {"INPUT": raster()}), ("createannotations", {"CATEGORIES": "a"})):
        with pytest.raises(QgsProcessingException, match="'drawing' is being edited"):
            run(name, OUTPUT=path, **more)
    layer.rollBack()
    assert layer.featureCount() == 3


@pytest.mark.parametrize("first", ["empty layer", "raster", "table"])
def test_an_annotation_layer_takes_no_other_layers_place(
    run: Run, write: Callable[..., str], tmp_path: Path, first: str
) -> None:
    path = str(tmp_path / "ann.gpkg")
    if first == "empty layer":
        write("ann.gpkg", "a_first", 0)
        write("ann.gpkg", "parcels", 50)
    elif first == "raster":
        gdal.GetDriverByName("GPKG").Create(path, 8, 8, 3).SetGeoTransform((0, 1, 0, 0, 0, -1))
    else:
        ogr.GetDriverByName("GPKG").CreateDataSource(path).CreateLayer("notes", None, ogr.wkbNone)
    before = state(tmp_path)
    with pytest.raises(QgsProcessingException, match="which would be lost"):
        run("createannotations", CATEGORIES="a", OUTPUT=path)
    assert state(tmp_path) == before


def test_what_is_no_layer_at_all_is_not_replaced_by_annotations(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ann.gpkg"
    path.write_text("something else")
    with pytest.raises(QgsProcessingException, match="would be lost"):
        run("createannotations", CATEGORIES="a", OUTPUT=str(path))
    assert path.read_text() == "something else"


@pytest.mark.parametrize(
    "other", ["scene.tif", "scene.gpkg", "scene.laz", "scene.2dm", "scene.qml"]
)
def test_the_style_of_another_file_is_never_written(tmp_path: Path, other: str) -> None:
    (tmp_path / other).write_text("the user's")
    save_style(str(tmp_path / "scene.geojson"), category_style(RED))
    assert {path.name for path in tmp_path.iterdir()} == {other}
    assert (tmp_path / other).read_text() == "the user's"


def test_a_style_is_written_again_until_the_user_changes_it(tmp_path: Path) -> None:
    path, place = str(tmp_path / "p.geojson"), tmp_path / "p.qml"
    for style in (category_style(RED), outline_style("#00ff00")):
        save_style(path, style)
    layer = QgsVectorLayer("Polygon?field=category:string", "p", "memory")
    _, loaded = layer.loadNamedStyle(str(place))
    assert loaded
    assert layer.renderer().type() == "singleSymbol"
    layer.saveNamedStyle(str(place))
    users = place.read_bytes()
    save_style(path, category_style(RED))
    assert place.read_bytes() == users


def test_a_style_of_ours_for_another_layer_stays(tmp_path: Path) -> None:
    save_style(str(tmp_path / "p.fgb"), outline_style("#00ff00"))
    before = state(tmp_path)
    save_style(str(tmp_path / "p.geojson"), category_style(RED))
    assert state(tmp_path) == before


def test_a_geopackage_takes_the_style_that_cannot_stand_beside_it(
    write: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "scene.qml").write_text("the user's")
    path = write("scene.gpkg", "scene")
    save_style(path, category_style(RED))
    assert (tmp_path / "scene.qml").read_text() == "the user's"
    assert QgsVectorLayer(path, "again", "ogr").renderer().type() == "categorizedSymbol"


def test_a_table_beside_a_layer_does_not_hinder_its_style(tmp_path: Path) -> None:
    for name in ("p.csv", "p.html", "p.json"):
        (tmp_path / name).touch()
    layer = QgsVectorLayer("Polygon", "p", "memory")
    save_beside(str(tmp_path / "p.fgb"), layer, QgsMapLayer.StyleCategory.Symbology)
    assert (tmp_path / "p.qml").exists()


def test_the_files_of_a_layer(write: Callable[..., str], tmp_path: Path) -> None:
    path = write("project.gpkg", "roads & ways")
    assert files_of(QgsVectorLayer(f"{path}|layername=roads & ways", "a", "ogr")) == (path,)
    assert files_of(QgsVectorLayer("Polygon", "a", "memory")) == ()
    shapes = write("odd # [1] name.shp")
    assert files_of(QgsVectorLayer(shapes, "a", "ogr")) == (shapes,)


def test_the_files_of_a_layer_with_joins_and_of_a_virtual_one(
    write: Callable[..., str], tmp_path: Path
) -> None:
    one, other = write("one.shp"), write("other.gpkg", "other")
    layer, joined = QgsVectorLayer(one, "one", "ogr"), QgsVectorLayer(other, "other", "ogr")
    QgsProject.instance().addMapLayers([layer, joined])
    join = QgsVectorLayerJoinInfo()
    join.setJoinLayer(joined)
    join.setJoinFieldName("category")
    join.setTargetFieldName("category")
    layer.addJoin(join)
    assert set(files_of(layer)) == {one, other}
    virtual = QgsVectorLayer(f"?layer_ref={joined.id()}", "v", "virtual")
    assert files_of(virtual) == (other,)
    virtual = QgsVectorLayer(f"?layer=ogr:{one}:named:UTF-8", "v", "virtual")
    assert files_of(virtual) == (one,)


@pytest.mark.parametrize("named", ["id", "name"])
def test_the_files_of_a_virtual_layer_whose_query_names_layers(
    write: Callable[..., str], named: str
) -> None:
    path = write("parcels.gpkg")
    layer = QgsVectorLayer(path, "My parcels", "ogr")
    QgsProject.instance().addMapLayer(layer)
    name = layer.id() if named == "id" else layer.name()
    query = bytes(QUrl.toPercentEncoding(f'select * from "{name}"')).decode()
    virtual = QgsVectorLayer(f"?query={query}", "v", "virtual")
    assert virtual.isValid()
    assert files_of(virtual) == (path,)


@pytest.mark.parametrize("way", ["in the source", "CDATA", "relative in other words"])
def test_the_files_of_vrts_however_they_are_written(
    write: Callable[..., str], tmp_path: Path, way: str
) -> None:
    path = write("parcels.gpkg")
    relative = way.startswith("relative")
    text = (
        '<OGRVRTDataSource><OGRVRTLayer name="v"><SrcDataSource relativeToVRT='
        f'"{"yes" if relative else 0}">{"parcels.gpkg" if relative else path}</SrcDataSource>'
        "<SrcSQL><![CDATA[select * from parcels]]></SrcSQL></OGRVRTLayer></OGRVRTDataSource>"
    )
    vrt = tmp_path / "v.vrt"
    vrt.write_text(text)
    layer = QgsVectorLayer(text if way == "in the source" else str(vrt), "v", "ogr")
    assert layer.isValid()
    assert path in files_of(layer)


def test_vrts_that_name_each_other_have_an_end(tmp_path: Path) -> None:
    text = "<OGRVRTDataSource><OGRVRTLayer><SrcDataSource>{}</SrcDataSource>"
    text += "</OGRVRTLayer></OGRVRTDataSource>"
    one, other = tmp_path / "a.vrt", tmp_path / "b.vrt"
    one.write_text(text.format(other))
    other.write_text(text.format(one))
    assert set(files_of(QgsVectorLayer(str(one), "v", "ogr"))) == {str(one), str(other)}


def test_the_file_of_a_part_of_a_file(write: Callable[..., str]) -> None:
    path = write("parcels.gpkg")
    layer = QgsVectorLayer(f"/vsisubfile/0_{os.path.getsize(path)},{path}", "v", "ogr")
    assert layer.isValid()
    assert files_of(layer) == (path,)


def test_the_files_of_a_vrt_and_of_delimited_text(
    write: Callable[..., str], tmp_path: Path
) -> None:
    path, vrt = write("parcels.gpkg"), tmp_path / "v.vrt"
    vrt.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="parcels"><SrcDataSource relativeToVRT="1">'
        "parcels.gpkg</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    assert set(files_of(QgsVectorLayer(str(vrt), "v", "ogr"))) == {str(vrt), path}
    table = tmp_path / "p 1.csv"
    table.write_text("wkt,category\nPOINT(1 1),a\n")
    layer = QgsVectorLayer(f"file://{table}?wktField=wkt".replace(" ", "%20"), "p", "delimitedtext")
    assert layer.isValid()
    assert files_of(layer) == (str(table),)


WRITE = """
import sys
import numpy as np, pyarrow as pa, pyproj, shapely
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.tables import write_table
from deepseg_qgis.engine.files.vectors import write_features
fields = {"id": pa.int64(), "category": pa.string(), "area_m2": pa.float64()}
columns = {"id": [1, 2**40], "category": ["a", None], "area_m2": [0.5, None]}
shapes = np.array([shapely.box(i, 0, i + 1, 1) for i in range(2)], dtype=object)
for path in sys.argv[1].split("|"):
    write_features(path, [Features(shapes, columns)], fields, pyproj.CRS.from_epsg(4326))
for path in sys.argv[2].split("|"):
    write_table(path, columns, fields)
"""


def test_every_format_that_is_offered_is_written_and_opens_with_its_fields(
    application: Any, tmp_path: Path
) -> None:
    provider = QgsApplication.processingRegistry().providerById("deepseg")
    endings = provider.supportedOutputVectorLayerExtensions()
    tables = provider.supportedOutputTableExtensions()
    assert {"geojson", "gpkg", "fgb", "shp"} <= set(endings)
    assert {"csv", "gpkg", "xlsx", "ods"} == set(tables)
    places = ["|".join(str(tmp_path / f"p.{each}") for each in endings)]
    places.append("|".join(str(tmp_path / f"t.{each}") for each in tables))
    subprocess.run([sys.executable, "-I", "-c", WRITE, *places], check=True)
    for path in "|".join(places).split("|"):
        layer = QgsVectorLayer(path, "p", "ogr")
        rows = sorted((float(row["id"]), str(row["category"])) for row in layer.getFeatures())
        assert [row[0] for row in rows] == [1.0, 2.0**40], path
        assert rows[0][1] == "a"
        assert layer.isSpatial() == (path in places[0])


def test_odd_names_of_files_and_folders_work(
    run: Run, write: Callable[..., str], tmp_path: Path, raster: Callable[..., str]
) -> None:
    name = "#1 houses [2024] 50%? a & b, wow!"
    area = write(f"{name}/{name} area.gpkg", "area")
    picture = raster(f"{name}/{name} scene.tif")
    grid = run("tile", INPUT=picture, AOI=area, OUTPUT=str(tmp_path / name / f"{name}.gpkg"))
    assert QgsVectorLayer(grid["OUTPUT"], "t", "ogr").featureCount() == 1
    table = str(tmp_path / name / f"{name}.csv")
    assert run("statistics", INPUT=grid["OUTPUT"], OUTPUT=table)["COUNT"] == 1


@pytest.mark.parametrize("name", ["tile", "predict"])
def test_nothing_is_written_beside_a_raster_that_is_read(
    tmp_path: Path, raster: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """QGIS's statistics of it, for colours that nobody sees."""
    path = raster()
    dataset = gdal.Open(path, gdal.GA_Update)
    for band in (1, 2, 3):
        dataset.GetRasterBand(band).WriteRaster(0, 0, 64, 64, os.urandom(64 * 64))
    dataset = None
    monkeypatch.delenv("GDAL_PAM_ENABLED")
    before = state(tmp_path)
    algorithm = QgsApplication.processingRegistry().algorithmById(f"deepseg:{name}")
    values = {"INPUT": path, "OUTPUT": str(tmp_path / "t.gpkg"), "MODEL": "m.safetensors"}
    if name == "tile":
        del values["MODEL"]
    context = QgsProcessingContext()
    assert algorithm.checkParameterValues(values, context)[0]
    assert algorithm.parameterDefinition("INPUT").checkValueIsAcceptable(path, context)
    del context  # which closes the raster
    assert state(tmp_path) == before
    assert "GDAL_PAM_ENABLED" not in os.environ
