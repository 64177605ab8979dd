"""The verb ``polygonize``: polygons from probabilities, equal to those that ``predict`` draws.

Decisions are taken on the very numbers that ``predict`` decided on, so any threshold can be tried
without running the model again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_output import NAMESPACE
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.legend.legend import check_threshold
from deepseg_qgis.engine.prediction.polygon_output import PolygonOutput
from deepseg_qgis.engine.prediction.polygon_stream import PolygonRequest, check_shaping, polygons
from deepseg_qgis.engine.prediction.prediction_tags import (
    check_probabilities,
    from_tags,
)
from deepseg_qgis.engine.prediction.probability_raster import decided_cores
from deepseg_qgis.errors import counted
from deepseg_qgis.jobs import PolygonizeJob


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
        output = PolygonOutput(outputs, job.output, job.output_statistics)
        tags = from_tags(raster.tags(NAMESPACE), raster.name)
        check_probabilities(tags, raster.bands, raster.dtype, raster.name)
        crs = output_crs(output.path, [(raster.name, raster.grid)], control)
        legend = tags.card.legend.with_threshold(job.threshold)
        request = PolygonRequest(
            tags.source,
            raster.grid,
            crs,
            legend,
            job.simplify_px,
            job.min_area,
            job.outlines,
        )
        cores = decided_cores(raster, legend, control)
        batches = polygons(cores, raster.grid.window, request, control)
        output.write(batches, [raster], crs)
        output.write_statistics(tags.aoi_m2)
    control.log(f"{counted(output.count, 'polygon')}.")
    output.suggest_format(control)
    return {
        "output": job.output,
        "output_statistics": job.output_statistics,
        "count": output.count,
        "area_m2": output.statistics.area_m2,
        "categories": [asdict(category) for category in legend.categories],
    }
