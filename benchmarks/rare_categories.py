"""Whether categories of 1:10, 1:100 and 1:1000 of the most frequent one's ground are found.

Makes two scenes of noisy ground: in the west fields, and among them sheds, wells and masts with
1:10, 1:100 and 1:1000 of the fields' ground; in the east nothing but look-alikes of the small
ones, half as wide, that are not annotated. Trains on one scene with each kind of sampling and
weighting, and prints the IoU of each category on the other one, four times as large, and how much
background is taken for a category.

    .venv/bin/python benchmarks/rare_categories.py [--side 1536] [--epochs 8] [--seeds 1]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from example_jobs import evaluate_job, train_job  # noqa: E402

from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.learning import object_sampler, training_window  # noqa: E402
from deepseg_qgis.engine.verbs import evaluate, train  # noqa: E402
from deepseg_qgis.jobs import RasterSource, VectorSource  # noqa: E402

KINDS = {
    "field": (96, (150, 120, 80), 1.0),
    "shed": (24, (170, 130, 110), 0.1),
    "well": (14, (110, 120, 140), 0.01),
    "mast": (8, (165, 150, 140), 0.001),
}
"""Of each category: the side in px, the colour, and its ground as a share of the fields'."""
GROUND = (105, 120, 80)
NOISE = 15.0
FIELDS = 0.33
CRS = "EPSG:32633"
PLACE = Affine(0.5, 0.0, 5e5, 0.0, -0.5, 55e5)


def scene(side: int, seed: int) -> tuple[NDArray[np.uint8], list[tuple[str, shapely.Polygon]]]:
    """Return a picture (3, side, side) and its annotations; the eastern half is empty ground."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0.0, 14.0, (side // 16 + 1, side // 16 + 1)).repeat(16, 0).repeat(16, 1)
    image = np.array(GROUND, dtype=np.float32)[:, None, None] + coarse[None, :side, :side]
    fields_px = FIELDS * side**2
    annotations = []
    for name, (size, colour, share) in KINDS.items():
        count = round(share * fields_px / size**2)
        for number in range(count if name == "field" else 2 * count):
            decoy = number >= count  # of the same colour, but half as wide
            width, west, east = (size // 2, side // 2, side) if decoy else (size, 0, side // 2)
            row = int(rng.integers(side - size))
            column = int(rng.integers(west, east - size))
            image[:, row : row + size, column : column + width] = np.array(colour)[:, None, None]
            if not decoy:
                outline = shapely.box(column, row, column + width, row + size)
                annotations.append((name, outline))
    image += rng.normal(0.0, NOISE, image.shape)
    return image.clip(1, 255).astype(np.uint8), annotations


def written(folder: Path, name: str, side: int, seed: int) -> tuple[RasterSource, VectorSource]:
    """Write a scene; return its raster and its annotations."""
    image, annotations = scene(side, seed)
    path, layer = folder / f"{name}.tif", folder / f"{name}.gpkg"
    size = {"count": 3, "height": side, "width": side, "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", transform=PLACE, crs=CRS, **size) as file:
        file.write(image)
    a, _, c, _, e, f = PLACE[:6]
    shapes = [
        shapely.affinity.affine_transform(each, (a, 0, 0, e, c, f)) for _, each in annotations
    ]
    names = [each for each, _ in annotations]
    frame = geopandas.GeoDataFrame({"category": names, "source": None}, geometry=shapes, crs=CRS)
    frame.to_file(layer, layer="features")
    source = VectorSource(str(layer), "features", name, frame.crs.to_wkt(), "category", {})
    return RasterSource(str(path), "", name), source


def area(folder: Path, side: int) -> VectorSource:
    """Write the whole ground of a scene as an area of interest."""
    east, south = PLACE * (side, side)
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(PLACE.c, south, east, PLACE.f)], crs=CRS)
    frame = frame.assign(category=None, source=None)
    path = folder / f"area_{side}.gpkg"
    frame.to_file(path, layer="features")
    return VectorSource(str(path), "features", "area", frame.crs.to_wkt(), None, {})


VARIANTS = {
    "evenly": (0.0, 0.5, "none"),
    "evenly, weighted": (0.0, 0.5, "auto"),
    "objects": (0.5, 0.5, "none"),
    "objects, weighted": (0.5, 0.5, "auto"),
    "objects as they are": (0.5, 1.0, "none"),
    "objects all alike": (0.5, 0.0, "none"),
}
"""How the windows are drawn: the share around objects, the power of the categories' shares; and
the class weighting."""


class Data:
    """The scene to learn from and the one to test on."""

    def __init__(self, folder: Path, side: int) -> None:
        self.raster, self.annotations = written(folder, "learn", side, seed=1)
        self.test_raster, self.test_annotations = written(folder, "test", 2 * side, seed=2)
        self.aoi, self.test_aoi = area(folder, side), area(folder, 2 * side)


def scores_of(data: Data, folder: Path, variant: str, epochs: int, seed: int) -> dict[str, float]:
    """Train and test; return the scores."""
    share, temper, weighting = VARIANTS[variant]
    training_window.OBJECT_SHARE, object_sampler.TEMPER = share, temper
    job = train_job(
        data.raster,
        data.annotations,
        folder,
        aoi=data.aoi,
        validation_fraction=0.2,
        task="semantic",
        class_weighting=weighting,
        epochs=epochs,
        learning_rate=2e-3,
        seed=seed,
        output_html=None,
    )
    started = time.process_time()
    train.run(job, Control())
    seconds = time.process_time() - started
    test = evaluate_job(data.test_raster, job.output, data.test_annotations, folder)
    evaluate.run(replace(test, aoi=data.test_aoi, output_html=None), Control())
    found = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    scores = {each["name"]: each["iou"] or 0.0 for each in found["categories"]}
    ground, *taken = found["confusion"]["matrix"][0]
    return scores | {"false": 1e6 * sum(taken) / (ground + sum(taken)), "seconds": seconds}


def main() -> None:
    """Train and test each variant, with each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1536)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Data(folder, wanted.side)
        for variant in wanted.variants:
            for seed in wanted.seeds:
                scores = scores_of(data, folder, variant, wanted.epochs, seed)
                text = ", ".join(f"{kind} {scores[kind]:.3f}" for kind in KINDS)
                print(
                    f"{variant}, seed {seed}: IoU {text}; {scores['false']:,.0f} of 1 M background "
                    f"pixels taken for something; {scores['seconds']:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
