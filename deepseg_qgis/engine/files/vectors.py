"""Writes polygons and points into vector files; `layers` reads, `tables` writes without geometry.

Polygons pass through in batches, in the format that the file name's extension
chooses. GeoJSON (RFC 7946) and GeoParquet are written here, all else by OGR.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.files import geojson_text, geoparquet, ogr
from deepseg_qgis.engine.files.features import (
    Features,
    PolygonBatch,
    Shapes,
    as_arrow,
    as_geometries,
    as_polygon_arrays,
)
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates
from deepseg_qgis.engine.geometry.projections import WGS84
from deepseg_qgis.engine.geometry.round_world import cut_at_antimeridian
from deepseg_qgis.engine.geometry.world import World
from deepseg_qgis.errors import OutputError
from deepseg_qgis.overwriting import layer_name

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
GEOMETRY = pa.field("geometry", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})
MANY_FEATURES = 1_000_000
VERTICES_AT_ONCE = 1 << 17
"""So many vertices are turned into GeoJSON at once (about 6 MB of text)."""


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
    batches: Iterable[Features | PolygonBatch],
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
    counted = _CountedBatches(path, batches, fields, World.of(WGS84) if wrapped else None)
    schema = pa.schema(list(fields.items()))
    try:
        if is_geojson(path):
            _write_geojson(path, counted, list(fields))
        elif _is_parquet(path):
            known = ((as_geometries(shapes), columns) for shapes, columns in counted)
            geoparquet.write(path, known, schema, crs)
        else:
            _write_through_ogr(path, counted, schema, crs, multipart)
    except (OutputError, OSError) as error:
        if counted.error is not None:
            raise counted.error from None
        if isinstance(error, OutputError):
            raise
        raise ogr.unwritten(path, error) from error
    return counted.count


def write_points(
    path: str,
    xy: Coordinates,
    columns: Mapping[str, Sequence[object] | NDArray[np.generic]],
    fields: Mapping[str, pa.DataType],
    crs: pyproj.CRS | None,
) -> None:
    """Write points, given in ``crs`` as (n, 2), with their columns, through OGR.

    Raises:
        OutputError: the format is not one of OGR's, or the disk is full.
    """
    arrays = [as_arrow(columns[name], kind) for name, kind in fields.items()]
    points = pa.array(shapely.to_wkb(shapely.points(xy)), type=pa.binary())
    table = pa.table([*arrays, points], schema=pa.schema([*fields.items(), GEOMETRY]))
    with ogr.plain_path(path) as place:
        ogr.write_arrow(
            place,
            table,
            layer_name(path),
            geometry_name=GEOMETRY.name,
            geometry_type="Point",
            crs=crs.to_wkt() if crs else None,
        )


class _CountedBatches:
    """Batches as geometries and Arrow columns, counted.

    They remember the error that they raise: on its way through GDAL it would lose its name.
    ``path`` is where they are being written.
    """

    def __init__(
        self,
        path: str,
        batches: Iterable[Features | PolygonBatch],
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
                    shapes = cut_at_antimeridian(as_polygon_arrays(shapes), None, self._world)
                if _is_shapefile(self.path):
                    _check_shapefile(self.path, shapes)
                self.count += len(shapes)
                yield shapes, [as_arrow(batch.columns[n], kind) for n, kind in self._fields.items()]
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
            for first, some in as_polygon_arrays(shapes).batches(VERTICES_AT_ONCE):
                part = [column.slice(first, len(some)) for column in columns]
                text = geojson_text.features(some, dict(zip(names, part, strict=True)))
                file.write(text[separator:])
                separator = 0
        file.write(geojson_text.TAIL)


def _write_through_ogr(
    path: str,
    batches: _CountedBatches,
    schema: pa.Schema,
    crs: pyproj.CRS | None,
    multipart: bool,
) -> None:
    if _is_shapefile(path):
        schema = pa.schema([(SHORT_NAMES.get(each.name, each.name), each.type) for each in schema])
    schema = schema.append(GEOMETRY)
    waiting = iter(batches)
    first = list(itertools.islice(waiting, 1))
    records = (
        pa.RecordBatch.from_arrays(
            [*columns, pa.array(_wkb(shapes, multipart), type=pa.binary())], schema=schema
        )
        for shapes, columns in itertools.chain(first, waiting)
    )
    with ogr.plain_path(path) as batches.path:
        ogr.write_arrow(
            batches.path,
            pa.RecordBatchReader.from_batches(schema, records),
            layer_name(path),
            geometry_name=GEOMETRY.name,
            geometry_type=_geometry_type(path, multipart, may_be_cut=crs == WGS84 and bool(first)),
            crs=crs.to_wkt() if crs else None,
        )
        # GDAL writes .shp for .SHP
        if _is_shapefile(path) and not os.path.exists(batches.path):
            os.replace(f"{batches.path[:-4]}.shp", batches.path)


def _geometry_type(path: str, multipart: bool, may_be_cut: bool) -> str:
    """Return the type of a layer's geometries.

    What is cut at the antimeridian has several parts, and QGIS 3.22 takes an empty layer of unknown
    type for a table.
    """
    if _is_shapefile(path):
        return "Polygon"
    if multipart:
        return "MultiPolygon"
    return "Unknown" if may_be_cut else "Polygon"


def _wkb(shapes: Shapes, multipart: bool) -> NDArray[np.object_]:
    geometries = as_geometries(shapes)
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
    more = 16 * len(as_polygon_arrays(shapes).coordinates) + DBF_ROW_BYTES * len(shapes)
    for part in (path, f"{path[:-4]}.dbf"):
        if os.path.exists(part) and os.path.getsize(part) + more > SHAPEFILE_BYTES:
            raise OutputError(
                f"{path}: a Shapefile cannot hold more than 2 GB, and these polygons need more. "
                "Name the output .gpkg (GeoPackage) or .fgb (FlatGeobuf) instead."
            )


def is_geojson(path: str) -> bool:
    """Whether a file of that name becomes a GeoJSON."""
    return Path(path).suffix.lower() in (".geojson", ".json")


def _is_shapefile(path: str) -> bool:
    return Path(path).suffix.lower() == ".shp"


def _is_parquet(path: str) -> bool:
    return Path(path).suffix.lower() in (".parquet", ".geoparquet")
