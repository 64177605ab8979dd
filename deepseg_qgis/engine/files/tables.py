"""Writes tables without geometry: CSV, GeoPackage, XLSX, ODS and SQLite, through OGR."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from deepseg_qgis.engine.files import ogr
from deepseg_qgis.engine.files.features import as_arrow
from deepseg_qgis.overwriting import layer_name

FORMULA = ("=", "+", "-", "@")
"""A spreadsheet takes a cell of a CSV that starts so for a formula, unless it is a number."""
NUMBER = re.compile(r"[+-][\d.,]*\d([eE][+-]?\d+)?")
CSV_TYPES = {pa.int64(): "Integer64", pa.float64(): "Real", pa.string(): "String"}
"""What a .csvt file calls them; without one, OGR and QGIS take every column of a CSV for text."""


def write_table(
    path: str,
    columns: Mapping[str, Sequence[object]],
    fields: Mapping[str, pa.DataType],
) -> None:
    """Write a table.

    In CSV, text that a spreadsheet would take for a formula gets a leading apostrophe, and a .csvt
    file beside it says which columns are numbers.

    Raises:
        OutputError: the format is unknown or the disk is full.
    """
    if ogr.driver(path) in ogr.WORKBOOKS and not any(map(len, columns.values())):
        columns = {name: [None] for name in fields}  # the names are written with the first row
    text = {name for name, kind in fields.items() if kind == pa.string()}
    is_csv = Path(path).suffix.lower() == ".csv"
    arrays = [
        as_arrow([_without_formula(value) for value in columns[name]], kind)
        if is_csv and name in text
        else as_arrow(columns[name], kind)
        for name, kind in fields.items()
    ]
    with ogr.plain_path(path) as place:
        ogr.write_arrow(place, pa.table(dict(zip(fields, arrays, strict=True))), layer_name(path))
    if is_csv:
        write_csv_types(path, fields.values())


def write_csv_types(path: str, kinds: Iterable[pa.DataType]) -> None:
    """Write the .csvt file of a CSV with columns of these types."""
    line = ",".join(f'"{CSV_TYPES[kind]}"' for kind in kinds)
    Path(path).with_suffix(".csvt").write_text(line + "\n", encoding="ascii")


def _without_formula(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(FORMULA) or NUMBER.fullmatch(value):
        return value
    return f"'{value}"
