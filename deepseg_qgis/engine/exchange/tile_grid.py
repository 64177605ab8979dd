"""The tiles of a raster as a layer of polygons."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj

from deepseg_qgis.engine.annotations.annotation_layer import load_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry import tiling
from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.geometry.tiling import Tile
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
PART = {"part": pa.string()}
"""Of tiles with a data set: ``train``, ``validation`` or ``test``, NULL where not in it."""
BATCH = 10_000


def grid_tiles(job: TileJob, raster: Raster, control: Control) -> Iterator[Tile]:
    """Yield the tiles, those that touch the AOI if there is one.

    For a data set they lie side by side, so that none shares pixels with its neighbours but for
    the overlap; else they are spread evenly over the raster.

    Raises:
        ParameterError: tile size, overlap, rows or columns cannot be used.
        VectorError: the AOI cannot be read.
    """
    whole = raster.grid.window
    area = load_area(job.aoi, raster, control) if job.aoi else None
    if job.rows is not None or job.columns is not None:
        rows, columns = job.rows or 1, job.columns or 1
        tiles = tiling.divided(whole, rows, columns, job.overlap_px)
        total = rows * columns
    else:
        lay = tiling.tiles if job.output_folder is None else tiling.side_by_side
        tiles = lay(whole, job.tile_size_px, job.overlap_px)
        total = tiling.tile_count(whole, job.tile_size_px, job.overlap_px)
    for number, tile in enumerate(tiles):
        control.check()
        if job.output_folder is None:
            control.progress((number + 1) / total, "Laying tiles")
        if area is None or area.touches(tile.window):
            yield tile


def grid_features(
    tiles: Iterable[Tile],
    raster: Raster,
    crs: pyproj.CRS | None,
    part_of: Mapping[tuple[int, int], str] | None,
) -> Iterator[Features]:
    """Yield the tiles as polygons in ``crs``, with `FIELDS`; with ``part_of`` also with `PART`.

    ``part_of`` has the part of a data set by a tile's row and column.
    """
    rest = iter(tiles)
    first = 0
    while batch := list(itertools.islice(rest, BATCH)):
        windows = [tile.window.intersection(raster.grid.window) for tile in batch]
        shapes = raster.grid.to_crs(np.array([box(each) for each in windows], dtype=object), crs)
        columns: dict[str, list[Any]] = {
            "id": list(range(first, first + len(batch))),
            "row": [tile.row for tile in batch],
            "column": [tile.column for tile in batch],
            "first_row_px": [window.row for window in windows],
            "first_column_px": [window.column for window in windows],
            "height_px": [window.height for window in windows],
            "width_px": [window.width for window in windows],
        }
        if part_of is not None:
            columns["part"] = [part_of.get((tile.row, tile.column)) for tile in batch]
        first += len(batch)
        yield Features(shapes, columns)
