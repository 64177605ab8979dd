"""How much of the network's raw speed the inference stage delivers, in useful pixels.

    python benchmarks/inference.py SCENE.tif MODEL.safetensors [--rounds 3] [--precision auto]

Raw: the same compiled network on windows of the same size, of random pixels that lie in memory, as
many in flight. Stage: `predicted_cores` over the whole raster: reading, halos, decisions. The two
take turns. Useful pixels are those of the raster; raw ones are all that the network is run on.
"""

import argparse
import statistics
import sys
import time
from collections import deque

import numpy as np

from deepseg_qgis.engine.backends.backend import Session
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor
from deepseg_qgis.engine.inference.predicted_cores import predicted_cores
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.events import Event, Log
from deepseg_qgis.jobs import RasterSource

RAW_S = 6.0


def raw(session: Session, pixels: list[Pixels]) -> float:
    """Return million pixels a second of the network alone."""
    running: deque = deque()
    batches, started = 0, time.perf_counter()
    while time.perf_counter() - started < RAW_S or running:
        if time.perf_counter() - started < RAW_S:
            running.append(session.start(pixels))
        if len(running) >= session.in_flight or time.perf_counter() - started >= RAW_S:
            running.popleft()()
            batches += 1
    seconds = time.perf_counter() - started
    return batches * len(pixels) * pixels[0].valid.size / seconds / 1e6


def stage(predictor: Predictor, raster: Raster, area: Area) -> float:
    """Return million useful pixels a second of the whole stage."""
    started = time.perf_counter()
    total = sum(
        each.core.height * each.core.width
        for each in predicted_cores(predictor, raster, area, Control())
    )
    return total / (time.perf_counter() - started) / 1e6


def tell(event: Event) -> None:
    """Show what the log would say, once."""
    if isinstance(event, Log):
        print(event.text, file=sys.stderr)


def main() -> None:
    """Measure and print a line per round and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--tile-size", type=int)
    parser.add_argument("--overlap", type=int)
    given = parser.parse_args()
    settings = PredictionSettings(
        precision=given.precision, tile_size_px=given.tile_size, overlap_px=given.overlap
    )
    with Raster(RasterSource(given.scene, "", "scene")) as raster:
        model = model_file.read(given.model)
        predictor = model_predictor(model, settings, Control(tell))
        area = Area(box(raster.grid.window))
        prepared = predictor.prepare(raster, area)
        layout, session = prepared.layout, prepared.session
        shape = (layout.height, layout.width)
        values = np.random.default_rng(0).integers(0, 255, (raster.bands, *shape))
        window = Pixels(values.astype(raster.dtype), np.ones(shape, dtype=bool))
        useful = raster.grid.width * raster.grid.height / layout.pixels
        raws, stages = [], []
        for _ in range(given.rounds):
            raws.append(raw(session, [window] * session.batch_size))
            stages.append(stage(predictor, raster, area))
            raws.append(raw(session, [window] * session.batch_size))
            print(f"raw {raws[-2]:.2f} and {raws[-1]:.2f}, stage {stages[-1]:.2f} Mpx/s")
    ratio = statistics.median(stages) / statistics.median(raws)
    print(f"ratio {ratio:.3f}; useful share of the pixels run {useful:.3f}")


if __name__ == "__main__":
    main()
