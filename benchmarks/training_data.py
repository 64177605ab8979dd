"""What reading training windows costs: by the trainer's thread, and by worker processes.

Makes batches of a made-up raster with touching houses, and prints the processor time of a batch as
the thread reads it, of a whole training step, and of worker processes (spawned, since rasterio's
datasets do not survive a fork), with what their start alone takes.

    .venv/bin/python benchmarks/training_data.py [--batches 32] [--workers 2]
"""

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import shapely
import torch
from affine import Affine
from torch.utils.data import DataLoader, Dataset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster  # noqa: E402
from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.files.rasters import Raster  # noqa: E402
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box  # noqa: E402
from deepseg_qgis.engine.learning.trainer import Trainer, TrainingSettings  # noqa: E402
from deepseg_qgis.engine.learning.training_dataset import (  # noqa: E402
    TrainingDataset,
    training_dataset,
)
from deepseg_qgis.engine.learning.training_sample import TrainingBatch, collate  # noqa: E402
from deepseg_qgis.engine.models import networks  # noqa: E402
from deepseg_qgis.engine.models.network_design import SIZES  # noqa: E402
from deepseg_qgis.jobs import RasterSource  # noqa: E402

SIDE_PX, TILE_PX, BATCH = 1024, 256, 8
SETTINGS = TrainingSettings(SIZES["medium"], 1, TILE_PX, BATCH, 1e-3, None, None, "cpu")


def written(folder: str) -> str:
    """Write a raster of noise; return its path."""
    path = str(Path(folder) / "scene.tif")
    size = {"count": 3, "height": SIDE_PX, "width": SIDE_PX, "dtype": "uint8", "tiled": True}
    place = Affine(0.5, 0, 5e5, 0, -0.5, 55e5)
    with rasterio.open(
        path, "w", driver="GTiff", transform=place, crs="EPSG:32633", **size
    ) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, SIDE_PX, SIDE_PX), np.uint8))
    return path


def dataset_of(path: str) -> TrainingDataset:
    """Return the training data of the raster, with houses in rows, wall to wall."""
    raster = Raster(RasterSource(path, "", "scene.tif"))
    rows, columns = (each.ravel() for each in np.mgrid[10 : SIDE_PX - 40 : 40, 10:984:20])
    houses = shapely.box(columns, rows, columns + 20, rows + 20)
    annotated = AnnotatedArea(houses, np.ones(len(houses), dtype=np.uint8))
    labelled = LabelledRaster(raster, annotated, Area(box(raster.grid.window)), Area.of_windows([]))
    return training_dataset([labelled], [True], TILE_PX, BATCH, seed=0)


class InWorker(Dataset):
    """The same data, opened by each process for itself."""

    def __init__(self, path: str, windows: int) -> None:
        self.path, self.windows, self.dataset = path, windows, None
        self.normalisation = None

    def __len__(self) -> int:
        return self.windows

    def __getitem__(self, index: int) -> TrainingBatch:
        if self.dataset is None:
            torch.set_num_threads(1)
            self.dataset = dataset_of(self.path)
            self.normalisation = self.dataset.normalisation()
        return collate([self.dataset[BATCH * index + n] for n in range(BATCH)], self.normalisation)


def worker_seconds(path: str, batches: int, workers: int) -> float:
    """Return the processor time of worker processes for so many batches."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    loader = DataLoader(
        InWorker(path, batches),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn",
    )
    for _ in loader:
        pass
    del loader
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder)
        dataset = dataset_of(path)
        normalisation = dataset.normalisation()
        [dataset[n] for n in range(BATCH)]  # compiled by now
        started = time.process_time()
        for index in range(given.batches):
            collate([dataset[BATCH * index + n] for n in range(BATCH)], normalisation)
        read = (time.process_time() - started) / given.batches
        network = networks.build(SIZES["medium"], 3, 1, objects=True)
        windows = replace(dataset, windows=given.batches * BATCH)
        trainer = Trainer(network, windows, normalisation, SETTINGS, Control())
        started = time.process_time()
        trainer.train_epoch(0, lambda done, _loss: done < trainer.steps)
        step = (time.process_time() - started) / trainer.steps
        few = worker_seconds(path, given.workers, given.workers)
        many = worker_seconds(path, given.batches, given.workers)
        memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    per_batch = (many - few) / (given.batches - given.workers)
    print(
        f"a batch of {BATCH} windows of {TILE_PX} px, processor time: read by the thread "
        f"{read:.3f} s, of {step:.3f} s for the whole step; by {given.workers} spawned workers "
        f"{per_batch:.3f} s, and {few / given.workers:.1f} s and {memory_mb:.0f} MB to start each"
    )


if __name__ == "__main__":
    main()
