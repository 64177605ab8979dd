"""The pipe between an old QGIS's Python 3.9 and the engine's newer one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.environment import engine_variables

from deepseg_qgis import errors, jobs

LAUNCH = str(Path(__file__).resolve().parents[2] / "deepseg_qgis" / "launch.py")

CLIENT = """
import os
from deepseg_qgis import jobs
from deepseg_qgis.errors import VectorError
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.environment import engine_variables
python, launch, folder, job = sys.argv[1:]
program = EngineProgram(python, launch, engine_variables(os.environ))
try:
    run_job(jobs.decode(job), program, JobObserver(print, lambda: False), folder)
except VectorError as error:
    print("VectorError:", ascii(str(error)))
"""


@pytest.fixture
def broken_job(tmp_path: Path) -> jobs.Job:
    """A job whose layer does not exist."""
    layer = jobs.VectorSource("/nowhere/p.gpkg", "polygons", "Felder", "", None, {})
    return jobs.StatisticsJob(layer, None, str(tmp_path / "out.csv"), None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The private folder of a job."""
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def test_an_engine_in_it_says_that_it_is_too_old(
    broken_job: jobs.Job, folder: Path, python39: str
) -> None:
    program = EngineProgram(python39, LAUNCH, engine_variables(os.environ))
    with pytest.raises(errors.EngineDied, match=r"needs Python 3\.10 or newer, this is 3\.9"):
        run_job(broken_job, program, JobObserver(print, lambda: False), str(folder))


def test_a_client_in_it_talks_to_a_newer_engine(
    broken_job: jobs.Job, folder: Path, in_python39: Callable[..., str]
) -> None:
    said = in_python39(CLIENT, sys.executable, LAUNCH, str(folder), jobs.encode(broken_job))
    assert "VectorError: \"The layer 'Felder' could not be read" in said
