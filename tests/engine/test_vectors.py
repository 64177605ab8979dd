"""Every format holds what was written, whatever the number of batches."""

import json
import os
import warnings

import geopandas
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from deepseg_qgis import formats
from deepseg_qgis.engine.files import geojson_text, tables, vectors
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.vectors import write_features
from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.geometry.projections import WGS84
from deepseg_qgis.errors import OutputError, Stopped

UTM = pyproj.CRS.from_epsg(32633)
FIELDS = {
    "id": pa.int64(),
    "category": pa.string(),
    "score": pa.float64(),
    "perimeter_m": pa.float64(),
}
FORMATS = ("geojson", "gpkg", "fgb", "parquet", "shp")
NAME = 'Dach "rot" – 屋根, \\ <b>\n=1'
HOLED = shapely.Polygon(
    [(0, 0), (0, 9), (9, 9), (9, 0)], [[(2, 2), (3, 2), (3, 3), (2, 3)], [(5, 5), (6, 5), (6, 6)]]
)


def features(count, first=0):
    shift = np.arange(first, first + count)
    shapes = [
        shapely.transform(HOLED, lambda xy, i=i: xy * 1e-4 + [13 + i * 1e-3, 52]) for i in shift
    ]
    columns = {
        "id": shift + 2**40,
        "category": [{0: NAME, 1: None}.get(i, "x") for i in shift],
        "score": np.array([{0: 1.0, 1: np.nan}.get(i, 0.1) for i in shift]),
        "perimeter_m": np.full(count, 12.5),
    }
    return Features(np.array(shapes, dtype=object), columns)


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix.lower().endswith("parquet"):
            return geopandas.read_parquet(path)
        return geopandas.read_file(path)


def by_id(frame):
    return frame.sort_values("id").reset_index(drop=True)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_is_read_again(tmp_path, kind):
    path = tmp_path / f"found.{kind}"
    batches = [features(3), features(0), features(5, 3)]
    assert write_features(str(path), iter(batches), FIELDS, WGS84) == 8
    frame = by_id(read(path))
    assert frame.crs == WGS84
    assert frame["id"].tolist() == list(range(2**40, 2**40 + 8))
    expected = np.concatenate([batch.geometries for batch in batches])
    assert shapely.equals_exact(
        shapely.normalize(frame.geometry.to_numpy()), shapely.normalize(expected), 5.1e-10
    ).all()
    if kind != "shp":  # whose text ends at a line's end, and which has no NULL text
        assert frame["category"][0] == NAME
        assert frame["category"].isna().tolist() == [False, True] + [False] * 6
        assert frame["score"].isna().tolist() == [False, True] + [False] * 6
    short = "perim_m" if kind == "shp" else "perimeter_m"
    assert frame[short].tolist() == [12.5] * 8


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_found_is_an_empty_layer(tmp_path, kind):
    path = tmp_path / f"empty.{kind}"
    assert (
        write_features(str(path), [features(0)], FIELDS, UTM if kind != "geojson" else WGS84) == 0
    )
    frame = read(path)
    assert len(frame) == 0
    if kind != "geojson":  # which has no fields without features
        assert frame.crs == UTM
        assert {"id", "category", "score"} <= set(frame.columns)


@pytest.mark.parametrize("kind", FORMATS)
def test_without_a_crs_there_is_none(tmp_path, kind):
    path = tmp_path / f"pixels.{kind}"
    write_features(str(path), [features(1)], FIELDS, None)
    assert read(path).crs == (WGS84 if kind == "geojson" else None)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_error_of_the_batches_comes_out_as_it_is(tmp_path, kind):
    def batches():
        yield features(1)
        raise Stopped("enough")

    with pytest.raises(Stopped, match="enough"):
        write_features(str(tmp_path / f"x.{kind}"), batches(), FIELDS, WGS84)


def test_geoparquet_tells_what_it_holds(tmp_path):
    path = tmp_path / "found.parquet"
    write_features(str(path), [features(2), features(2, 2)], FIELDS, UTM)
    geo = json.loads(parquet.read_metadata(path).metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert geo["version"] == "1.1.0"
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert pyproj.CRS.from_json_dict(column["crs"]) == UTM
    assert column["bbox"] == pytest.approx(read(path).total_bounds.tolist())


def test_geojson_follows_rfc_7946(tmp_path):
    path = tmp_path / "found.geojson"
    clockwise = shapely.box(-0.5, 0.000000001, 179.123456789, 1, ccw=False)
    across = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])
    shapes = np.array([clockwise, across], dtype=object)
    write_features(str(path), [Features(shapes, {"n": [1, 2]})], {"n": pa.int64()}, WGS84)
    content = json.loads(path.read_text("utf-8"))
    assert "crs" not in content
    first, second = (feature["geometry"] for feature in content["features"])
    assert first["type"] == "Polygon"
    assert shapely.geometry.shape(first).exterior.is_ccw
    assert [179.123456789, 0.000000001] in first["coordinates"][0]
    assert second["type"] == "MultiPolygon"
    assert shapely.geometry.shape(second).area == pytest.approx(2.0)


NUMBERS = st.floats(-360, 360).map(lambda value: round(value, 9))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=6), st.booleans())
def test_geojson_numbers_are_exact(corners, bad):
    ring = np.array([*corners, corners[0]])
    if bad:
        ring[1] = np.inf
    offsets = np.array([0, len(ring)])
    arrays = PolygonArrays(ring, offsets, np.array([0, 1]))
    (text,) = geojson_text.geometries(arrays).to_pylist()
    if bad:
        assert text == "null"
        return
    found = np.array(json.loads(text)["coordinates"][0])
    assert np.array_equal(found, ring) or np.array_equal(found[::-1], ring)


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**53), 2**53).map(float))))
def test_geojson_fields_are_json_numbers(values):
    column = pa.array(values, type=pa.float64())
    point = PolygonArrays.of(np.array([HOLED] * len(values), dtype=object))
    text = bytes(geojson_text.features(point, {"v": column})).decode()
    found = [each["properties"]["v"] for each in json.loads(f"[{text[1:]}]")] if values else []
    for value, each in zip(values, found, strict=True):
        if value is None or not np.isfinite(value):
            assert each is None
        else:
            assert isinstance(each, float)
            assert each == value


def test_many_polygons_in_geojson_are_worth_a_word():
    assert vectors.better_format("a.geojson", 1_000_000) is None
    assert vectors.better_format("a.gpkg", 2_000_000) is None
    assert ".gpkg" in vectors.better_format("a.geojson", 1_000_001)


def test_a_shapefile_ends_at_two_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "SHAPEFILE_BYTES", 100_000)
    batches = (features(20, 20 * i) for i in range(200))
    with pytest.raises(OutputError, match="gpkg"):
        write_features(str(tmp_path / "x.shp"), batches, FIELDS, UTM)


def test_an_unknown_format_is_told(tmp_path):
    with pytest.raises(OutputError, match="not known by its ending"):
        write_features(str(tmp_path / "x.xyzzy"), [features(1)], FIELDS, UTM)


NAMES = ["#1 houses", "[2024] result", "50% done", "a?b|c", "wow!", "a; b", "x.zip", "t.xlsx.old"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("kind", [*FORMATS, "sqlite"])
def test_any_name_of_a_file_or_folder_is_written(tmp_path, kind):
    for name in NAMES:
        path = tmp_path / name / f"{name}.{kind}"
        path.parent.mkdir(exist_ok=True)
        assert write_features(str(path), [features(3)], FIELDS, WGS84) == 3
        plain = tmp_path / f"plain.{kind}"  # pyogrio's readers take some names for others
        for part in path.parent.iterdir():
            part.rename(plain.with_suffix(part.suffix))
        assert len(read(plain)) == 3
        for part in tmp_path.glob("plain.*"):
            part.unlink()


def test_what_is_written_is_what_is_offered(tmp_path):
    for ending in formats.POLYGONS:
        assert write_features(str(tmp_path / f"p.{ending}"), [features(1)], FIELDS, WGS84) == 1
    for ending in formats.TABLES:
        tables.write_table(str(tmp_path / f"t.{ending}"), {"n": [1]}, {"n": pa.int64()})
        assert (tmp_path / f"t.{ending}").stat().st_size > 0


def test_endings_in_capitals_are_kept(tmp_path):
    for ending in formats.POLYGONS:
        path = tmp_path / f"p.{ending.upper()}"
        write_features(str(path), [features(2)], FIELDS, WGS84)
        assert path.exists()
        assert len(read(path)) == 2
    for ending in formats.TABLES:
        path = tmp_path / f"t.{ending.upper()}"
        tables.write_table(str(path), {"n": [1]}, {"n": pa.int64()})
        assert geopandas.read_file(path)["n"].astype(int).tolist() == [1]
