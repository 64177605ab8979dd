"""The one module that writes vector files and tables; `layers` reads them.

Features pass through in batches, in the format that the file name's extension
chooses. GeoJSON (RFC 7946) and GeoParquet are written here, all else by OGR.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.containers import layer_name
from deepseg_qgis.engine.files import geojson_text, geoparquet
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries, PolygonArrays
from deepseg_qgis.engine.geometry.projections import WGS84, World
from deepseg_qgis.engine.geometry.round_world import cut
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
SHORT_NAMES = {
    "perimeter_m": "perim_m",
    "first_row_px": "first_row",
    "first_column_px": "first_col",
}
"""A Shapefile's field names end at 10 characters."""
SHAPEFILE_BYTES = 2**31 - 1
"""Beyond, many programs read neither .shp nor .dbf."""
DBF_ROW_BYTES = 1024
"""The most that a row of fields takes: OGR widens text fields up to 254 characters each."""
MANY_FEATURES = 1_000_000
BATCH = 1 << 17
"""So many vertices are turned into GeoJSON at once (about 6 MB of text)."""

FORMULA = ("=", "+", "-", "@")
"""A spreadsheet takes a cell of a CSV that starts so for a formula, unless it is a number."""
NUMBER = re.compile(r"[+-][\d.,]*\d([eE][+-]?\d+)?")
CSV_TYPES = {pa.int64(): "Integer64", pa.float64(): "Real", pa.string(): "String"}
"""What a .csvt file calls them; without one, OGR and QGIS take every column of a CSV for text."""


Shapes = Geometries | PolygonArrays


@dataclass(frozen=True)
class Features:
    """Polygons with their columns, each as long as ``geometries``; None stands for NULL."""

    geometries: Geometries
    columns: Mapping[str, Sequence[object] | NDArray[np.generic]]

    @property
    def shapes(self) -> Geometries:
        """The geometries, as a `Batch` has them."""
        return self.geometries


@dataclass(frozen=True)
class Batch:
    """Polygons as flat arrays with their columns, to be written."""

    shapes: PolygonArrays
    columns: Mapping[str, NDArray[Any]]


def crs_for(path: str, crs: pyproj.CRS | None) -> pyproj.CRS | None:
    """Return the CRS that a file at ``path`` is to have: RFC 7946 knows WGS 84 alone."""
    return WGS84 if crs is not None and is_geojson(path) else crs


def better_format(path: str, count: int) -> str | None:
    """Return what to tell the user who wrote so many polygons to ``path``; None if all is well."""
    if count <= MANY_FEATURES or not is_geojson(path):
        return None
    return (
        f"{count:,} polygons are many for GeoJSON, which programs read as a whole. Name the output "
        ".gpkg (GeoPackage), .fgb (FlatGeobuf) or .parquet (GeoParquet): they open at once."
    )


def write_features(
    path: str,
    batches: Iterable[Features | Batch],
    fields: Mapping[str, pa.DataType],
    crs: pyproj.CRS | None,
    *,
    multipart: bool = False,
    anywhere: bool = False,
) -> int:
    """Write polygons, given in ``crs``, batch by batch; return how many.

    ``fields`` are the columns of each batch, in order; ``multipart`` says that some may have
    several parts, and makes all of them multipolygons where a file has one type alone. GeoJSON
    is always in WGS 84 (`crs_for`), within ±180° and ±90°: polygons are cut there. With
    ``anywhere`` other formats are too, else they lie where the raster lies, as from 0° to 360°.
    What ``batches`` raises comes out as it is. Memory: some batches; for FlatGeobuf its spatial
    index besides, about 100 bytes a polygon.

    Raises:
        OutputError: the format is unknown, the disk is full, or a Shapefile would pass 2 GB.
    """
    wrapped = crs == WGS84 and (anywhere or is_geojson(path))
    counted = _Counted(path, batches, fields, World.of(WGS84) if wrapped else None)
    schema = pa.schema(list(fields.items()))
    try:
        if is_geojson(path):
            _write_geojson(path, counted, list(fields))
        elif _is_parquet(path):
            known = ((_geometries(shapes), columns) for shapes, columns in counted)
            geoparquet.write(path, known, schema, crs)
        else:
            _write_through_ogr(path, counted, schema, crs, multipart)
    except (OutputError, OSError) as error:
        if counted.error is not None:
            raise counted.error from None
        if isinstance(error, OutputError):
            raise
        raise _unwritten(path, error) from error
    return counted.count


class _Counted:
    """Batches as geometries and Arrow columns, counted.

    They remember the error that they raise: on its way through GDAL it would lose its name.
    ``path`` is where they are being written.
    """

    def __init__(
        self,
        path: str,
        batches: Iterable[Features | Batch],
        fields: Mapping[str, pa.DataType],
        world: World | None,
    ) -> None:
        self.path, self._batches, self._fields = path, batches, fields
        self._world = world
        self.count = 0
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[tuple[Shapes, list[pa.Array]]]:
        try:
            for batch in self._batches:
                shapes: Shapes = batch.shapes
                if len(shapes) == 0:
                    continue
                if self._world is not None:
                    shapes = cut(_arrays(shapes), None, self._world)
                if Path(self.path).suffix.lower() == ".shp":
                    _check_shapefile(self.path, shapes)
                self.count += len(shapes)
                yield shapes, [_arrow(batch.columns[n], kind) for n, kind in self._fields.items()]
        except Exception as error:
            self.error = error
            raise


def _write_geojson(
    path: str, batches: Iterable[tuple[Shapes, list[pa.Array]]], names: list[str]
) -> None:
    with open(path, "wb") as file:
        file.write(geojson_text.head(Path(path).stem))
        separator = 2  # before the first feature none is written
        for shapes, columns in batches:
            for first, some in _arrays(shapes).batches(BATCH):
                part = [column.slice(first, len(some)) for column in columns]
                text = geojson_text.features(some, dict(zip(names, part, strict=True)))
                file.write(text[separator:])
                separator = 0
        file.write(geojson_text.TAIL)


def _write_through_ogr(
    path: str,
    batches: _Counted,
    schema: pa.Schema,
    crs: pyproj.CRS | None,
    multipart: bool,
) -> None:
    geometry = pa.field("geometry", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
    shapefile = Path(path).suffix.lower() == ".shp"
    if shapefile:
        schema = pa.schema(
            [(SHORT_NAMES.get(field.name, field.name), field.type) for field in schema]
        )
    whole = schema.append(geometry)
    waiting = iter(batches)
    first = list(itertools.islice(waiting, 1))
    records = (
        pa.RecordBatch.from_arrays(
            [*columns, pa.array(_wkb(shapes, multipart), type=pa.binary())],
            schema=whole,
        )
        for shapes, columns in itertools.chain(first, waiting)
    )
    if shapefile:
        kind = "Polygon"
    elif multipart:
        kind = "MultiPolygon"
    else:  # what is cut at the antimeridian has several parts, and QGIS 3.22 takes an empty layer
        # of unknown type for a table
        kind = "Unknown" if crs == WGS84 and first else "Polygon"
    with _plain(path) as batches.path:
        _write(
            batches.path,
            pa.RecordBatchReader.from_batches(whole, records),
            layer_name(path),
            geometry_name="geometry",
            geometry_type=kind,
            crs=crs.to_wkt() if crs else None,
        )
        if shapefile and not os.path.exists(batches.path):  # GDAL writes .shp for .SHP
            os.replace(f"{batches.path[:-4]}.shp", batches.path)


def _wkb(shapes: Shapes, multipart: bool) -> NDArray[np.object_]:
    geometries = _geometries(shapes)
    if multipart:
        single = shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON
        geometries = geometries.copy()
        count = int(single.sum())
        if count:
            geometries[single] = shapely.multipolygons(geometries[single], indices=range(count))
    return np.asarray(shapely.to_wkb(geometries), dtype=object)


def _check_shapefile(path: str, shapes: Shapes) -> None:
    """Check that the shapes still fit into the files.

    Raises:
        OutputError: they do not.
    """
    more = 16 * len(_arrays(shapes).coordinates) + DBF_ROW_BYTES * len(shapes)
    for part in (path, f"{path[:-4]}.dbf"):
        if os.path.exists(part) and os.path.getsize(part) + more > SHAPEFILE_BYTES:
            raise OutputError(
                f"{path}: a Shapefile cannot hold more than 2 GB, and these polygons need more. "
                "Name the output .gpkg (GeoPackage) or .fgb (FlatGeobuf) instead."
            )


def write_table(
    path: str,
    columns: Mapping[str, Sequence[object]],
    fields: Mapping[str, pa.DataType],
) -> None:
    """Write a table without geometry (CSV, GeoPackage, XLSX, …).

    In CSV, text that a spreadsheet would take for a formula gets a leading apostrophe, and a .csvt
    file beside it says which columns are numbers.

    Raises:
        OutputError: the format is unknown or the disk is full.
    """
    if _driver(path) in WORKBOOKS and not any(map(len, columns.values())):
        columns = {name: [None] for name in fields}  # the names are written with the first row
    text = {name for name, kind in fields.items() if kind == pa.string()}
    plain = Path(path).suffix.lower() == ".csv"
    arrays = [
        _arrow([_no_formula(value) for value in columns[name]], kind)
        if plain and name in text
        else _arrow(columns[name], kind)
        for name, kind in fields.items()
    ]
    with _plain(path) as place:
        _write(place, pa.table(dict(zip(fields, arrays, strict=True))), layer_name(path))
    if plain:
        write_csv_types(path, fields.values())


def write_csv_types(path: str, kinds: Iterable[pa.DataType]) -> None:
    """Write the .csvt file of a CSV with columns of these types."""
    line = ",".join(f'"{CSV_TYPES[kind]}"' for kind in kinds)
    Path(path).with_suffix(".csvt").write_text(line + "\n", encoding="ascii")


def _arrays(shapes: Shapes) -> PolygonArrays:
    return shapes if isinstance(shapes, PolygonArrays) else PolygonArrays.of(shapes)


def _geometries(shapes: Shapes) -> Geometries:
    return shapes.geometries() if isinstance(shapes, PolygonArrays) else shapes


@contextlib.contextmanager
def _plain(path: str) -> Iterator[str]:
    """Yield where OGR is to write; the files are called by ``path`` afterwards.

    pyogrio takes '!' and ';' in a path for marks of its own, except on Windows.
    """
    if os.name == "nt" or not {"!", ";"} & set(path):
        yield path
        return
    folder, name = os.path.split(os.path.abspath(path))
    stem, ending = os.path.splitext(name)
    with tempfile.TemporaryDirectory() as elsewhere:
        there = os.path.join(elsewhere, "folder")
        os.symlink(folder, there)
        plain = os.path.basename(elsewhere)
        yield os.path.join(there, plain + ending)
        for each in os.listdir(folder):
            if each.startswith(f"{plain}."):
                os.replace(
                    os.path.join(folder, each), os.path.join(folder, stem + each[len(plain) :])
                )


def _write(
    path: str, table: pa.Table | pa.RecordBatchReader, layer: str, **options: object
) -> None:
    pyogrio = _pyogrio()
    driver = _driver(path)
    # GDAL takes the first '.xlsx' in a path, be it a folder's, for the end of the file's name
    place = io.BytesIO() if driver in WORKBOOKS else path
    try:
        with warnings.catch_warnings():
            # a Shapefile shortens names to 10 characters, and a table has no CRS
            warnings.simplefilter("ignore")
            pyogrio.write_arrow(
                table,
                place,
                layer=layer,
                driver=driver,
                dataset_options=DATASET_OPTIONS.get(driver),
                layer_options=LAYER_OPTIONS.get(driver),
                **options,
            )
        if isinstance(place, io.BytesIO):
            Path(path).write_bytes(place.getvalue())
    except (pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError, RuntimeError) as error:
        raise _unwritten(path, error) from error


def _unwritten(path: str, error: Exception) -> OutputError:
    return OutputError(
        f"{path} could not be written ({error}). Check that its disk has room and that the "
        "format suits polygons with these fields."
    )


def _driver(path: str) -> str:
    ending = Path(path).suffix.lower()
    if ending not in DRIVERS:
        raise OutputError(
            f"{path}: the format is not known by its ending. Expected one of "
            f"{', '.join(DRIVERS)}. Choose another file name."
        )
    return DRIVERS[ending]


def _pyogrio() -> ModuleType:
    """Return pyogrio, imported only when needed: it imports geopandas where that is installed."""
    import pyogrio

    pyogrio.set_gdal_config_options(SPATIAL_INDEX)
    module: ModuleType = pyogrio
    return module


def is_geojson(path: str) -> bool:
    """Whether a file of that name becomes a GeoJSON."""
    return Path(path).suffix.lower() in (".geojson", ".json")


def _is_parquet(path: str) -> bool:
    return Path(path).suffix.lower() in (".parquet", ".geoparquet")


def _arrow(values: Sequence[object] | NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """Return a column with NaN as NULL."""
    return pa.array(values, type=kind, from_pandas=True)


def _no_formula(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(FORMULA) or NUMBER.fullmatch(value):
        return value
    return f"'{value}"
