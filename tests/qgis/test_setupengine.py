"""The set-up as an algorithm; what it does is tested with the pipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deepseg_qgis.processing.engine.discovery import find_engine
from qgis.core import QgsProcessingException

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the actor is a shell script")

ACTOR = """#!/bin/sh
case "$*" in
    *ensurepip*) echo '[[3, 12, 1], true, true]' ;;
    *'-m venv'*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
    *'-m pip'*) echo "Collecting torch"; PIP ;;
    *) echo '{"torch": "9.9", "device": "cpu"}' ;;
esac
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a program that acts as Python, with such a pip."""
    monkeypatch.setenv("DEEPSEG_ENGINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEEPSEG_ENGINE_PYTHON")

    def write(pip: str) -> str:
        path = tmp_path / "python3"
        path.write_text(ACTOR.replace("PIP", pip))
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def set_up(application: Any, feedback: Any) -> Callable[..., dict[str, Any]]:
    def run(**parameters: Any) -> dict[str, Any]:
        import processing

        results: dict[str, Any] = processing.run(
            "deepseg:setupengine", parameters, feedback=feedback
        )
        return results

    return run


def test_the_engine_is_used_from_then_on(
    python: Callable[[str], str], set_up: Run, feedback: Any, tmp_path: Path
) -> None:
    results = set_up(PYTHON=python("true"))
    assert Path(results["ENGINE_PYTHON"]).is_relative_to(tmp_path / "home")
    assert "torch 9.9" in results["REPORT"]
    assert find_engine().python == results["ENGINE_PYTHON"]
    assert "Collecting torch" in feedback.all("info")


def test_a_gpu_that_is_not_found_is_mentioned(
    python: Callable[[str], str], set_up: Run, feedback: Any
) -> None:
    set_up(PYTHON=python("true"), ACCELERATOR="cuda")
    assert any("no NVIDIA GPU" in text for text in feedback.all("warning"))


def test_a_failure_is_one_message(python: Callable[[str], str], set_up: Run) -> None:
    with pytest.raises(QgsProcessingException, match="HTTPS_PROXY"):
        set_up(PYTHON=python("echo 'Network is unreachable'; exit 1"))


def test_a_python_that_does_not_suit_is_refused(set_up: Run, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("")
    with pytest.raises(QgsProcessingException, match=r"Python 3\.10 or newer"):
        set_up(PYTHON=str(tmp_path / "python"))
