"""The real door of the engine, from the outside."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.environment import engine_variables

from deepseg_qgis import errors, jobs
from tests.pipe.conftest import Heard

LAUNCH = str(Path(__file__).resolve().parents[2] / "deepseg_qgis" / "launch.py")

POLYGONS = jobs.VectorSource("/nowhere/p.gpkg", "polygons", "Felder", "", None, {})


def test_a_real_verb_explains_itself(heard: Heard, folder: Path) -> None:
    output = folder.parent / "out.csv"
    job = jobs.StatisticsJob(POLYGONS, None, str(output), None)
    program = EngineProgram(sys.executable, LAUNCH, engine_variables(os.environ))
    with pytest.raises(errors.VectorError, match="'Felder' could not be read"):
        run_job(job, program, JobObserver(heard.events.append, lambda: False), str(folder))
    assert not list(folder.parent.glob("*out.csv*"))
