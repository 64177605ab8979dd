"""When QGIS is killed, nothing survives: with the engine's real loop and a real parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.pipe.conftest import JOB
from tests.pipe.test_client import is_gone

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX's")

ENGINE = """
import os, sys, types, time
from deepseg_qgis.engine import run

def busy(job, control):
    def clean_up():
        open(job.output, "w").write("cleaned up")
    control.when_abandoned(clean_up)
    control.log(str(os.getpid()))
    while True:
        time.sleep(0.01)

verb = types.ModuleType("busy_verb")
verb.run = busy
sys.modules[f"{run.VERBS}.demoscene"] = verb
events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\\n")
os.dup2(2, 1)
sys.exit(run.run(sys.argv[1], events))
"""

PARENT = """
import dataclasses, os, sys
from deepseg_qgis import events, jobs
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.environment import engine_variables

engine, folder, job = sys.argv[1:]
program = EngineProgram(sys.executable, engine, engine_variables(os.environ))

def tell(event):
    if isinstance(event, events.Log):
        print(event.text, flush=True)

run_job(jobs.decode(job), program, JobObserver(tell, lambda: False), folder)
"""


def test_nothing_survives_a_killed_parent(tmp_path: Path, folder: Path) -> None:
    from dataclasses import replace

    from deepseg_qgis import jobs

    engine = tmp_path / "engine.py"
    engine.write_text(ENGINE)
    (folder / "annotations.gpkg").write_text("streamed")
    job = replace(JOB, output=str(tmp_path / "trace"))
    parent = subprocess.Popen(
        [sys.executable, "-I", "-c", PARENT, str(engine), str(folder), jobs.encode(job)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.Process(pid).ppid() == parent.pid
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert is_gone(pid)
    deadline = time.monotonic() + 2
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not folder.exists()
    assert (tmp_path / "trace").read_text() == "cleaned up"
