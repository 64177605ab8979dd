"""Whether objects of every size are found: pebbles that touch, from 50 to 4,000 px.

Makes two pictures of pebbles on gravel, trains on one and tests on the other, with the raster as it
is and magnified. Prints F1, the AP of small, medium and large objects (COCO's ranges), the share of
objects found in each fifth of the sizes, and the processor time of the training. With a raster,
its annotations, an area to train on and one to test on it does the same on real ground.

    .venv/bin/python benchmarks/object_sizes.py [--epochs 4] [--seeds 1] [--only magnified]
    .venv/bin/python benchmarks/object_sizes.py --real RASTER ANNOTATIONS TRAIN TEST
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pyproj
import rasterio
import rasterio.features
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from example_jobs import evaluate_job, predict_job, train_job  # noqa: E402

from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.learning import object_sizes  # noqa: E402
from deepseg_qgis.engine.verbs import evaluate, predict, train  # noqa: E402
from deepseg_qgis.jobs import RasterSource, VectorSource  # noqa: E402

RADII_PX = (4.0, 9.3, 36.0)
"""Of the smallest, the median and the largest pebble."""
SPREAD = 0.65
"""Standard deviation of a radius's logarithm."""
SCORES = ("f1", "ap50", "ap_small", "ap_medium", "ap_large", "precision", "recall", "mean_iou")
WAYS = ("plain", "magnified")
RADIUS_PX = object_sizes.SMALL_RADIUS_PX
CRS = "EPSG:32633"
PLACE = Affine(0.5, 0.0, 5e5, 0.0, -0.5, 55e5)


def pebbles(side: int, rng: np.random.Generator) -> list[shapely.Polygon]:
    """Return pebbles in px, the largest first, most of them touching one that was there before."""
    least, median, most = RADII_PX
    count = round(0.75 * side**2 / (np.pi * median**2 * np.exp(2 * SPREAD**2)))
    radii = np.sort(median * np.exp(rng.normal(0.0, SPREAD, count)).clip(least / median))[::-1]
    rows, columns = np.indices((side, side)) + 0.5
    room = np.minimum.reduce([rows, columns, side - rows, side - columns])
    outlines = []
    angles = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)
    for radius in np.minimum(radii, most):
        place = np.flatnonzero((room >= radius) & (room < radius + 1.5))
        if not len(place):
            continue
        row, column = np.unravel_index(rng.choice(place), room.shape)
        waves = sum(rng.normal(0, 0.07) * np.cos(k * angles + rng.uniform(0, 7)) for k in (2, 3, 4))
        along = radius * (0.95 + waves).clip(0.7, 1.0)
        outline = np.stack([column + along * np.cos(angles), row + along * np.sin(angles)], axis=1)
        outlines.append(shapely.Polygon(outline))
        room = np.minimum(room, np.hypot(rows - row - 0.5, columns - column - 0.5) - radius)
    return outlines


def picture(
    outlines: list[shapely.Polygon], side: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return (3, side, side): rounded pebbles of any grey on gravel as rough as they are."""
    numbers = rasterio.features.rasterize(
        [(each, i + 1) for i, each in enumerate(outlines)], (side, side), dtype=np.int32
    )
    grain = sum(
        weight * ndimage.gaussian_filter(rng.normal(0, size, (side, side)), size)
        for size, weight in ((1.0, 30.0), (3.0, 25.0))
    )
    inside = numbers > 0
    depth = ndimage.distance_transform_edt(inside & ~_borders(numbers))
    greys = np.append(0.0, rng.normal(118.0, 26.0, len(outlines)))[numbers]
    value = np.where(inside, greys - 35.0 * np.exp(-depth / 2.0), 95.0) + grain
    tint = np.append(0.0, rng.normal(0.0, 6.0, len(outlines)))[numbers]
    bands = np.stack([value + tint, value, value - tint]) + rng.normal(0.0, 6.0, (3, side, side))
    return bands.clip(1, 255).astype(np.uint8)


def _borders(numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    found = np.zeros(numbers.shape, dtype=bool)
    for axis in (0, 1):
        found |= numbers != np.roll(numbers, 1, axis)
    return found


def layer(path: Path) -> VectorSource:
    """Return a file of polygons as the dialog would send it."""
    info = pyogrio.read_info(path)
    crs = pyproj.CRS(info["crs"]).to_wkt() if info["crs"] else ""
    return VectorSource(str(path), info["layer_name"], path.stem, crs, None, {})


def annotations(path: Path, given: geopandas.GeoDataFrame) -> VectorSource:
    """Return polygons as annotations of one category."""
    fields = {"category": [None] * len(given), "source": [None] * len(given)}
    given = geopandas.GeoDataFrame(fields, geometry=given.geometry.to_numpy(), crs=given.crs)
    given.to_file(path, layer="features", engine="pyogrio")
    return layer(path)


def made(folder: Path, side: int) -> tuple[list[RasterSource], list[VectorSource]]:
    """Write a picture to train on and one to test on."""
    rasters, layers = [], []
    for seed, name in enumerate(("train", "test")):
        rng = np.random.default_rng(seed)
        outlines = pebbles(side, rng)
        path = folder / f"{name}.tif"
        size = {"count": 3, "height": side, "width": side, "dtype": "uint8"}
        with rasterio.open(path, "w", "GTiff", crs=CRS, transform=PLACE, **size) as file:
            file.write(picture(outlines, side, rng))
        ground = shapely.transform(
            np.array(outlines), lambda xy: np.column_stack(PLACE * (xy[:, 0], xy[:, 1]))
        )
        rasters.append(RasterSource(str(path), "", path.name))
        frame = geopandas.GeoDataFrame(geometry=ground, crs=CRS)
        layers.append(annotations(folder / f"{name}.gpkg", frame))
        areas = shapely.area(np.array(outlines))
        print(
            f"{name}: {len(areas)} pebbles, {np.quantile(areas, (0, 0.25, 0.5, 0.75, 1)).round()}"
        )
    return rasters, layers


def found_by_size(there: Path, found: Path) -> str:
    """Return the share of objects with a polygon of IoU 0.5, for each fifth of the sizes."""
    objects = geopandas.read_file(there).geometry.to_numpy()
    polygons = geopandas.read_file(found).geometry.to_numpy()
    one, other = shapely.STRtree(polygons).query(objects, predicate="intersects")
    shared = shapely.area(shapely.intersection(objects[one], polygons[other]))
    union = shapely.area(objects[one]) + shapely.area(polygons[other]) - shared
    right = np.zeros(len(objects), dtype=bool)
    right[one[shared >= 0.5 * union]] = True
    fifths = np.array_split(right[np.argsort(shapely.area(objects))], 5)
    return " ".join(f"{each.mean():.2f}" for each in fifths)


def trained(folder: Path, wanted: argparse.Namespace, seed: int, name: str) -> str:
    """Train and test once; return the scores in words."""
    rasters, layers = wanted.rasters, wanted.layers
    job = train_job(
        rasters[0],
        layers[0],
        folder,
        aoi=wanted.areas[0],
        seed=seed,
        epochs=wanted.epochs,
        tile_size_px=wanted.tile,
        validation_fraction=0.2,
        architecture="unet",
        encoder=wanted.encoder,
        encoder_weights="auto",
        learning_rate=1e-3,
        output=str(folder / f"{name}_{seed}.safetensors"),
        output_html=None,
    )
    started = time.process_time()
    train.run(job, Control())
    took = time.process_time() - started
    given = evaluate_job(
        rasters[1], job.output, layers[1], folder, aoi=wanted.areas[1], output_html=None
    )
    evaluate.run(given, Control())
    scores = json.loads((folder / "scores.json").read_text())
    known = (f"{key} {scores[key]:.3f}" for key in SCORES if scores.get(key) is not None)
    polygons = folder / f"{name}_{seed}.gpkg"
    if polygons.exists():
        polygons.unlink()
    predict.run(
        predict_job(rasters[1], job.output, polygons, aoi=wanted.areas[1], precision="auto"),
        Control(),
    )
    fifths = found_by_size(Path(layers[1].path), polygons) if not wanted.real else "-"
    return f"{' '.join(known)}; found by size {fifths}; {took:.0f} s"


def main() -> None:
    """Train and test with small objects as they are, and magnified."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, nargs=4)
    parser.add_argument("--side", type=int, default=768)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--encoder", default="timm-tf_efficientnet_lite0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--folder", type=Path)
    wanted = parser.parse_args()
    folder = wanted.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if wanted.real:
        raster, objects, *areas = wanted.real
        wanted.rasters = [RasterSource(str(raster), "", raster.name)] * 2
        given = geopandas.read_file(objects)
        wanted.layers = [annotations(folder / "annotations.gpkg", given)] * 2
        wanted.areas = [layer(each) for each in areas]
    else:
        wanted.rasters, wanted.layers = made(folder, wanted.side)
        wanted.areas = [None, None]
    for seed in wanted.seeds:
        for way in wanted.only:
            object_sizes.SMALL_RADIUS_PX = RADIUS_PX if way == "magnified" else 0.0
            print(way, "seed", seed, trained(folder, wanted, seed, way), flush=True)


if __name__ == "__main__":
    main()
