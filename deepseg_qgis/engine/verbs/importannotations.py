"""The verb ``importannotations``: annotations of other programs as polygons."""

from __future__ import annotations

from typing import Any

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import imported_polygons, importing
from deepseg_qgis.engine.exchange.coco.annotations import ELSEWHERE
from deepseg_qgis.engine.exchange.import_summary import ImportSummary
from deepseg_qgis.engine.exchange.imported_polygons import TargetRaster
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.errors import MOST_LISTED, VectorError, counted
from deepseg_qgis.jobs import ImportAnnotationsJob


def run(job: ImportAnnotationsJob, control: Control) -> dict[str, Any]:
    """Write the polygons; return ``output``, ``count`` and the ``categories`` with known colours.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    summary = ImportSummary()
    with Outputs(control, job) as outputs:
        path = outputs.path(job.output)
        targets = [TargetRaster.of(source) for source in job.rasters]
        polygons = importing.read_polygons(job, targets, summary, control)
        imported_polygons.write(path, polygons, summary, control)
        summary.log_remarks(control)
        if summary.count == 0:
            _report_empty(job, summary, control)
    _log_counts(summary, control)
    return {
        "output": job.output,
        "count": summary.count,
        "categories": [
            {"name": name, "colour": summary.colours.get(name, "")}
            for name in sorted(summary.categories)
        ],
    }


def _log_counts(summary: ImportSummary, control: Control) -> None:
    most = summary.categories.most_common(MOST_LISTED)
    if most:
        counts = ", ".join(f"{name} {count:,}" for name, count in most)
        more = ", …" * (len(summary.categories) > MOST_LISTED)
        control.log(f"{counted(summary.count, 'polygon')}: {counts}{more}.")


def _report_empty(job: ImportAnnotationsJob, summary: ImportSummary, control: Control) -> None:
    """Warn that the layer is empty.

    Raises:
        VectorError: there was something, and none of it could be used.
    """
    if summary.left_out.keys() - {ELSEWHERE}:
        raise VectorError(
            f"No polygon was found in {job.annotations}. Check that the file, its format and "
            "the rasters belong together; the log says what was left out."
        )
    control.warn(
        f"{job.annotations} has nothing annotated on these rasters: the layer is empty. Check that "
        "the file, its format and the rasters belong together if you expected polygons."
    )
