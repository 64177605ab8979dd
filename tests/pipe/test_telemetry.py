"""The engine reports to nobody, and starts no process for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deepseg_qgis import launch

CODE = """
import runpy, sys, multiprocessing
multiprocessing.Process = None
runpy.run_path(sys.argv[1])["silence_telemetry"]()
import openvino
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__)
"""


def test_openvino_does_not_report() -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-c", CODE, str(Path(launch.__file__))],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.split()[-1] == "openvino.tools.ovc.telemetry_stub"
