"""The verb ``estimatearea``: areas and accuracies with intervals, from a sample filled in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import tables
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.reports import area_report
from deepseg_qgis.engine.sampling.category_maps import open_map
from deepseg_qgis.engine.sampling.sample_points import (
    check_filled,
    counted_points,
    strata_of_points,
)
from deepseg_qgis.engine.sampling.strata import Stratum
from deepseg_qgis.engine.scoring.area_estimates import FIELDS, AreaEstimates
from deepseg_qgis.engine.scoring.stratified_estimation import StratifiedSample
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import EstimateAreaJob


def run(job: EstimateAreaJob, control: Control) -> dict[str, Any]:
    """Write the table and reports; return the outputs, ``count`` and ``overall_accuracy``.

    Raises:
        DeepSegError: something cannot be used; nothing is written then.
    """
    with Outputs(control, job) as outputs:
        path = outputs.path(job.output)
        json_path = outputs.optional(job.output_json)
        html = outputs.optional(job.output_html)
        check_filled(job.sample)
        strata = _strata(job, control)
        sample = StratifiedSample(
            counted_points(job.sample, strata), np.array([each.share for each in strata])
        )
        estimates = AreaEstimates.of(
            sample, [each.category for each in strata], [each.area_m2 for each in strata]
        )
        _tell(estimates, control)
        tables.write_table(path, estimates.table(), FIELDS)
        outputs.place(job.output)
        if json_path:
            with open(json_path, "w", encoding="utf-8") as file:
                json.dump(estimates.as_json(), file, ensure_ascii=False, allow_nan=False, indent=1)
        if html:
            area_report.write(html, estimates, job)
    return {
        "output": job.output,
        "output_json": job.output_json,
        "output_html": job.output_html,
        "count": len(job.sample.points),
        "overall_accuracy": sample.overall_accuracy.value,
    }


def _strata(job: EstimateAreaJob, control: Control) -> tuple[Stratum, ...]:
    """Return the strata of the map if there is one, else as the points have them."""
    if job.map_raster is None and job.map_polygons is None:
        if job.aoi is not None:
            raise ParameterError(
                "The area of interest is that of a map, and no map is chosen. Choose the map that "
                "the points were drawn from, or leave the area empty."
            )
        return strata_of_points(job.sample)
    with open_map(job, control) as category_map:
        return category_map.strata


def _tell(estimates: AreaEstimates, control: Control) -> None:
    overall = estimates.sample.overall_accuracy
    control.log(
        f"Overall accuracy {100.0 * overall.value:.1f} % (95 % interval {100.0 * overall.low:.1f} "
        f"to {100.0 * overall.high:.1f} %)."
    )
    for note in estimates.notes():
        control.warn(note)
    if estimates.total_m2 is None:
        control.warn(
            "Areas in hectares are not known: the map has no CRS with a unit of length. The table "
            "has shares of the map."
        )
