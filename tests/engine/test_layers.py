"""Layers come in as they are, or are refused in one sentence."""

import sqlite3
import struct

import geopandas
import pyogrio
import pyproj
import pytest
import shapely

from deepseg_qgis.engine.files.layers import crs_of, read_features
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import VectorSource

UTM = pyproj.CRS.from_epsg(32633)
HOLED = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(2, 2, 3, 3).exterior])
SQUARE = shapely.to_wkb(shapely.box(0, 0, 1, 1), flavor="iso")
POINTS = struct.pack("<I6d", 3, 0, 0, 1, 1, 2, 0)
CIRCULAR = struct.pack("<BI", 1, 8) + POINTS
CURVED = struct.pack("<BII", 1, 10, 1) + struct.pack("<BI", 1, 8) + POINTS
EMPTY_ARC = struct.pack("<BII", 1, 8, 0)
SURFACES = struct.pack("<BII", 1, 12, 1) + SQUARE


def test_layers_are_read_with_their_gaps(tmp_path):
    path = tmp_path / "layer.gpkg"
    frame = geopandas.GeoDataFrame(
        {"category": ["a", None, "c"], "other": [1, 2, 3]},
        geometry=[shapely.box(0, 0, 1, 1), None, HOLED],
        crs=UTM,
    )
    pyogrio.write_dataframe(frame, path, layer="here")
    found = read_features(VectorSource(str(path), "here", "layer", "", "category", {}))
    assert found.columns == {"category": ["a", None, "c"], "source": [None] * 3}
    assert found.geometries[1] is None
    assert found.geometries[2].equals(HOLED)
    with pytest.raises(VectorError, match="could not be read"):
        read_features(VectorSource(str(path), "elsewhere", "layer", "", None, {}))


@pytest.fixture
def make_rows(tmp_path):
    """Return a factory: rows of well-known binary and category, however odd → their layer."""

    def make(*rows):
        path = tmp_path / "rows.gpkg"
        frame = geopandas.GeoDataFrame({"category": ["a"]}, geometry=[HOLED], crs=UTM)
        pyogrio.write_dataframe(frame, path, layer="rows", geometry_type="Unknown")
        file = sqlite3.connect(path)
        head = b"GP\x00\x01" + struct.pack("<i", 32633)
        for trigger in file.execute("select name from sqlite_master where type='trigger'"):
            file.execute(f"drop trigger {trigger[0]}")
        file.execute("delete from rows")
        file.executemany(
            "insert into rows (geom, category) values (?, ?)",
            [(head + wkb, category) for wkb, category in rows],
        )
        file.commit()
        file.close()
        return VectorSource(str(path), "rows", "rows", "", "category", {})

    return make


@pytest.mark.parametrize("odd", [CIRCULAR, EMPTY_ARC, CURVED, SURFACES])
@pytest.mark.parametrize("inside", [False, True])
def test_curves_do_not_hide_the_others(make_rows, odd, inside):
    if inside:
        odd = struct.pack("<BII", 1, 7, 1) + odd
    found = read_features(make_rows((SQUARE, "a"), (odd, "b"), (SQUARE, "c")))
    assert [shape is None for shape in found.geometries] == [False, True, False]
    assert found.geometries[2].area == 1
    assert len(shapely.get_coordinates(found.geometries)) == 10
    assert found.columns["category"] == ["a", "b", "c"]


def test_bytes_that_are_no_text_are_a_category_all_the_same(make_rows):
    found = read_features(make_rows((SQUARE, b"h\xf6user"), (SQUARE, "häuser")))
    assert found.columns["category"] == ["h\ufffduser", "häuser"]


def test_a_file_that_breaks_off_is_refused(make_rows):
    source = make_rows(*[(SQUARE, "x" * 3000)] * 100)
    with open(source.path, "r+b") as file:
        file.seek(60_000)
        file.write(b"\xff" * 100_000)
    with pytest.raises(VectorError, match="could not be read"):
        read_features(source)


def test_an_empty_file_is_refused(tmp_path):
    source = VectorSource(str(tmp_path / "none.gpkg"), "rows", "rows", "", None, {})
    (tmp_path / "none.gpkg").touch()
    with pytest.raises(VectorError, match="could not be read"):
        read_features(source)


@pytest.mark.parametrize(
    ("wkt", "said"),
    [
        ("nonsense", "could not be understood"),
        ('PROJCRS["cut off', "could not be understood"),
        (pyproj.CRS.from_epsg(4978).to_wkt(), "Expected a projected or geographic"),
        (pyproj.CRS.from_epsg(5703).to_wkt(), "Expected a projected or geographic"),
    ],
)
def test_a_crs_without_a_map_is_refused(wkt, said):
    with pytest.raises(VectorError, match=said):
        crs_of(VectorSource("a.gpkg", "a", "a", wkt, None, {}))


@pytest.mark.parametrize(
    ("wkt", "known"),
    [
        ('LOCAL_CS["site",UNIT["metre",1]]', True),
        ('LOCAL_CS["Undefined Cartesian SRS",UNIT["metre",1]]', False),
    ],
)
def test_a_crs_of_a_building_site_is_known_and_one_of_a_geopackage_without_is_none(wkt, known):
    assert (crs_of(VectorSource("a.gpkg", "a", "a", wkt, None, {})) is not None) == known
    assert crs_of(VectorSource("a.gpkg", "a", "a", "", None, {})) is None
    compound = pyproj.CRS.from_epsg(7405)
    assert crs_of(VectorSource("a.gpkg", "a", "a", compound.to_wkt(), None, {})) == compound
