"""Results as users' scripts open them: fiona and geopandas find fields, types, CRS and counts."""

import json
from pathlib import Path

import fiona
import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely
from example_jobs import import_job, predict_job, tile_job, train_job

from deepseg_qgis import formats, jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import imported_polygons, tile_grid
from deepseg_qgis.engine.prediction import polygon_stream
from deepseg_qgis.engine.scoring import category_statistics
from deepseg_qgis.engine.verbs import (
    demoscene,
    importannotations,
    polygonize,
    predict,
    statistics,
    tile,
    train,
)

NAME = "Dächer – 屋根"
POLYGONS = ("Polygon", "MultiPolygon")
WORKBOOKS = ("xlsx", "ods")
"""Of which fiona knows nothing."""
TYPES = {pa.int64(): "int", pa.string(): "str", pa.float64(): "float"}
KINDS = {pa.int64(): "i", pa.string(): "OTU", pa.float64(): "f"}
SHORT = {"perimeter_m": "perim_m", "first_row_px": "first_row", "first_column_px": "first_col"}
SUFFIXES = tuple(each for each in formats.POLYGONS if each not in ("json", "geoparquet"))


def with_fiona(path):
    """Return fields with their types, EPSG code, kinds of geometry and rows."""
    with fiona.open(path) as layer:
        fields = {name: kind.partition(":")[0] for name, kind in layer.schema["properties"].items()}
        rows = list(layer)
        code = layer.crs.to_epsg() if layer.crs else None
    kinds = {row["geometry"]["type"] for row in rows if row["geometry"]}
    return fields, code, kinds, [dict(row["properties"]) for row in rows]


def with_geopandas(path, engine="pyogrio"):
    """Return the same, with numpy's kinds of types."""
    if path.suffix == ".parquet":
        frame = geopandas.read_parquet(path)
    else:
        frame = geopandas.read_file(path, engine=engine)
    if "geometry" not in frame:
        return {n: t.kind for n, t in frame.dtypes.items()}, None, set(), frame.to_dict("records")
    fields = {n: t.kind for n, t in frame.dtypes.items() if n != "geometry"}
    rows = frame.drop(columns="geometry").to_dict("records")
    return fields, frame.crs and frame.crs.to_epsg(), set(frame.geometry.geom_type), rows


def check(path, fields, count, code=32633):
    """Check a layer of polygons with both readers; return fiona's rows."""
    short = SHORT if path.suffix == ".shp" else {}
    names = {short.get(name, name): kind for name, kind in fields.items()}
    if path.suffix == ".geojson":
        code = 4326
        names = names if count else {}  # it keeps no fields without features
    engines = ("pyogrio",) if path.suffix == ".parquet" else ("pyogrio", "fiona")
    for engine in engines:
        found, epsg, kinds, rows = with_geopandas(path, engine)
        assert list(found) == list(names)
        assert all(found[name] in KINDS[kind] for name, kind in names.items() if count)
        assert (epsg, len(rows)) == (code, count)
        assert kinds <= set(POLYGONS)
    if path.suffix == ".parquet":  # of which fiona knows nothing
        return rows
    found, epsg, kinds, rows = with_fiona(path)
    assert {name: kind.rstrip("0123456789") for name, kind in found.items()} == {
        name: TYPES[kind] for name, kind in names.items()
    }
    assert list(found) == list(names)
    assert (epsg, len(rows)) == (code, count)
    assert kinds <= set(POLYGONS)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("model")


@pytest.fixture
def scene(discs, make_layer):
    """Return (raster, layer): discs with a name that is not plain."""
    raster, layer = discs
    shapes = geopandas.read_file(layer.path).geometry
    return raster, make_layer(list(shapes), [NAME] * len(shapes), name="named")


@pytest.fixture
def model(scene, folder, short_epochs):
    """Return a model that hardly knows its discs, and what it kept for validation."""
    kept = str(folder / "kept.gpkg")
    job = train_job(
        *scene, folder, task="semantic", epochs=1, output_html=None, output_validation=kept
    )
    if not (folder / "model.safetensors").exists():
        train.run(job, Control())
    return job.output


@pytest.mark.parametrize("nothing", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_predicted_polygons(suffix, nothing, scene, model, tmp_path):
    path, again = tmp_path / f"p.{suffix}", tmp_path / f"again.{suffix}"
    probabilities = tmp_path / "probabilities.tif"
    threshold = 1.0 if nothing else 0.0
    job = predict_job(
        scene[0], model, path, threshold=threshold, output_probabilities=str(probabilities)
    )
    count = predict.run(job, Control())["count"]
    source = jobs.RasterSource(str(probabilities), "", "probabilities.tif")
    polygonize.run(
        jobs.PolygonizeJob(source, threshold, 0.0, 0.0, "plain", str(again), None), Control()
    )
    for each in (path, again):
        rows = check(each, polygon_stream.FIELDS, count)
        assert {row["category"] for row in rows} == (set() if nothing else {NAME})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tiles(suffix, scene, tmp_path):
    path = tmp_path / f"t.{suffix}"
    raster, layer = scene
    tile.run(tile_job(raster, path), Control())
    rows = check(path, tile_grid.FIELDS, 9)
    assert sorted(row["id"] for row in rows) == list(range(9))
    parts = tmp_path / f"parts.{suffix}"
    folder = str(tmp_path / "data")
    job = tile_job(raster, parts, annotations=layer, output_folder=folder)
    tile.run(job, Control())
    rows = check(parts, {**tile_grid.FIELDS, **tile_grid.PART}, 9)
    assert {row["part"] for row in rows} >= {"train", "test"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_imported_annotations(suffix, make_raster, tmp_path):
    raster = make_raster(np.zeros((1, 40, 60), np.uint8), name="scene.tif")
    content = {
        "images": [{"id": 1, "file_name": "scene.tif", "height": 40, "width": 60}],
        "categories": [{"id": 1, "name": NAME}],
        "annotations": [
            {"id": 7 + i, "image_id": 1, "category_id": 1, "segmentation": parts, "iscrowd": 0}
            for i, parts in enumerate(
                [[[1, 1, 7, 1, 7, 7]], [[1, 9, 7, 9, 7, 19], [20, 9, 30, 9, 30, 19]]]
            )
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    path = tmp_path / f"i.{suffix}"
    importannotations.run(import_job("coco", tmp_path / "a.json", [raster], path), Control())
    rows = check(path, imported_polygons.FIELDS, 2)
    assert sorted((row["id"], row["category"], row["source"]) for row in rows) == [
        (7, NAME, "scene.tif"),
        (8, NAME, "scene.tif"),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_demo(suffix, tmp_path):
    paths = [tmp_path / f"{name}.{suffix}" for name in ("annotations", "training", "test")]
    job = jobs.DemoSceneJob(512, 1, True, str(tmp_path / "scene.tif"), *map(str, paths))
    result = demoscene.run(job, Control())
    check(paths[0], demoscene.CATEGORY, result["count"])
    for path in paths[1:]:
        check(path, demoscene.NAME, 1)


def test_validation_areas(model, folder):
    assert Path(model).exists()
    kept = folder / "kept.gpkg"
    rows = check(kept, {"source": pa.string()}, len(with_fiona(kept)[3]))
    assert {row["source"] for row in rows} == {"discs.tif"}


@pytest.mark.parametrize("suffix", formats.TABLES)
def test_tables_of_statistics(suffix, make_layer, tmp_path):
    square = shapely.box(500_000, 5_500_000, 500_010, 5_500_010)
    path = tmp_path / f"s.{suffix}"
    statistics.run(
        jobs.StatisticsJob(make_layer([square], [NAME]), None, str(path), None), Control()
    )
    readers = [with_geopandas(path)]
    if suffix not in WORKBOOKS:
        readers.append(with_fiona(path))
    for found, code, kinds, rows in readers:
        assert list(found) == list(category_statistics.FIELDS)
        assert (code, kinds, len(rows)) == (None, set(), 1)
        assert (rows[0]["category"], int(rows[0]["count"])) == (NAME, 1)
        assert float(rows[0]["area_m2"]) == pytest.approx(100.0, rel=2e-3)


@pytest.mark.parametrize("suffix", formats.TABLES)
def test_tables_of_nothing(suffix, make_layer, tmp_path):
    path = tmp_path / f"s.{suffix}"
    statistics.run(jobs.StatisticsJob(make_layer([]), None, str(path), None), Control())
    found, _, _, rows = with_geopandas(path)
    if suffix in WORKBOOKS:  # without values nobody can tell whether the first row has names
        seen = {*found, *(rows[0].values() if rows else ())}
        assert seen >= set(category_statistics.FIELDS)
    else:
        assert (list(found), rows) == (list(category_statistics.FIELDS), [])
        assert with_fiona(path)[3] == []
