"""The one module that reads and writes vector files and tables.

Writing streams: features pass through in batches, in any format that OGR writes, chosen by the
file name's extension. GeoJSON follows RFC 7946.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.projections import WGS84, Geometries
from deepseg_qgis.errors import OutputError, VectorError
from deepseg_qgis.jobs import VectorSource

LAYER_OPTIONS = {"GeoJSON": {"RFC7946": "YES", "COORDINATE_PRECISION": "9"}}
"""9 decimals are a tenth of a millimetre; the driver's default of 7 is a centimetre."""
DATASET_OPTIONS = {"GPKG": {"VERSION": "1.3"}}
"""The newest version that QGIS 3.22 reads without a warning."""

FORMULA = ("=", "+", "-", "@")
"""A spreadsheet takes a cell of a CSV that starts so for a formula."""


@dataclass(frozen=True)
class Features:
    """Polygons with their columns, each as long as ``geometries``; None stands for NULL."""

    geometries: Geometries
    columns: Mapping[str, Sequence[object] | NDArray[np.generic]]


def read_features(source: VectorSource) -> Features:
    """Return all features of a layer; ``columns`` are ``category`` and ``source`` (text or None).

    Geometries come as they are, None and invalid ones included. Memory: the layer.

    Raises:
        VectorError: the layer cannot be read.
    """
    try:
        frame = pyogrio.read_dataframe(source.path, layer=source.layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise VectorError(f"The layer '{source.name}' could not be read ({error}).") from error
    columns = {
        name: [value if isinstance(value, str) else None for value in frame[name]]
        for name in ("category", "source")
    }
    return Features(np.asarray(frame.geometry.array, dtype=object), columns)


def crs_of(source: VectorSource) -> pyproj.CRS | None:
    """Return the CRS of a layer, or None where it has none."""
    return pyproj.CRS.from_wkt(source.crs_wkt) if source.crs_wkt else None


def crs_for(path: str, crs: pyproj.CRS | None) -> pyproj.CRS | None:
    """Return the CRS that a file at ``path`` is to have: RFC 7946 knows WGS 84 alone."""
    return WGS84 if crs is not None and _is_geojson(path) else crs


def write_features(
    path: str,
    batches: Iterable[Features],
    fields: Mapping[str, pa.DataType],
    crs: pyproj.CRS | None,
    geometry_type: str = "Polygon",
) -> int:
    """Write polygons, given in ``crs``, batch by batch; return how many.

    ``fields`` are the columns of each batch, in order. In GeoJSON (where ``crs`` must be that of
    `crs_for`) polygons are cut at the antimeridian. What ``batches`` raises comes out as it is.

    Raises:
        OutputError: the format is unknown or the disk is full.
    """
    schema = pa.schema(
        [pa.field(name, kind) for name, kind in fields.items()]
        + [pa.field("geometry", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"})]
    )
    count = 0

    def records() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            shapes = batch.geometries
            if crs == WGS84:
                shapes = cut_at_antimeridian(shapes)
            count += len(shapes)
            columns = [_arrow(batch.columns[name], kind) for name, kind in fields.items()]
            wkb = pa.array(shapely.to_wkb(shapes), type=pa.binary())
            yield pa.RecordBatch.from_arrays([*columns, wkb], schema=schema)

    multiple = crs == WGS84 and geometry_type == "Polygon"
    source = _Batches(records())
    try:
        _write(
            path,
            pa.RecordBatchReader.from_batches(schema, source),
            geometry_name="geometry",
            geometry_type="Unknown" if multiple else geometry_type,
            crs=crs.to_wkt() if crs else None,
        )
    except OutputError:
        if source.error is not None:
            raise source.error from None
        raise
    return count


class _Batches:
    """Batches that remember the error they raise: on its way through GDAL it loses its name."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except Exception as error:
            self.error = error
            raise


def write_table(
    path: str,
    columns: Mapping[str, Sequence[object]],
    fields: Mapping[str, pa.DataType],
) -> None:
    """Write a table without geometry (CSV, GeoPackage, XLSX, …).

    In CSV, text that a spreadsheet would take for a formula gets a leading apostrophe.

    Raises:
        OutputError: the format is unknown or the disk is full.
    """
    text = {name for name, kind in fields.items() if kind == pa.string()}
    plain = Path(path).suffix.lower() in (".csv", ".tsv")
    arrays = [
        _arrow([_no_formula(value) for value in columns[name]], kind)
        if plain and name in text
        else _arrow(columns[name], kind)
        for name, kind in fields.items()
    ]
    _write(path, pa.table(dict(zip(fields, arrays, strict=True))))


def cut_at_antimeridian(geometries: Geometries) -> Geometries:
    """Return polygons in degrees with those that cross ±180° cut there (RFC 7946, 3.1.9).

    A polygon more than 180° wide is taken for one that crosses: its western half is moved east by
    360°, cut at 180°, and moved back.
    """
    bounds = shapely.bounds(geometries)
    crossing = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > 180.0)
    result: Geometries = geometries.copy()
    for i in crossing:
        turned = shapely.transform(
            geometries[i], lambda xy: np.column_stack([xy[:, 0] % 360.0, xy[:, 1]])
        )
        west = shapely.intersection(turned, shapely.box(0, -90, 180, 90))
        east = shapely.intersection(turned, shapely.box(180, -90, 360, 90))
        back = shapely.transform(east, lambda xy: xy - [360.0, 0.0])
        result[i] = shapely.union(west, back)
    return result


def _write(path: str, table: pa.Table | pa.RecordBatchReader, **options: object) -> None:
    layer = Path(path).stem
    driver = _driver(path)
    try:
        with warnings.catch_warnings():
            # a Shapefile shortens names to 10 characters, and a table has no CRS
            warnings.simplefilter("ignore")
            pyogrio.write_arrow(
                table,
                path,
                layer=layer,
                driver=driver,
                dataset_options=DATASET_OPTIONS.get(driver),
                layer_options=LAYER_OPTIONS.get(driver),
                **options,
            )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError, RuntimeError) as error:
        raise OutputError(
            f"{path} could not be written ({error}). Check that its disk has room and that the "
            "format suits polygons with these fields."
        ) from error


def _driver(path: str) -> str:
    try:
        return str(pyogrio.detect_write_driver(path))
    except ValueError as error:
        raise OutputError(
            f"{path}: the format is not known by its extension. Use .geojson, .gpkg, .fgb, .shp "
            "or, for tables, .csv."
        ) from error


def _is_geojson(path: str) -> bool:
    return Path(path).suffix.lower() in (".geojson", ".json")


def _arrow(values: Sequence[object] | NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """Return a column with NaN as NULL."""
    return pa.array(values, type=kind, from_pandas=True)


def _no_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
