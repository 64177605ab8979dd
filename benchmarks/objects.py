"""Train and test on objects that touch, through QGIS: how many are found, and how well.

One data set at a time, once for each seed, with DeepSeg's defaults (20 epochs, from scratch). The
test ground is never seen in training; thresholds and the rule that tells objects apart come from
the validation areas alone. With --semantic the task is 'semantic' instead, whose objects are
connected ground.

    .venv/bin/python benchmarks/objects.py banepa ../shared/data/banepa
    .venv/bin/python benchmarks/objects.py banepa ../shared/data/banepa --semantic
    .venv/bin/python benchmarks/objects.py nuclei ../shared/data/nuclei
    .venv/bin/python benchmarks/objects.py denmark ../shared/data/denmark
    .venv/bin/python benchmarks/objects.py demoscene build/objects/demoscene
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from held_out import ROOT, run

SCORES = ("f1", "count_error", "mean_iou", "ap50", "pq", "pq_things", "pq_stuff")


@dataclass
class Data:
    """What is trained and tested on; ``split`` is how much of the raster is for training.

    Along columns, or with ``rows`` along rows; None where the areas come with the data.
    """

    raster: Path
    annotations: Path
    split: float | None
    rows: bool = False
    train: dict[str, object] = field(default_factory=dict)
    category_field: str | None = None


def data_sets(name: str, folder: Path) -> Data:
    """Return a data set by its name."""
    if name == "banepa":  # the eastern quarter is for testing
        return Data(folder / "scene.tif", folder / "buildings.gpkg", 0.75)
    if name == "nuclei":  # the last two of six rows of source images
        return Data(folder / "train_image.tif", folder / "train_nuclei.gpkg", 4 / 6, rows=True)
    if name == "denmark":  # the eastern quarter; what covers ground without being counted is stuff
        stuff = {"TASK": "panoptic", "STUFF_CATEGORIES": "grass,trees,other"}
        return Data(
            folder / "RGB_small.tif", folder / "fields_grouped.gpkg", 0.75, False, stuff, "group"
        )
    folder.mkdir(parents=True, exist_ok=True)
    scene = Data(folder / "scene.tif", folder / "annotations.gpkg", None)
    scene.category_field = "category"
    if not scene.raster.exists():
        run(
            "demoscene",
            SIZE=2048,
            TOUCHING="true",
            OUTPUT=scene.raster,
            ANNOTATIONS=scene.annotations,
            TRAINING_AOI=folder / "train.gpkg",
            TEST_AOI=folder / "test.gpkg",
        )
    return scene


def areas(data: Data, folder: Path) -> tuple[Path, Path]:
    """Return layers of the ground for training and for testing, written if need be."""
    if data.split is None:
        return data.raster.parent / "train.gpkg", data.raster.parent / "test.gpkg"
    with rasterio.open(data.raster) as dataset:
        height, width, transform, crs = (
            dataset.height,
            dataset.width,
            dataset.transform,
            dataset.crs,
        )
    if data.rows:
        edge = round(height * data.split)
        boxes = (0, 0, width, edge), (0, edge, width, height)
    else:
        edge = round(width * data.split)
        boxes = (0, 0, edge, height), (edge, 0, width, height)
    paths = []
    for name, (left, top, right, bottom) in zip(("train", "test"), boxes, strict=True):
        corners = [transform * place for place in ((left, top), (right, bottom))]
        (west, north), (east, south) = corners
        shape = shapely.box(min(west, east), min(south, north), max(west, east), max(south, north))
        path = folder / f"{name}.gpkg"
        geopandas.GeoDataFrame(geometry=[shape], crs=crs).to_file(path)
        paths.append(path)
    return paths[0], paths[1]


def trained_and_tested(
    data: Data, folder: Path, seed: int, wanted: argparse.Namespace, **more: object
) -> dict[str, float]:
    """Train one model and return its scores on the test ground."""
    train, test = areas(data, folder)
    task = str(more.get("TASK", data.train.get("TASK", "auto")))
    model = folder / f"{wanted.name}_{task}_{seed}.safetensors"
    layers = {
        "INPUT": data.raster,
        "ANNOTATIONS": data.annotations,
        "CATEGORY_FIELD": data.category_field,
    }
    given = {**data.train, **more, "EPOCHS": wanted.epochs, "SEED": seed}
    report = model.with_suffix(".train.html")
    run("train", **layers, AOI=train, **given, OUTPUT=model, OUTPUT_HTML=report)
    path = model.with_suffix(".json")
    html = model.with_suffix(".html")
    run("evaluate", **layers, MODEL=model, AOI=test, OUTPUT_JSON=path, OUTPUT_HTML=html)
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    """Train and test once for each seed, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("banepa", "nuclei", "denmark", "demoscene"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--semantic", action="store_true")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "objects")
    wanted = parser.parse_args()
    folder = wanted.folder.resolve() / wanted.name
    folder.mkdir(parents=True, exist_ok=True)
    data = data_sets(wanted.name, wanted.data.resolve())
    more = {"TASK": "semantic", "STUFF_CATEGORIES": None} if wanted.semantic else {}
    name = more.get("TASK", data.train.get("TASK", "auto"))
    found: dict[str, list[float]] = {}
    for seed in wanted.seeds:
        started = time.monotonic()
        values = trained_and_tested(data, folder, seed, wanted, **more)
        known = {key: values[key] for key in SCORES if values.get(key) is not None}
        text = ", ".join(f"{key} {value:.3f}" for key, value in known.items())
        print(
            f"{wanted.name}, task {name}, seed {seed}: {text}; {values['reference_count']} "
            f"objects, {values['predicted_count']} found ({time.monotonic() - started:.0f} s)",
            flush=True,
        )
        for key, value in known.items():
            found.setdefault(key, []).append(value)
    means = ", ".join(
        f"{key} {np.mean(each):.3f} ± {np.ptp(each) / 2:.3f}" for key, each in found.items()
    )
    print(f"{wanted.name}, task {name}: {means}", flush=True)


if __name__ == "__main__":
    main()
