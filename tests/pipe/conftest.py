"""Fixtures for the tests of the pipe: small engines, written as programs."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.environment import engine_variables

from deepseg_qgis import events, jobs

JOB = jobs.DemoSceneJob(64, 1, True, "/t/s.tif", "/t/a.gpkg", "/t/r.gpkg", "/t/e.gpkg")

START = (
    f"""
CONTRACT = {events.CONTRACT_VERSION}
"""
    """
import json, os, signal, subprocess, sys, time

def say(event, **content):
    print(json.dumps({"event": event, **content}), flush=True)

def hello(contract=CONTRACT):
    say("hello", contract=contract, engine="test", python="3")

def result(partial=False, **values):
    say("result", values=values, partial=partial)

"""
)


@dataclass
class Heard:
    """Everything that the client relayed, and when to stop."""

    events: list[events.Event] = field(default_factory=list)
    stop_after: int | None = None

    @property
    def stop(self) -> bool:
        return self.stop_after is not None and len(self.texts) >= self.stop_after

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, events.Log)]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The private folder of a job."""
    folder = tmp_path / "deepseg-job"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., EngineProgram]:
    """Write an engine; it greets, then does what ``code`` says."""

    def write(
        code: str, *, greets: bool = True, variables: Mapping[str, str] = os.environ
    ) -> EngineProgram:
        path = tmp_path / "engine.py"
        greeting = "hello()\n" if greets else ""
        path.write_text(START + greeting + textwrap.dedent(code), encoding="utf-8")
        return EngineProgram(sys.executable, str(path), engine_variables(variables))

    return write


@pytest.fixture
def ask(
    program: Callable[..., EngineProgram], heard: Heard, folder: Path
) -> Callable[..., events.Result]:
    """Run a job in an engine of such code."""

    def run(code: str, *, grace: float = 20.0, **options: object) -> events.Result:
        listener = JobObserver(heard.events.append, lambda: heard.stop, grace)
        return run_job(JOB, program(code, **options), listener, str(folder))

    return run
