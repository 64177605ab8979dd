"""What must not be lost when a file is replaced: other layers, sheets and styles, and sidecars.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import zipfile
from urllib.parse import quote
from xml.etree import ElementTree

from deepseg_qgis.errors import OutputError
from deepseg_qgis.formats import SHAPEFILE, WRITTEN
from deepseg_qgis.sidecars import shared_sidecars, sidecar_owners, sidecars

SQLITE = b"SQLite format 3\0"
HOT_JOURNAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
OWN_TABLES = re.compile(
    r"gpkg_|sqlite_|(layer_styles|geometry_columns|spatial_ref_sys)$", re.IGNORECASE
)
"""Tables of a GeoPackage or SQLite file that hold no layer of their own; nor do `INDEX_TABLES`."""
INDEX = re.compile(r"create\s+virtual\s+table\s.*\susing\s+rtree\b", re.IGNORECASE | re.DOTALL)
INDEX_TABLES = ("", "_node", "_parent", "_rowid")
"""Endings of the tables of a spatial index, after its own name."""
RESERVED = ("gpkg", "sqlite_")
"""What the name of a layer in a GeoPackage or SQLite file cannot begin with, in any case, nor with
any of `LEADING`."""
OWN_STYLE = "Made by DeepSeg"
"""The description of the styles that DeepSeg saves in a GeoPackage."""
SHEETS = {
    "xl/workbook.xml": ("sheet", "name"),
    "content.xml": ("table", "name"),
}
"""Where XLSX and ODS name their sheets: the element and its attribute."""
LEADING = "`~!@#$%^&*()+-={}|[]\\:\";'<>?,./ "
NO_SHEET = re.compile(r"[\[\]:*?/\\]")
LONGEST_SHEET = 31
"""Excel repairs workbooks with other sheets, and says so to the user."""
ODD = re.compile(r"[\x00-\x1f\x7f\\]")
"""Characters of names that GDAL changes on its way to the file."""
LONGEST_FILE_NAME = 240
"""Bytes of a file's name: 255 are possible, and SQLite adds '-journal', GDAL '.aux.xml'."""


def layer_name(path: str) -> str:
    """Return what the layer or sheet in a new file is called."""
    stem, ending = os.path.splitext(os.path.basename(path))
    name = stem.lstrip(LEADING) or "layer"
    if ending.lower() == ".xlsx":
        return NO_SHEET.sub("_", name)[:LONGEST_SHEET].rstrip("'")
    return f"_{name}" if name.lower().startswith(RESERVED) else name


def check_replaceable(path: str) -> None:
    """Check that nothing else is lost when ``path`` is written, with one layer (`layer_name`).

    Raises:
        OutputError: it is in use or a link, it holds other layers or styles of the user's, a file
            of its set belongs elsewhere, or no file can have its name.
    """
    _check_name(path)
    if os.path.islink(path):
        raise OutputError(
            f"{path} is a link to {os.path.realpath(path)}. Choose that file itself, or another "
            "name."
        )
    _check_owner(path)
    _check_strangers(path)
    if not os.path.exists(path):
        return
    _check_unused(path)
    own = layer_name(path).casefold()
    others = [name for name in layers_in(path) if name.casefold() != own]
    if others:
        raise OutputError(
            f"{path} holds other layers, which would be lost: {', '.join(others[:5])}"
            f"{', …' * (len(others) > 5)}. Choose a file name that is free."
        )
    styles = _styles(path) if _starts(path, SQLITE) else []
    if styles:
        raise OutputError(
            f"{path} holds styles that you saved in it, which would be lost: "
            f"{', '.join(styles[:5])}{', …' * (len(styles) > 5)}. Choose a file name that is free."
        )


def _check_name(path: str) -> None:
    name = os.path.basename(path)
    length = len(name) if os.name == "nt" else len(os.fsencode(name))
    if length > LONGEST_FILE_NAME:
        raise OutputError(
            f"{name[:40]}…: expected a file name of at most {LONGEST_FILE_NAME} bytes, got "
            f"{length:,}. Choose a shorter name."
        )
    if ODD.search(name):
        raise OutputError(
            f"{name!r}: a file name cannot hold backslashes, tabs, line breaks or other control "
            "characters. Choose another name."
        )


def _check_owner(path: str) -> None:
    for owner in sidecar_owners(path):
        if os.path.exists(owner):
            raise OutputError(
                f"{path} belongs to {os.path.basename(owner)}, which would be damaged. Choose "
                "another name."
            )


def _check_strangers(path: str) -> None:
    """Check that what is written together with ``path`` replaces nothing of another file's."""
    parts = WRITTEN.get(os.path.splitext(path)[1].lower(), ())
    strangers = shared_sidecars(path)
    if parts is SHAPEFILE and not os.path.exists(path):
        strangers |= dict.fromkeys(sidecars(path), "another file")
    for each, other in strangers.items():
        if os.path.splitext(each)[1].lower() in parts:
            raise OutputError(
                f"{path} cannot be written without replacing {os.path.basename(each)}, which is "
                f"there already and belongs to {other}. Choose another name."
            )


def _check_unused(path: str) -> None:
    for ending, start in (("-wal", b""), ("-journal", HOT_JOURNAL)):
        if _starts(path + ending, start):
            raise OutputError(
                f"{path} is in use: {os.path.basename(path)}{ending} holds changes that are not "
                "in it yet. Save the edits and close the file in QGIS and other programs, or "
                "choose another name."
            )


def _starts(path: str, start: bytes) -> bool:
    """Whether a file has content, and begins so."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(max(len(start), 1)).startswith(start or b"") and file.tell() > 0
    return False


def layers_in(path: str) -> list[str]:
    """Return the names of the layers, tables, rasters or sheets in a container; else none.

    Raises:
        OutputError: it is a database that cannot be looked into.
    """
    if _starts(path, SQLITE):
        return _tables(path)
    if _starts(path, b"PK"):
        return _sheets(path)
    return []


def _tables(path: str) -> list[str]:
    try:
        with contextlib.closing(_database(path)) as database:
            rows = database.execute(
                "select name, sql from sqlite_master where type in ('table', 'view')"
            ).fetchall()
            indices = [name for name, sql in rows if INDEX.match(sql or "")]
            own = {name + ending for name in indices for ending in INDEX_TABLES}
            names = [name for name, _ in rows if name not in own and not OWN_TABLES.match(name)]
            ours = _vectors(database)
    except sqlite3.Error as error:
        raise _unknown(path, error) from error
    return [name if ours is None or name in ours else f"{name} (no vector layer)" for name in names]


def _styles(path: str) -> list[str]:
    """Return the names of the styles in a GeoPackage that are not DeepSeg's."""
    try:
        with contextlib.closing(_database(path)) as database:
            rows = database.execute(
                "select stylename from layer_styles where description is not ?", (OWN_STYLE,)
            )
            return [f"'{name}'" for (name,) in rows]
    except sqlite3.OperationalError:
        return []  # there is no such table


def _database(path: str) -> sqlite3.Connection:
    # 'immutable' leaves no files of SQLite's own behind
    address = f"file:{quote(os.path.abspath(path))}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True)


def _vectors(database: sqlite3.Connection) -> set[str] | None:
    """Return the layers and tables that a GeoPackage lists; None if it is none."""
    try:
        rows = database.execute(
            "select table_name from gpkg_contents where data_type in ('features', 'attributes')"
        )
        return {name for (name,) in rows}
    except sqlite3.OperationalError:
        return None


def _sheets(path: str) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            member = next((each for each in SHEETS if each in archive.namelist()), None)
            text = archive.read(member) if member else b""
        tree = ElementTree.fromstring(text or b"<none/>")  # noqa: S314 - expat bounds entities
    except (OSError, zipfile.BadZipFile, ElementTree.ParseError, RuntimeError) as error:
        raise _unknown(path, error) from error
    element, attribute = SHEETS.get(member or "", ("", ""))
    return [
        value
        for each in tree.iter()
        if each.tag.rpartition("}")[2] == element
        for key, value in each.items()
        if key.rpartition("}")[2] == attribute
    ]


def _unknown(path: str, error: Exception) -> OutputError:
    return OutputError(
        f"{path} is a container that cannot be looked into ({error}). Choose another name, so "
        "that nothing in it is lost."
    )
