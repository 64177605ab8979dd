"""A few of the cases of benchmarks/fuzz_outputs.py, whose 10,000 take some minutes."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_outputs.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_outputs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_nothing_changes_that_a_run_did_not_make(fuzz):
    ended = set(fuzz.run(seed=3, cases=200))
    assert "tile: done, changed" in ended
    assert "statistics: OutputError" in ended


def test_it_would_be_seen(fuzz, monkeypatch):
    from deepseg_qgis.engine.files import outputs

    monkeypatch.setattr(outputs, "check_outputs", lambda job: None)
    with pytest.raises(AssertionError, match="changed by"):
        list(fuzz.run(seed=3, cases=200))
