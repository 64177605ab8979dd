"""Fuzz the readers of model files, rasters, polygons, and what probability rasters say.

    .venv/bin/python benchmarks/fuzz_files.py models --seed 1 --seconds 600
    .venv/bin/python benchmarks/fuzz_files.py rasters --seed 1 --seconds 600
    .venv/bin/python benchmarks/fuzz_files.py layouts --seed 1 --seconds 600
    .venv/bin/python benchmarks/fuzz_files.py tags --seed 1 --seconds 600
    .venv/bin/python benchmarks/fuzz_files.py vectors --seed 1 --seconds 600

Good files are damaged as in fuzz_coco.py and fuzz_vectors.py; layouts are good files of every kind
that GDAL writes (raster_layouts.py), which algorithms are run on. Each must be read rightly or end
in one of DeepSeg's own errors, soon and in little memory. Each 200 cases run in a process of their
own, so that a crash of a library counts too. At the end: cases, how they ended, and the peak of
memory.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rasterio
from fuzz_coco import damaged_bytes, damaged_tree

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from example_jobs import train_job

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.engine.models.model_card import from_json, to_json
from deepseg_qgis.engine.prediction import prediction_tags
from deepseg_qgis.engine.run import VERBS
from deepseg_qgis.errors import DeepSegError
from deepseg_qgis.jobs import RasterSource

CASES = 200
TRAINED = 0.03
"""Of the layouts so many are trained on, evaluated and predicted on."""
MOST_PX = 4096
MOST_SECONDS = 20.0
MOST_MB = 1000.0
"""A case may not take more, of the processor's time; a batch of them gets 300 s by the clock."""
CARD = {
    "format_version": 1,
    "architecture": "linknet",
    "encoder": "mobilenet_v2",
    "task": "panoptic",
    "countable": [True, False],
    "depths": [30, 0],
    "least_px": [40, 0],
    "smoothing_px": 2.5,
    "categories": [{"name": "house", "colour": "#aa0000"}, {"name": "road", "colour": "#00aa00"}],
    "band_names": ["red", "green", "blue"],
    "dtype": "uint8",
    "resolution_m": 0.2,
    "mean": [100.0, 100.0, 100.0],
    "std": [50.0, 50.0, 50.0],
    "tile_size_px": 256,
    "thresholds": [0.5, 0.4],
    "validation_score": 0.7,
    "validation_iou": [0.7, None],
    "footprint": [{"raster": "a.tif", "crs": "", "area": {"type": "Polygon", "coordinates": []}}],
    "data": [],
    "training": {"epochs": 3},
    "history": [{"epoch": 1}],
    "versions": {"torch": "2"},
}


def models(folder: Path) -> Callable[[random.Random, Path], None]:
    """Return what damages and reads a model file."""
    from deepseg_qgis.engine.models import networks, weights

    card = from_json(json.dumps(CARD))
    network = networks.build(card.design, 3, 2, objects=card.legend.has_objects)
    good = folder / "good.safetensors"
    weights.save(str(good), network.state_dict(), card)
    content = good.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]

    def case(rng: random.Random, path: Path) -> None:
        tree = damaged_tree(header, rng) if rng.random() < 0.4 else header
        if rng.random() < 0.6 and isinstance(tree.get("__metadata__"), dict):
            text = json.dumps(damaged_tree(CARD, rng))
            tree = {**tree, "__metadata__": {"deepseg": text}}
        raw = json.dumps(tree).encode("utf-8", "replace")
        if rng.random() < 0.2:
            raw = damaged_bytes(raw, rng)
        size = len(raw) if rng.random() < 0.9 else rng.choice([0, 2**31, 2**63, len(raw) + 9])
        cut = len(tensors) if rng.random() < 0.9 else rng.randrange(len(tensors))
        path.write_bytes(struct.pack("<Q", size) + raw + tensors[:cut])
        to_json(model_file.read(str(path)).card)
        weights.load(str(path))

    return case


def rasters(folder: Path) -> Callable[[random.Random, Path], None]:
    """Return what damages and reads small rasters of several formats."""
    image = np.random.default_rng(0).integers(0, 255, (3, 64, 64), dtype=np.uint8)
    good = []
    for driver, options in (
        ("GTiff", {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}),
        ("GTiff", {"compress": "lzw", "nodata": 0}),
        ("PNG", {}),
        ("JPEG", {}),
        ("JP2OpenJPEG", {}),
        ("BMP", {}),
    ):
        path = folder / f"good{len(good)}"
        profile = {"driver": driver, "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
        with rasterio.open(path, "w", **profile, **options) as dataset:
            dataset.write(image)
        good.append(path.read_bytes())
    vrt = (
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">'
        "<SimpleSource><SourceFilename>good0</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    good.append(vrt.encode())

    def case(rng: random.Random, path: Path) -> None:
        path.write_bytes(damaged_bytes(rng.choice(good), rng))
        with Raster(RasterSource(str(path), "", "fuzz")) as raster:
            size = min(raster.grid.height, MOST_PX), min(raster.grid.width, MOST_PX)
            pixels = raster.read(Window(0, 0, *size))
            assert pixels.values.shape == (raster.bands, *size)

    return case


def layouts(folder: Path) -> Callable[[random.Random, Path], None]:
    """Return what makes a raster of any kind and runs algorithms on it."""
    import raster_layouts

    def case(rng: random.Random, path: Path) -> None:
        shutil.rmtree(path.with_name("made"), ignore_errors=True)
        place = path.with_name("made")
        place.mkdir()
        made = raster_layouts.make(rng, place)
        if made is None:
            return
        try:
            run_all(RasterSource(str(made[1]), "", "made"), folder, train=rng.random() < TRAINED)
        except DeepSegError:
            raise
        except Exception as error:
            raise RuntimeError(made[0]) from error

    return case


def run_all(raster: RasterSource, folder: Path, train: bool) -> None:
    """Run algorithms on a raster; only what all of them refuse is an error of DeepSeg's."""
    refused = []
    for job in jobs_on(raster, folder, train):
        verb = importlib.import_module(f"{VERBS}.{job.verb}")
        try:
            verb.run(job, Control())
        except DeepSegError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def jobs_on(raster: RasterSource, folder: Path, train: bool) -> Iterator[jobs.Job]:
    """Yield jobs that take the raster, each after the one before it was done."""
    tiles = folder / "tiles.gpkg"
    yield jobs.TileJob(raster, 2, 2, 256, 0, None, None, str(tiles), None)
    yield jobs.ImportAnnotationsJob(
        (), "label_raster", raster.path, "auto", None, str(folder / "labels.geojson")
    )
    if not train or not tiles.exists():
        return
    layer = jobs.VectorSource(str(tiles), "tiles", "tiles", "", "row", {})
    model = str(folder / "model.safetensors")
    short = {"task": "semantic", "epochs": 1, "batch_size": 2, "encoder_weights": "none"}
    yield train_job(
        raster, layer, folder, **short, output=model, output_html=str(folder / "training.html")
    )
    if not Path(model).exists():
        return
    yield jobs.EvaluateJob(
        (raster,), model, layer, None, None, 0.5, "cpu", None, str(folder / "scores.html")
    )
    yield jobs.PredictJob(
        (raster,), model, None, None, False, None, None, None, 0.0, 1.0, "plain", None, "auto",
        "cpu", False, str(folder / "found.geojson"), str(folder / "classes.tif"),
        str(folder / "probabilities.tif"), str(folder / "found.json"), None,
    )  # fmt: skip


def tags(_folder: Path) -> Callable[[random.Random, Path], None]:
    """Return what damages and reads the tags of a raster of probabilities."""
    good = {"CARD": json.dumps(CARD), "THRESHOLDS": "[0.5, 0.4]", "SOURCE": "a", "AOI_M2": "1.5"}

    def case(rng: random.Random, _path: Path) -> None:
        tree = damaged_tree(good, rng)
        if rng.random() < 0.7:
            tree["CARD"] = json.dumps(damaged_tree(CARD, rng))
        prediction_tags.from_tags({key: str(value) for key, value in tree.items()}, "a.tif")

    return case


def vectors(folder: Path) -> Callable[[random.Random, Path], None]:
    """Return what makes, damages and reads layers of polygons."""
    import fuzz_vectors

    return fuzz_vectors.made(folder)


def batch(what: str, seed: int, until: float, answer: multiprocessing.Queue) -> None:
    """Run some cases in this process."""
    ended: Counter[str] = Counter()
    failures = []
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = KINDS[what](folder)
        for number in range(CASES):
            if time.monotonic() > until:
                break
            started, before = time.process_time(), peak_mb()
            try:
                case(random.Random(f"{seed} {number}"), folder / "case")
                check_cost(time.process_time() - started, peak_mb() - before)
                ended["read"] += 1
            except DeepSegError as error:
                ended[type(error).__name__] += 1
            except Exception:  # noqa: BLE001 - that is what is looked for
                ended["FAILED"] += 1
                failures.append(f"seed {seed}, case {number}\n{traceback.format_exc()}")
    answer.put((dict(ended), failures[:3], peak_mb()))


def peak_mb() -> float:
    """Return the most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def check_cost(seconds: float, more_mb: float) -> None:
    """Check that a small file neither hung nor took the memory of a large one."""
    if seconds > MOST_SECONDS or more_mb > MOST_MB:
        raise RuntimeError(f"took {seconds:.1f} s and {more_mb:.0f} MB")


KINDS = {
    "models": models,
    "rasters": rasters,
    "layouts": layouts,
    "tags": tags,
    "vectors": vectors,
}


def main() -> None:
    """Run batch after batch and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    until = time.monotonic() + given.seconds
    ended: Counter[str] = Counter()
    peak, number = 0.0, 0
    while time.monotonic() < until:
        answer = context.Queue()
        seed = given.seed * 1_000_000 + number
        child = context.Process(target=batch, args=(given.what, seed, until, answer))
        child.start()
        try:
            found, failures, high = answer.get(timeout=300)
        except Exception:  # noqa: BLE001 - the child died or hangs
            found, failures, high = {"CRASHED": 1}, [f"seed {seed} crashed or hung"], 0.0
            child.kill()
        child.join()
        ended.update(found)
        peak = max(peak, high)
        number += 1
        for failure in failures:
            print(failure, flush=True)
    print(f"{sum(ended.values()):,} cases: {dict(ended)}; peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
