"""The verb ``tile``: a grid of tiles over a raster as a layer, and a data set of its chips."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj

from deepseg_qgis.engine.annotations.annotation_layer import load, load_area, require_touching
from deepseg_qgis.engine.annotations.labelled_raster import labelled_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import dataset
from deepseg_qgis.engine.exchange.dataset import Labelled
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.folder_output import FolderOutput
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import log_notices
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry import tiling
from deepseg_qgis.engine.geometry.areas import box
from deepseg_qgis.engine.geometry.tiling import Tile
from deepseg_qgis.errors import ParameterError, VectorError, counted
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


def run(job: TileJob, control: Control) -> dict[str, Any]:
    """Write the grid, and the data set if there is to be one.

    Return ``output``, ``output_folder`` and ``tiles``, their number.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    with contextlib.ExitStack() as stack:
        outputs = stack.enter_context(Outputs(control, job))
        path = outputs.path(job.output)
        folder = _folder(job, control)
        if folder is not None:
            stack.enter_context(folder)
        raster = stack.enter_context(Raster(job.raster, control))
        log_notices([raster], control)
        crs = output_crs(path, [(raster.name, raster.grid)], control)
        tiles: Iterable[Tile] = _tiles(job, raster, control)
        part_of: dict[tuple[int, int], str] | None = None
        if folder is not None:
            tiles = list(tiles)
            part_of = dataset.write(folder.path, _labelled(job, raster, control), tiles, control)
        batches = _features(raster, tiles, crs, part_of)
        fields = FIELDS if part_of is None else {**FIELDS, **PART}
        count = vectors.write_features(path, batches, fields, crs)
        if count == 0:
            raise _untouched(raster)
    control.log(f"{counted(count, 'tile')}.")
    return {"output": job.output, "output_folder": job.output_folder, "tiles": count}


def _folder(job: TileJob, control: Control) -> FolderOutput | None:
    """Return where the data set goes, or None where none was asked for."""
    if job.output_folder is None:
        if job.annotations is not None:
            control.warn(
                "The annotations are for a data set, and none was asked for. Choose its folder."
            )
        return None
    if job.annotations is None:
        raise ParameterError(
            "A data set needs annotations, found none. Choose a layer of polygons, or leave the "
            "folder empty."
        )
    return FolderOutput(job.output_folder, dataset.foreign_files, control)


def _labelled(job: TileJob, raster: Raster, control: Control) -> Labelled:
    assert job.annotations is not None
    layer = load(job.annotations, control, may_be_empty=job.aoi is not None)
    if len(layer.names):
        require_touching(layer, [raster])
    else:
        control.warn(
            f"The annotation layer '{job.annotations.name}' is empty: all of the area of interest "
            "is background in the data set."
        )
    area = labelled_area(layer, job.aoi, raster, control)
    if job.aoi is None:
        control.warn(
            "Without an area of interest, all of the annotations' bounding box counts as labelled: "
            "what has no polygon there is background. Draw an area around what is complete."
        )
    if area.size_px == 0:
        raise _untouched(raster)
    return Labelled(raster, layer.over(raster, layer.categories), area, layer.categories)


def _untouched(raster: Raster) -> VectorError:
    return VectorError(
        f"The area of interest does not touch {raster.name}. Draw it over the raster, or "
        "leave it empty to tile all of it."
    )


def _tiles(job: TileJob, raster: Raster, control: Control) -> Iterator[Tile]:
    """Yield the tiles, those that touch the AOI if there is one.

    For a data set they lie side by side, so that none shares pixels with its neighbours but for
    the overlap; else they are spread evenly over the raster.
    """
    whole = raster.grid.window
    area = load_area(job.aoi, raster, control) if job.aoi else None
    if job.rows is not None or job.columns is not None:
        rows, columns = job.rows or 1, job.columns or 1
        every = tiling.divided(whole, rows, columns, job.overlap_px)
        total = rows * columns
    else:
        lay = tiling.tiles if job.output_folder is None else tiling.side_by_side
        every = lay(whole, job.tile_size_px, job.overlap_px)
        total = tiling.tile_count(whole, job.tile_size_px, job.overlap_px)
    for number, tile in enumerate(every):
        control.check()
        if job.output_folder is None:
            control.progress((number + 1) / total, "Laying tiles")
        if area is None or area.touches(tile.window):
            yield tile


def _features(
    raster: Raster,
    every: Iterable[Tile],
    crs: pyproj.CRS | None,
    part_of: dict[tuple[int, int], str] | None,
) -> Iterator[Features]:
    waiting = iter(every)
    first = 0
    while batch := list(itertools.islice(waiting, BATCH)):
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
