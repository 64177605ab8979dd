"""Measure for how long QGIS's window stands still while DeepSeg works, and who holds it up.

A timer of 20 ms beats in the main thread of a real desktop; a gap is the time between two beats
above those 20 ms. Whenever a gap exceeds 0.1 s, the main thread's Python frames are written down:
a gap is DeepSeg's if one of its files is on the stack, else QGIS's own.

    xvfb-run -a .venv/bin/python benchmarks/heartbeat.py FOLDER [idle] [plain] [batch] [model]

It needs QGIS's desktop, `make setup`, and the programs xvfb and openbox. FOLDER keeps what is made
for it, and each case's log. Printed is a line a case, and one for each gap above 0.1 s. The case
`idle` runs nothing: its gaps are those of a busy computer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASES = ("idle", "plain", "batch", "model")
START = """
import sys
sys.path.append({folder!r})
import heartbeat_desktop
heartbeat_desktop.start()
"""


def main() -> None:
    """Make a scene and a model, start QGIS with this file's other half, print what it found."""
    folder = Path(sys.argv[1]).resolve()
    if not (folder / "model.safetensors").exists():
        make_inputs(folder)
    settings = folder / "profile" / "profiles" / "default" / "QGIS"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "QGIS3.ini").write_text("[PythonPlugins]\ndeepseg_qgis=true\n")
    start = folder / "start.py"
    start.write_text(START.format(folder=str(ROOT / "benchmarks")))
    variables = {
        **os.environ,
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "QGIS_PLUGINPATH": str(ROOT / "build" / "plugins"),
        "DEEPSEG_ENGINE_PYTHON": str(ROOT / ".venv" / "bin" / "python"),
        "HEARTBEAT_FOLDER": str(folder),
        "HEARTBEAT_CASES": " ".join(sys.argv[2:] or CASES),
    }
    command = ["qgis.bin", "--nologo", "--noversioncheck", "--code", str(start)]
    window_manager = subprocess.Popen(["openbox"])
    try:
        subprocess.run(command, env=variables, check=False, timeout=600)
    finally:
        window_manager.terminate()
    print((folder / "found.txt").read_text(), end="")


def make_inputs(folder: Path) -> None:
    """Write a demo scene and a model of one epoch into the folder."""

    def run(name: str, **values: object) -> None:
        given = [f"{key}={value}" for key, value in values.items()]
        program = str(ROOT / "scripts" / "qgis_process")
        command = [program, "run", f"deepseg:{name}", "--", *given]
        subprocess.run(command, check=True, capture_output=True)

    folder.mkdir(parents=True, exist_ok=True)
    scene, annotations = folder / "scene.tif", folder / "annotations.gpkg"
    outputs = {"TRAINING_AOI": folder / "aoi.gpkg", "TEST_AOI": folder / "test.gpkg"}
    run("demoscene", SIZE=640, OUTPUT=scene, ANNOTATIONS=annotations, **outputs)
    run("train", INPUT=scene, OUTPUT=folder / "model.safetensors", **training(folder))


def training(folder: Path) -> dict[str, Any]:
    """Return the parameters of a short training."""
    return {
        "ANNOTATIONS": str(folder / "annotations.gpkg"),
        "CATEGORY_FIELD": "category",
        "AOI": str(folder / "aoi.gpkg"),
        "EPOCHS": 1,
        "TILE_SIZE": 64,
    }


if __name__ == "__main__":
    main()
