"""The one module that has OGR write, through pyogrio; `vectors` and `tables` call it."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pyarrow as pa

from deepseg_qgis.errors import OutputError

DRIVERS = {
    ".gpkg": "GPKG",
    ".fgb": "FlatGeobuf",
    ".shp": "ESRI Shapefile",
    ".sqlite": "SQLite",
    ".csv": "CSV",
    ".xlsx": "XLSX",
    ".ods": "ODS",
}
"""What OGR writes; `formats` says what is for polygons and what for tables."""
DATASET_OPTIONS = {"GPKG": {"VERSION": "1.3"}}
"""The newest version that QGIS 3.22 reads without a warning."""
SPATIAL_INDEX = {
    "OGR_GPKG_ALLOW_THREADED_RTREE": "NO",
    "OGR_GPKG_MAX_RAM_USAGE_RTREE": "50000000",
}
"""A GeoPackage's index is made at the end, within 50 MB; by default it grows beside the writing."""
WORKBOOKS = ("XLSX", "ODS")
"""Drivers that write archives."""
LAYER_OPTIONS = {
    "ESRI Shapefile": {"ENCODING": "UTF-8"},
    "SQLite": {"LAUNDER": "NO"},  # else houses-2024 becomes houses_2024
}


def driver(path: str) -> str:
    """Return the driver that writes a file of that name.

    Raises:
        OutputError: there is none.
    """
    ending = Path(path).suffix.lower()
    if ending not in DRIVERS:
        raise OutputError(
            f"{path}: the format is not known by its ending. Expected one of "
            f"{', '.join(DRIVERS)}. Choose another file name."
        )
    return DRIVERS[ending]


def write_arrow(
    path: str, table: pa.Table | pa.RecordBatchReader, layer: str, **options: object
) -> None:
    """Write a table or a stream of batches as one layer; ``options`` are those of pyogrio.

    Raises:
        OutputError: the format is unknown or the disk is full.
    """
    pyogrio = _pyogrio()
    kind = driver(path)
    # GDAL takes the first '.xlsx' in a path, be it a folder's, for the end of the file's name
    place = io.BytesIO() if kind in WORKBOOKS else path
    try:
        with warnings.catch_warnings():
            # a Shapefile shortens names to 10 characters, and a table has no CRS
            warnings.simplefilter("ignore")
            pyogrio.write_arrow(
                table,
                place,
                layer=layer,
                driver=kind,
                dataset_options=DATASET_OPTIONS.get(kind),
                layer_options=LAYER_OPTIONS.get(kind),
                **options,
            )
        if isinstance(place, io.BytesIO):
            Path(path).write_bytes(place.getvalue())
    except (pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError, RuntimeError) as error:
        raise unwritten(path, error) from error


@contextlib.contextmanager
def plain_path(path: str) -> Iterator[str]:
    """Yield a path for OGR to write to; the files are called by ``path`` afterwards.

    pyogrio takes '!' and ';' in a path for marks of its own, except on Windows.
    """
    if os.name == "nt" or not {"!", ";"} & set(path):
        yield path
        return
    folder, name = os.path.split(os.path.abspath(path))
    stem, ending = os.path.splitext(name)
    with tempfile.TemporaryDirectory() as elsewhere:
        link = os.path.join(elsewhere, "folder")
        os.symlink(folder, link)
        plain = os.path.basename(elsewhere)
        yield os.path.join(link, plain + ending)
        for each in os.listdir(folder):
            if each.startswith(f"{plain}."):
                os.replace(
                    os.path.join(folder, each), os.path.join(folder, stem + each[len(plain) :])
                )


def unwritten(path: str, error: Exception) -> OutputError:
    """Return what to tell the user when a file could not be written."""
    return OutputError(
        f"{path} could not be written ({error}). Check that its disk has room and that the "
        "format suits polygons with these fields."
    )


def _pyogrio() -> ModuleType:
    """Return pyogrio, imported only when needed: it imports geopandas where that is installed."""
    import pyogrio

    pyogrio.set_gdal_config_options(SPATIAL_INDEX)
    module: ModuleType = pyogrio
    return module
