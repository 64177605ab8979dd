"""The verb ``tile``: a grid of tiles over a raster, as a layer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj

from deepseg_qgis.engine import tiling, vectors
from deepseg_qgis.engine.annotations import load_area
from deepseg_qgis.engine.areas import box
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.outputs import Outputs
from deepseg_qgis.engine.rasters import Raster
from deepseg_qgis.engine.tiling import Tile
from deepseg_qgis.engine.vectors import Features
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import TileJob

FIELDS = {
    "id": pa.int64(),
    "row": pa.int64(),
    "column": pa.int64(),
    "first_row_px": pa.int64(),
    "first_column_px": pa.int64(),
    "height_px": pa.int64(),
    "width_px": pa.int64(),
}
BATCH = 10_000


def run(job: TileJob, control: Control) -> dict[str, Any]:
    """Write the grid; return ``output`` and ``tiles``, their number.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    with Outputs(control) as outputs, Raster(job.raster) as raster:
        path = outputs.path(job.output)
        crs = vectors.crs_for(path, raster.grid.crs)
        batches = _features(raster, _tiles(job, raster, control), crs)
        count = vectors.write_features(path, batches, FIELDS, crs)
        if count == 0:
            raise VectorError(
                f"The area of interest does not touch {raster.name}. Draw it over the raster, or "
                "leave it empty to tile all of it."
            )
    control.log(f"{count} tiles.")
    return {"output": job.output, "tiles": count}


def _tiles(job: TileJob, raster: Raster, control: Control) -> Iterator[Tile]:
    """Yield the tiles, those that touch the AOI if there is one."""
    whole = raster.grid.window
    area = load_area(job.aoi, raster, control) if job.aoi else None
    if job.rows is not None or job.columns is not None:
        rows, columns = job.rows or 1, job.columns or 1
        every = tiling.divided(whole, rows, columns, job.overlap_px)
        total = rows * columns
    else:
        every = tiling.tiles(whole, job.tile_size_px, job.overlap_px)
        total = tiling.tile_count(whole, job.tile_size_px, job.overlap_px)
    for number, tile in enumerate(every):
        control.check()
        control.progress((number + 1) / total, "Laying tiles")
        if area is None or area.touches(tile.window):
            yield tile


def _features(raster: Raster, every: Iterable[Tile], crs: pyproj.CRS | None) -> Iterator[Features]:
    waiting = iter(every)
    first = 0
    while batch := list(itertools.islice(waiting, BATCH)):
        windows = [tile.window.intersection(raster.grid.window) for tile in batch]
        shapes = raster.grid.to_crs(np.array([box(each) for each in windows], dtype=object), crs)
        columns = {
            "id": list(range(first, first + len(batch))),
            "row": [tile.row for tile in batch],
            "column": [tile.column for tile in batch],
            "first_row_px": [window.row for window in windows],
            "first_column_px": [window.column for window in windows],
            "height_px": [window.height for window in windows],
            "width_px": [window.width for window in windows],
        }
        first += len(batch)
        yield Features(shapes, columns)
