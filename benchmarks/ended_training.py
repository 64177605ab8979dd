"""What is left of a training that is killed or stopped after its first epoch.

    .venv/bin/python benchmarks/ended_training.py [--seed 1] [--count 20]

Trains a tiny model again and again in an engine of its own and ends it at a random moment after the
first epoch that was saved: by `kill -9` of the engine, and by Stop. Half of the time an older model
stands at the destination. Each time a model must open, and an older one must be as it was unless
the training ended by itself or by Stop. Ends with exit code 1 if anything was not as it must be.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from example_jobs import train_job  # noqa: E402

from deepseg_qgis import events, jobs  # noqa: E402
from deepseg_qgis.engine.models import weights  # noqa: E402
from deepseg_qgis.errors import DeepSegError  # noqa: E402

LAUNCH = ROOT / "deepseg_qgis" / "launch.py"
OLD = b"an older model"
SIDE = 96
LONGEST_S = 4.0
"""After the first epoch so long at most a run goes on undisturbed."""


def made(folder: Path) -> jobs.TrainJob:
    """Return the job of a tiny training, its raster and annotations written."""
    import geopandas

    warnings.simplefilter("ignore")
    values = np.random.default_rng(0).integers(1, 90, (1, SIDE, SIDE), dtype=np.uint8)
    squares = [shapely.box(x, y, x + 12, y + 12) for x in range(6, 80, 24) for y in (6, 40, 70)]
    for square in squares:
        x, y = (int(each) for each in square.bounds[:2])
        values[0, y : y + 12, x : x + 12] += 100
    place = Affine(0.5, 0, 5e5, 0, -0.5, 55e5)
    with rasterio.open(
        *(folder / "scene.tif", "w"),
        driver="GTiff",
        **{"count": 1, "height": SIDE, "width": SIDE, "dtype": "uint8"},
        transform=place,
        crs="EPSG:32633",
    ) as dataset:
        dataset.write(values)
    ground = [
        shapely.affinity.affine_transform(each, (0.5, 0, 0, -0.5, 5e5, 55e5)) for each in squares
    ]
    frame = geopandas.GeoDataFrame({"category": ["a"] * len(ground)}, geometry=ground, crs=32633)
    frame["source"] = None
    frame.to_file(folder / "a.gpkg", layer="features", driver="GPKG")
    wkt = frame.crs.to_wkt()
    layer = jobs.VectorSource(str(folder / "a.gpkg"), "features", "a", wkt, "category", {})
    raster = jobs.RasterSource(str(folder / "scene.tif"), "", "scene.tif")
    changes = {"epochs": 500, "tile_size_px": 32, "batch_size": 64, "output_html": None}
    return train_job(raster, layer, folder / "out", **changes)


def started(job: jobs.TrainJob, folder: Path) -> subprocess.Popen:
    """Start an engine on the job, as QGIS does."""
    file = Path(tempfile.mkdtemp(dir=folder)) / "job.json"
    file.write_text(jobs.encode(job), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-u", LAUNCH, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        text=True,
        encoding="utf-8",
    )


def until_second_epoch(process: subprocess.Popen) -> None:
    """Read what the engine says until its second epoch runs: the first one is saved then."""
    for line in process.stdout:
        if line.startswith('{"event": '):
            event = events.decode(line)
            if isinstance(event, events.Progress) and event.text.startswith("Epoch 2"):
                return
            if isinstance(event, events.Error):
                sys.exit(f"the training failed: {event.message}")


def ended(job: jobs.TrainJob, folder: Path, chance: random.Random, kill: bool) -> str:
    """End a training; return what was wrong, '' if nothing was."""
    output = Path(job.output)
    output.parent.mkdir()
    old = chance.random() < 0.5
    if old:
        output.write_bytes(OLD)
    process = started(job, folder)
    until_second_epoch(process)
    time.sleep(chance.uniform(0.0, LONGEST_S))
    if kill:
        process.kill()
    else:
        process.stdin.write("stop\n")
        process.stdin.flush()
        process.stdout.read()  # its input stays open meanwhile
    process.communicate()
    there = sorted(each for each in output.parent.iterdir() if not each.name.endswith(".part"))
    wrong = "" if not kill or not old or output.read_bytes() == OLD else "the older model is gone"
    model = output.with_name("model.unfinished.safetensors") if kill and old else output
    expected = sorted({model, *([output] if old else [])})
    if there != expected:
        wrong = (
            f"expected {[each.name for each in expected]}, found {[each.name for each in there]}"
        )
    try:
        weights.load(str(model))
    except DeepSegError as error:
        wrong = str(error)
    for each in output.parent.iterdir():
        subprocess.run(["rm", "-r", each], check=True)
    output.parent.rmdir()
    return wrong


def main() -> None:
    """End trainings and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = made(folder)
        for kind, kill in (("killed", True), ("stopped", False)):
            found = [ended(job, folder, chance, kill) for _ in range(given.count)]
            wrong += sum(map(bool, found))
            print(f"{kind} {given.count} times: a model that opens {found.count('')} times")
            print("".join(f"  {each}\n" for each in found if each), end="", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
