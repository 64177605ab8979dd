"""Whether a training tells annotations of some objects alone from those of all.

Trains without an area of interest on all polygons of a raster, and on random ones of them, and
prints how much of the validation ground that looks most like the category has no polygon, and
whether that was worth a warning. The raster is read at its resolution divided by --coarser.

    .venv/bin/python benchmarks/sparse_annotations.py SCENE.tif POLYGONS.gpkg
        [--shares 1 0.5 0.2] [--coarser 2] [--epochs 6] [--tile-size 128]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import torch
from affine import Affine

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from example_jobs import train_job  # noqa: E402

from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.verbs import train  # noqa: E402
from deepseg_qgis.jobs import RasterSource, VectorSource  # noqa: E402


def coarser(scene: Path, times: int, folder: Path) -> RasterSource:
    """Write a raster with pixels so many times as wide; return it."""
    path = folder / "scene.tif"
    with rasterio.open(scene) as source:
        shape = source.count, source.height // times, source.width // times
        values = source.read(out_shape=shape, resampling=rasterio.enums.Resampling.average)
        place = source.transform * Affine.scale(source.width / shape[2], source.height / shape[1])
        profile = {
            "driver": "GTiff",
            "dtype": values.dtype,
            "crs": source.crs,
            "transform": place,
            **dict(zip(("count", "height", "width"), shape, strict=True)),
        }
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)
    return RasterSource(str(path), "", "scene.tif")


def some(polygons: geopandas.GeoDataFrame, share: float, folder: Path) -> VectorSource:
    """Write a random share of the polygons; return the layer."""
    rng = np.random.default_rng(0)
    kept = polygons[rng.random(len(polygons)) < share]
    path = folder / f"some_{share}.gpkg"
    frame = kept[["geometry"]].assign(category=None, source=None)
    frame.to_file(path, layer="features")
    return VectorSource(str(path), "features", "object", frame.crs.to_wkt(), None, {})


def main() -> None:
    """Train on each share of the polygons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("polygons", type=Path)
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.5, 0.2])
    parser.add_argument("--coarser", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--tile-size", type=int, default=128)
    parser.add_argument("--encoder", default="timm-tf_efficientnet_lite0")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    found: list[Sequence[float | None]] = []
    warn_of_gaps = train.warn_of_gaps

    def noted(shares: Sequence[float | None], *given: Any, **named: Any) -> None:
        found.append(shares)
        warn_of_gaps(shares, *given, **named)

    train.warn_of_gaps = noted
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raster = coarser(wanted.scene, wanted.coarser, folder)
        polygons = geopandas.read_file(wanted.polygons)
        for share in wanted.shares:
            warnings: list[str] = []

            def hear(event: Any, texts: list[str] = warnings) -> None:
                if getattr(event, "level", "") == "warning":
                    texts.append(event.text)

            job = train_job(
                raster,
                some(polygons, share, folder),
                folder,
                architecture="linknet",
                encoder=wanted.encoder,
                encoder_weights="auto",
                epochs=wanted.epochs,
                tile_size_px=wanted.tile_size,
                learning_rate=1e-3,
                output_html=None,
                output=str(folder / f"{share}.safetensors"),
            )
            started = time.process_time()
            score = train.run(job, Control(hear))["validation_score"]
            warned = any("lack a polygon" in each for each in warnings)
            print(
                f"{wanted.scene.parent.name}, {share:.0%} of the polygons: {found[-1][0]:.2f} "
                f"without a polygon, {'warned' if warned else 'silent'}; validation score "
                f"{score:.2f}, {time.process_time() - started:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
