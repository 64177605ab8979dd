"""What an area of interest of very many vertices costs an epoch of training.

Trains on one raster with a plain rectangle and with a ragged outline around the same ground, epochs
of both in turn, and prints the ratio of the medians: of processor time, which other programs
disturb least, and of wall time. Then times how ten areas scattered over a huge raster are drawn
from. Ends with exit code 1 where the ragged outline costs more than 5 % of processor time.

    .venv/bin/python benchmarks/large_areas.py [--vertices 100000] [--side 1024] [--rounds 3]
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import rasterio
import shapely
from affine import Affine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster  # noqa: E402
from deepseg_qgis.engine.annotations.validation_split import split_by_cells  # noqa: E402
from deepseg_qgis.engine.control import Control  # noqa: E402
from deepseg_qgis.engine.files.rasters import Raster  # noqa: E402
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area  # noqa: E402
from deepseg_qgis.engine.geometry.tiling import Window  # noqa: E402
from deepseg_qgis.engine.learning.starting_network import StartingNetwork  # noqa: E402
from deepseg_qgis.engine.learning.trainer import TrainingSettings  # noqa: E402
from deepseg_qgis.engine.learning.training import Training  # noqa: E402
from deepseg_qgis.engine.learning.training_dataset import training_dataset  # noqa: E402
from deepseg_qgis.engine.learning.training_set import TrainingSet  # noqa: E402
from deepseg_qgis.engine.learning.training_window import WindowSampler  # noqa: E402
from deepseg_qgis.engine.legend.legend import Category  # noqa: E402
from deepseg_qgis.engine.models import networks  # noqa: E402
from deepseg_qgis.engine.models.network_design import SIZES  # noqa: E402
from deepseg_qgis.jobs import RasterSource  # noqa: E402

CATEGORIES = (Category("a", "#00aa11"),)
MOST = 1.05
HUGE_PX = 200_000


def ragged(side: int, vertices: int) -> shapely.Polygon:
    """Return a square with so many vertices along its edges, a quarter of a pixel to and fro."""
    along = np.linspace(0.0, 4.0, vertices, endpoint=False)
    edge, part = np.divmod(along, 1.0)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], dtype=float)
    start, stop = corners[edge.astype(int)], corners[edge.astype(int) + 1]
    inwards = np.stack([-(stop - start)[:, 1], (stop - start)[:, 0]], axis=1)
    wave = 0.25 * (np.arange(vertices) % 2) * (part > 0.01) * (part < 0.99)
    points = (start + (stop - start) * part[:, None]) * side + inwards * wave[:, None]
    return shapely.Polygon(points)


def training(raster: Raster, area: Area, side: int, windows: int) -> Training:
    """Return what trains on squares in rows, inside an area, so many windows an epoch."""
    rng = np.random.default_rng(0)
    places = np.arange(10, side - 40, 60)
    columns, rows = (each.ravel() for each in np.meshgrid(places, places))
    squares = shapely.box(columns, rows, columns + 30, rows + 30)
    annotated = AnnotatedArea(squares, np.ones(len(squares), dtype=np.uint8))
    labelled = LabelledRaster(raster, annotated, area, Area.of_windows([]))
    labelled_rasters = split_by_cells([labelled], 0.2, 256, CATEGORIES, rng)
    settings = TrainingSettings(SIZES["medium"], 9, 256, 8, 1e-3, None, None, "cpu")
    training_set = TrainingSet(CATEGORIES, (False,), tuple(labelled_rasters))
    dataset = training_dataset(labelled_rasters, (False,), 256, settings.batch_size, seed=0)
    dataset = replace(dataset, windows=windows)
    network = networks.build(settings.design, raster.bands, 1)
    start = StartingNetwork(network, settings.design, {})
    return Training(start, settings, training_set, dataset, SimpleNamespace(), Control())


def epoch_seconds(one: Training) -> tuple[float, float]:
    """Return processor and wall seconds of an epoch and its validation."""
    processor, wall = time.process_time(), time.perf_counter()
    one._train_epoch()
    one._validate()
    return time.process_time() - processor, time.perf_counter() - wall


def scattered_seconds() -> float:
    """Return how long dividing and drawing 256 windows takes with ten areas of 50 px."""
    places = np.random.default_rng(1).integers(0, HUGE_PX - 50, (10, 2))
    area = Area.of_windows([Window(row, column, 50, 50) for row, column in places.tolist()])
    grid = SimpleNamespace(window=Window(0, 0, HUGE_PX, HUGE_PX))
    raster = SimpleNamespace(grid=grid)
    nothing = AnnotatedArea(np.array([], dtype=object), np.array([], dtype=np.uint8))
    labelled = LabelledRaster(raster, nothing, area, Area.of_windows([]))
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    labelled_rasters = split_by_cells([labelled], 0.2, 256, CATEGORIES, rng)
    sampler = WindowSampler(labelled_rasters, 256)
    for _ in range(256):
        sampler.draw(rng)
    return time.perf_counter() - started


def main() -> None:
    """Measure both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vertices", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--windows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    side = given.side
    values = np.random.default_rng(0).integers(1, 255, (3, side, side), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "scene.tif")
        with rasterio.open(
            *(path, "w"),
            driver="GTiff",
            **{"count": 3, "height": side, "width": side, "dtype": "uint8", "tiled": True},
            transform=Affine(0.5, 0, 5e5, 0, -0.5, 55e5),
            crs="EPSG:32633",
        ) as dataset:
            dataset.write(values)
        with Raster(RasterSource(path, "", "scene.tif")) as raster:
            plain = Area.of_windows([Window(0, 0, side, side)])
            areas = {"rectangle": plain, "ragged": Area(ragged(side, given.vertices))}
            ones = {
                name: training(raster, area, side, given.windows) for name, area in areas.items()
            }
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in ones}
            for _ in range(given.rounds + 1):
                for name, one in ones.items():
                    times[name].append(epoch_seconds(one))
    medians = {
        name: [statistics.median(each) for each in zip(*found[1:], strict=True)]
        for name, found in times.items()
    }
    processor, wall = (medians["ragged"][k] / medians["rectangle"][k] for k in (0, 1))
    print(
        f"an epoch of {given.windows} windows on {side}² px: {medians['rectangle'][1]:.1f} s with "
        f"a rectangle; with {given.vertices:,} vertices {processor:.3f} times the processor time, "
        f"{wall:.3f} times the wall time"
    )
    print(
        f"ten areas of 50 px on {HUGE_PX:,}² px: divided and drawn in {scattered_seconds():.1f} s"
    )
    sys.exit(1 if processor > MOST else 0)


if __name__ == "__main__":
    main()
