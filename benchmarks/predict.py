"""Prediction from end to end: beside the network's raw speed, and beside a plain script.

    .venv/bin/python benchmarks/predict.py SCENE.tif MODEL.safetensors [--rounds 2] [--reference]

Each round runs, in turn: the raw network (benchmarks/inference.py), `deepseg:predict` with
its defaults through scripts/qgis_process, from the start of QGIS to GeoJSON on disk, and with
--reference benchmarks/reference_predict.py. Prints million pixels a second (useful ones of the
raster; for the raw network all that it is run on), the peak RSS of the engine and its children
together, and the ratios of the medians.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import inference
import numpy as np
import psutil
import rasterio

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.files.rasters import Pixels, Raster  # noqa: E402
from deepseg_qgis.engine.geometry.areas import Area, box  # noqa: E402
from deepseg_qgis.engine.inference.model_predictor import (  # noqa: E402
    PredictionSettings,
    model_predictor,
)
from deepseg_qgis.engine.models import model_file  # noqa: E402
from deepseg_qgis.jobs import RasterSource  # noqa: E402

WATCH_S = 0.05


def raw(scene: str, model: str) -> float:
    """Print million pixels a second of the network alone; run in a process of its own."""
    with Raster(RasterSource(scene, "", "scene")) as raster:
        file = model_file.read(model)
        prepared = model_predictor(file, PredictionSettings(), Control()).prepare(
            raster, Area(box(raster.grid.window))
        )
        layout, session = prepared.layout, prepared.session
        shape = (layout.height, layout.width)
        values = np.random.default_rng(0).integers(0, 255, (raster.bands, *shape))
        window = Pixels(values.astype(raster.dtype), np.ones(shape, dtype=bool))
        return inference.raw(session, [window] * session.batch_size)


def deepseg(scene: str, model: str, folder: Path) -> tuple[float, int]:
    """Return the seconds of `deepseg:predict`, QGIS's start included, and its engine's peak RSS."""
    output = folder / "polygons.geojson"
    command = [
        str(ROOT / "scripts" / "qgis_process"),
        *("run", "deepseg:predict", "--", f"INPUT={scene}", f"MODEL={model}", f"OUTPUT={output}"),
    ]
    start = time.perf_counter()
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        peak = 0
        while process.poll() is None:
            peak = max(peak, engine_bytes(process.pid))
            time.sleep(WATCH_S)
    seconds = time.perf_counter() - start
    if process.returncode != 0 or not output.exists():
        sys.exit((folder / "log.txt").read_text(encoding="utf-8"))
    return seconds, peak


def engine_bytes(pid: int) -> int:
    """Return the RSS of the engine under a process, with its children; 0 while there is none."""
    total = 0
    try:
        for child in psutil.Process(pid).children(recursive=True):
            if any("launch.py" in part for part in child.cmdline()):
                total += child.memory_info().rss
    except psutil.Error:
        return 0
    return total


def plain(scene: str, model: str, folder: Path) -> float:
    """Return the seconds of the plain script, its export of the model not counted."""
    script = Path(__file__).with_name("reference_predict.py")
    done = subprocess.run(
        [sys.executable, script, scene, model, folder / "plain.geojson"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    print(done.stdout.rstrip(), file=sys.stderr)
    found = re.search(r"total ([0-9.]+) s", done.stdout)
    assert found
    return float(found[1])


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--raw-only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.raw_only:
        print(raw(given.scene, given.model))
        return
    with rasterio.open(given.scene) as dataset:
        pixels = dataset.width * dataset.height / 1e6
    raws, ours, plains, peaks = [], [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deepseg(given.scene, given.model, folder)  # the model's conversion, once
        for _ in range(given.rounds):
            command = [sys.executable, __file__, given.scene, given.model, "--raw-only"]
            raws.append(float(subprocess.check_output(command, text=True).split()[-1]))
            seconds, peak = deepseg(given.scene, given.model, folder)
            ours.append(pixels / seconds)
            peaks.append(peak)
            if given.reference:
                plains.append(pixels / plain(given.scene, given.model, folder))
            print(
                f"raw {raws[-1]:.2f}, deepseg:predict {ours[-1]:.2f}"
                + (f", plain {plains[-1]:.2f}" if plains else "")
                + f" Mpx/s; peak {peaks[-1] / 1e6:.0f} MB",
                flush=True,
            )
    print(f"end to end / raw: {statistics.median(ours) / statistics.median(raws):.2f}")
    if plains:
        print(f"end to end / plain: {statistics.median(ours) / statistics.median(plains):.2f}")


if __name__ == "__main__":
    main()
