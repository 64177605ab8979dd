"""Train on the western three quarters of a scene, test on the eastern quarter, through QGIS.

Runs `deepseg:train` and `deepseg:evaluate` by scripts/qgis_process, once for each seed, and prints
the mean pixel IoU and the object scores on the test quarter. With --reference it also runs
benchmarks/reference_train.py with the same seeds and number of pixels seen.

    .venv/bin/python benchmarks/held_out.py SCENE.tif POLYGONS.gpkg --seeds 0 1 2 --reference
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely

ROOT = Path(__file__).resolve().parents[1]
SCORES = ("mean_iou", "ap50", "f1", "precision", "recall")


def areas(scene: Path, folder: Path) -> tuple[Path, Path]:
    """Write the western three quarters and the eastern quarter as layers; return their paths."""
    with rasterio.open(scene) as dataset:
        left, bottom, right, top = dataset.bounds
        crs = dataset.crs
    edge = left + (right - left) * 0.75
    paths = []
    for name, box in (
        ("west", shapely.box(left, bottom, edge, top)),
        ("east", shapely.box(edge, bottom, right, top)),
    ):
        path = folder / f"{name}.gpkg"
        geopandas.GeoDataFrame(geometry=[box], crs=crs).to_file(path)
        paths.append(path)
    return paths[0], paths[1]


def run(algorithm: str, **parameters: object) -> None:
    """Run an algorithm of DeepSeg; its log goes to standard error."""
    values = [f"{name}={value}" for name, value in parameters.items() if value is not None]
    command = [ROOT / "scripts" / "qgis_process", "run", f"deepseg:{algorithm}", "--", *values]
    subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> None:
    """Train and test once for each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("polygons", type=Path)
    parser.add_argument("--field")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "held_out")
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="the reference trains in bfloat16 too")
    wanted = parser.parse_args()
    folder = wanted.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    scene, polygons = wanted.scene.resolve(), wanted.polygons.resolve()
    west, east = areas(scene, folder)
    found = []
    for seed in wanted.seeds:
        started = time.monotonic()
        data = {"INPUT": scene, "ANNOTATIONS": polygons, "CATEGORY_FIELD": wanted.field}
        model = folder / f"{scene.parent.name}_{seed}.safetensors"
        run(
            "train",
            **data,
            AOI=west,
            EPOCHS=wanted.epochs,
            SEED=seed,
            OUTPUT=model,
            OUTPUT_HTML=model.with_suffix(".train.html"),
        )
        scores = model.with_suffix(".json")
        run(
            "evaluate",
            **data,
            MODEL=model,
            AOI=east,
            OUTPUT_JSON=scores,
            OUTPUT_HTML=model.with_suffix(".html"),
        )
        values = json.loads(scores.read_text(encoding="utf-8"))
        found.append(values["mean_iou"])
        text = ", ".join(f"{name} {values[name]:.4f}" for name in SCORES)
        print(f"deepseg seed {seed}: {text} ({time.monotonic() - started:.0f} s)", flush=True)
    print(
        f"deepseg mean IoU over seeds: {np.mean(found):.4f}, spread {np.ptp(found):.4f}", flush=True
    )
    if wanted.reference:
        seeds = [str(seed) for seed in wanted.seeds]
        command = [sys.executable, ROOT / "benchmarks" / "reference_train.py", scene, polygons]
        precision = ["--bf16"] if wanted.bf16 else []
        epochs = ["--epochs", str(wanted.epochs)]
        subprocess.run([*command, *precision, *epochs, "--seeds", *seeds], check=True)


if __name__ == "__main__":
    main()
