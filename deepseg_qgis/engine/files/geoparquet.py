"""GeoParquet 1.1, written row group by row group (https://geoparquet.org/releases/v1.1.0/).

pyogrio's wheels come without GDAL's Parquet driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from pyarrow import parquet

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries

GEOMETRY = "geometry"
ROWS = 65_536
BYTES = 32 << 20
"""A row group is written when it has so many rows, or geometries of so many bytes."""


def write(
    path: str,
    batches: Iterable[tuple[Geometries, list[pa.Array]]],
    schema: pa.Schema,
    crs: pyproj.CRS | None,
) -> None:
    """Write batches of geometries and their columns; ``schema`` is that of the columns.

    Memory: one row group. Coordinates are x east, y north, whatever the order of the CRS's axes.

    Raises:
        OSError: the disk is full, or the file cannot be made.
    """
    whole = schema.append(pa.field(GEOMETRY, pa.binary()))
    summary = _Summary()
    with parquet.ParquetWriter(path, whole, compression="zstd") as writer:
        group: list[pa.RecordBatch] = []
        rows = size = 0
        for geometries, columns in batches:
            summary.add(geometries)
            wkb = pa.array(shapely.to_wkb(geometries), type=pa.binary())
            group.append(pa.RecordBatch.from_arrays([*columns, wkb], schema=whole))
            rows, size = rows + len(wkb), size + wkb.nbytes
            if rows >= ROWS or size >= BYTES:
                writer.write_table(pa.Table.from_batches(group), row_group_size=ROWS)
                group, rows, size = [], 0, 0
        if group:
            writer.write_table(pa.Table.from_batches(group))
        writer.add_key_value_metadata({"geo": json.dumps(summary.metadata(crs))})


class _Summary:
    """What the metadata tells of all geometries: their types and their bounds."""

    def __init__(self) -> None:
        self._types: set[int] = set()
        self._bounds = np.full(4, np.nan)

    def add(self, geometries: Geometries) -> None:
        self._types.update(np.unique(shapely.get_type_id(geometries)).tolist())
        bounds = shapely.total_bounds(geometries)
        self._bounds[:2] = np.fmin(self._bounds[:2], bounds[:2])
        self._bounds[2:] = np.fmax(self._bounds[2:], bounds[2:])

    def metadata(self, crs: pyproj.CRS | None) -> dict[str, object]:
        """Return the content of the key ``geo``."""
        names = {3: "Polygon", 6: "MultiPolygon"}
        column: dict[str, object] = {
            "encoding": "WKB",
            "geometry_types": [names[each] for each in sorted(self._types) if each in names],
            "crs": crs.to_json_dict() if crs else None,
        }
        if np.isfinite(self._bounds).all():
            column["bbox"] = self._bounds.tolist()
        return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
