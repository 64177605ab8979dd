"""The verb ``tile``: a grid of tiles over a raster as a layer, and a data set of its chips."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import dataset, tile_grid
from deepseg_qgis.engine.exchange.annotated_raster import area_beside_raster, load_annotated
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.folder_output import FolderOutput
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_sets import log_notices
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Tile
from deepseg_qgis.errors import ParameterError, counted
from deepseg_qgis.jobs import TileJob


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
        tiles: Iterable[Tile] = tile_grid.grid_tiles(job, raster, control)
        part_of: dict[tuple[int, int], str] | None = None
        fields = tile_grid.FIELDS
        if folder is not None and job.annotations is not None:
            tiles = list(tiles)
            annotated = load_annotated(job.annotations, job.aoi, raster, control)
            part_of = dataset.write(folder.path, annotated, tiles, control)
            fields = fields | tile_grid.PART
        batches = tile_grid.grid_features(tiles, raster, crs, part_of)
        count = vectors.write_features(path, batches, fields, crs)
        if count == 0:
            raise area_beside_raster(raster)
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
