"""The verb ``compareruns``: the trainings of a folder as a table and a page."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.experiments.ranking import best_run
from deepseg_qgis.engine.experiments.run_table import run_table
from deepseg_qgis.engine.experiments.runs import Run, read_runs
from deepseg_qgis.engine.files import tables
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.reports import comparison_report
from deepseg_qgis.errors import counted, listed
from deepseg_qgis.jobs import CompareRunsJob

KINDS = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def run(job: CompareRunsJob, control: Control) -> dict[str, Any]:
    """Write the table and the page; return the outputs and ``count``, the number of models.

    Raises:
        DeepSegError: the folder holds no model, or an output cannot be written.
    """
    with Outputs(control, job) as outputs:
        path = outputs.path(job.output)
        html = outputs.optional(job.output_html)
        runs = read_runs(job.folder, control)
        _log(runs, control)
        columns = run_table(runs)
        control.progress(0.9, "Writing the comparison")
        tables.write_table(
            path,
            {column.name: column.values for column in columns},
            {column.name: KINDS[column.kind] for column in columns},
        )
        outputs.place(job.output)
        if html and job.output_html:
            comparison_report.write(html, runs, job.folder, job.output_html)
    return {
        "output": job.output,
        "output_html": job.output_html,
        "count": sum(each.card is not None for each in runs),
    }


def _log(runs: list[Run], control: Control) -> None:
    broken = [each.name for each in runs if each.card is None]
    if broken:
        control.warn(
            f"{counted(len(broken), 'file')} cannot be used as a model: {listed(broken)}. The "
            "table says why."
        )
    best = best_run(runs)
    if best is not None:
        control.log(f"{best.run.name}: {best.measure} {best.score:.3f}. {best.reason}")
