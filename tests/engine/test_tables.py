"""Tables hold what was written, and spreadsheets take nothing in them for a formula."""

import csv
import os

import geopandas
import pyarrow as pa
import pytest

from deepseg_qgis.engine.files.tables import write_table
from tests.engine.test_vectors import NAMES


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("kind", ["csv", "gpkg", "xlsx", "ods"])
def test_any_name_of_a_table_is_written(tmp_path, kind):
    fields = {"category": pa.string(), "count": pa.int64()}
    for name in NAMES:
        path = tmp_path / name / f"{name}.{kind}"
        path.parent.mkdir(exist_ok=True)
        write_table(str(path), {"category": ["a", "b"], "count": [1, 2]}, fields)
        plain = path.rename(tmp_path / f"plain.{kind}")
        path.with_suffix(".csvt").unlink(missing_ok=True)
        assert geopandas.read_file(plain)["category"].tolist() == ["a", "b"]


def test_numbers_of_a_csv_are_read_as_numbers(tmp_path):
    fields = {"category": pa.string(), "count": pa.int64(), "area_m2": pa.float64()}
    path = tmp_path / "t.csv"
    columns = {"category": ["1", "-1"], "count": [1, 2], "area_m2": [1.5, None]}
    write_table(str(path), columns, fields)
    found = geopandas.read_file(path)
    assert [found[name].dtype.kind for name in fields] == ["O", "i", "f"]
    assert found["category"].tolist() == ["1", "-1"]


@pytest.mark.parametrize("text", ["-1", "+2", "-1.5", "-1,5", "-.5", "-1e-05", "-12,345.6", "1"])
def test_a_number_is_no_formula(tmp_path, text):
    assert written_into_csv(tmp_path, text) == text


@pytest.mark.parametrize("text", ["=1+1", "-1+1", "@SUM(A1)", "+A1", "-", "-1e", "-cmd|' /C x'!A0"])
def test_a_formula_is_text(tmp_path, text):
    assert written_into_csv(tmp_path, text) == f"'{text}"


def written_into_csv(folder, text):
    path = folder / "t.csv"
    write_table(str(path), {"category": [text, "b"]}, {"category": pa.string()})
    return next(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))["category"]
