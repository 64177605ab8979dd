"""The verb ``polygonize``: polygons from probabilities, equal to those that ``predict`` draws.

Decisions are taken on the very numbers that ``predict`` decided on, so any threshold can be tried
without running the model again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import asdict
from typing import Any

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import tables, vectors
from deepseg_qgis.engine.files.features import PolygonBatch
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_output import TILE_PX
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore, from_planes
from deepseg_qgis.engine.legend.legend import check_threshold
from deepseg_qgis.engine.prediction.polygon_stream import FIELDS, Wanted, check_shaping, polygons
from deepseg_qgis.engine.prediction.prediction_tags import (
    NAMESPACE,
    PredictionTags,
    check_probabilities,
    from_tags,
)
from deepseg_qgis.engine.scoring.category_statistics import FIELDS as STATISTICS_FIELDS
from deepseg_qgis.engine.scoring.category_statistics import CategoryStatistics
from deepseg_qgis.errors import counted
from deepseg_qgis.jobs import PolygonizeJob

WINDOW_BYTES = 64 * 2**20
LARGEST_WINDOW_PX = 2048


def run(job: PolygonizeJob, control: Control) -> dict[str, Any]:
    """Draw polygons; return the outputs, ``count`` and ``area_m2``. Memory: some windows.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    check_shaping(job.simplify_px, job.outlines)
    check_threshold(job.threshold)
    with (
        Outputs(control, job) as outputs,
        open_rasters([job.probabilities], control, stored=True) as (raster,),
    ):
        path = outputs.path(job.output)
        table = outputs.optional(job.output_statistics)
        about = from_tags(raster.tags(NAMESPACE), raster.name)
        check_probabilities(about, raster.bands, raster.dtype, raster.name)
        crs = output_crs(path, [(raster.name, raster.grid)], control)
        wanted = Wanted(
            about.source,
            raster.grid,
            crs,
            about.legend.categories,
            job.simplify_px,
            job.min_area,
            outlines=job.outlines,
            instance_rule=about.legend.instance_rule,
        )
        summary = CategoryStatistics()
        cores = _decided(raster, about, job.threshold, control)
        found = _counted(cores, raster, wanted, summary, control)
        with contextlib.closing(found):
            count = vectors.write_features(path, found, FIELDS, crs)
        raster.check_read()
        outputs.place(job.output)
        with outputs.saving(job.output_statistics):
            if table:
                tables.write_table(table, summary.table(about.aoi_m2), STATISTICS_FIELDS)
    control.log(f"{counted(count, 'polygon')}.")
    better = vectors.better_format(path, count)
    if better:
        control.warn(better)
    return {
        "output": job.output,
        "output_statistics": job.output_statistics,
        "count": count,
        "area_m2": summary.area_m2,
        "categories": [asdict(category) for category in about.legend.categories],
    }


def _counted(
    cores: Generator[PredictedCore, None, None],
    raster: Raster,
    wanted: Wanted,
    summary: CategoryStatistics,
    control: Control,
) -> Generator[PolygonBatch, None, None]:
    """Yield polygons batch by batch, added up in ``summary``."""
    with contextlib.closing(polygons(cores, raster.grid.window, wanted, control)) as batches:
        for batch in batches:
            columns = batch.columns
            summary.add(
                columns["source"], columns["category"], columns["area_m2"], columns["perimeter_m"]
            )
            yield batch


def _decided(
    raster: Raster, about: PredictionTags, threshold: float | None, control: Control
) -> Generator[PredictedCore, None, None]:
    """Yield the windows of a raster of probabilities, decided, row by row."""
    legend = about.card.legend.with_threshold(threshold)
    windows = _windows(raster)
    for number, window in enumerate(windows, start=1):
        control.check()
        control.progress(number / len(windows), f"Window {number} of {len(windows)}")
        pixels = raster.read(window)
        if not pixels.valid.any():
            yield PredictedCore(window, None, None, None)
            continue
        probabilities = np.ascontiguousarray(pixels.values, dtype=np.uint8)
        yield from_planes(window, probabilities, pixels.valid, legend)


def _windows(raster: Raster) -> list[Window]:
    """Return windows of whole tiles, row by row, that hold a bounded number of bytes each."""
    side = int((WINDOW_BYTES / raster.bands) ** 0.5) // TILE_PX * TILE_PX
    side = min(max(side, TILE_PX), LARGEST_WINDOW_PX)
    whole = raster.grid.window
    return [
        Window(row, column, side, side).intersection(whole)
        for row in range(0, whole.height, side)
        for column in range(0, whole.width, side)
    ]
