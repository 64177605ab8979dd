"""The frontier of networks: what each learns from few polygons in equal time, and how fast it is.

    .venv/bin/python benchmarks/frontier.py SCENE.tif POLYGONS.gpkg [--polygons 100] [--seconds 150]

Prints a table, a line for each network: the processor time of a training step (8 windows of 256
px) and the inference speed (OpenVINO, bfloat16 where the processor has it) on one thread, then
object F1 and pixel IoU on the eastern quarter of the scene after training on a square with so many
polygons of the other quarters, completely annotated. Each network trains as many epochs as fit
into so many seconds of steps. Each measurement runs in a process of its own; with --speed only the
speeds. A network is written architecture:encoder:widths, such as unet:resnet18 or
unet:timm-tf_efficientnet_lite0:128,64,48,32,16.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

LITE0 = "timm-tf_efficientnet_lite0"
NETWORKS = (
    "unet:resnet18",
    f"linknet:{LITE0}",
    f"unet:{LITE0}:96,64,32,24,8",
    f"unet:{LITE0}:128,64,48,32,16",
    f"unet:{LITE0}",
    f"fpn:{LITE0}",
    f"pan:{LITE0}",
    f"unetplusplus:{LITE0}:96,64,32,24,8",
)
BATCH, SIDE_PX, STEPS, STEPS_PER_EPOCH = 8, 256, 4, 32
"""A small annotated area is shown in 256 windows an epoch."""
INFERENCE_PX, RUNS = 768, 5
TEST_SHARE = 0.25


def network_design(text: str) -> Any:
    """Return the design that a text names."""
    from deepseg_qgis.engine.models.network_design import NetworkDesign

    architecture, encoder, *widths = text.split(":")
    channels = tuple(int(width) for width in widths[0].split(",")) if widths else ()
    return NetworkDesign(architecture, encoder, channels)


def step_seconds(network: Any) -> float:
    """Return the processor time of a training step."""
    import torch

    from deepseg_qgis.engine.learning.allocator import keep_freed_memory
    from deepseg_qgis.engine.learning.depthwise_gradients import DepthwiseGradients
    from deepseg_qgis.engine.models.networks import has_fast_bfloat16

    keep_freed_memory()
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    images = torch.randn(BATCH, 3, SIDE_PX, SIDE_PX).contiguous(memory_format=torch.channels_last)
    fast = has_fast_bfloat16(torch.device("cpu"))
    times = []
    for _ in range(STEPS):
        started = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=fast), DepthwiseGradients():
            logits = network(images)
        optimiser.zero_grad()
        logits.float().square().mean().backward()
        optimiser.step()
        times.append(time.process_time() - started)
    return statistics.median(times[1:])


def inference_speed(network: Any, design: Any) -> float:
    """Return million pixels a second of processor time, from raw pixels to probabilities."""
    import numpy as np
    import openvino
    import torch

    from deepseg_qgis.engine.backends.openvino_conversion import convert
    from deepseg_qgis.engine.models.networks import has_fast_bfloat16
    from deepseg_qgis.engine.models.weights import Model

    graph, _ = convert(Model(network.eval(), card(design), "0"))
    kind = "bf16" if has_fast_bfloat16(torch.device("cpu")) else "f32"
    settings = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": 1}
    request = openvino.compile_model(graph, "CPU", settings).create_infer_request()
    shape = (INFERENCE_PX, INFERENCE_PX)
    values = np.random.default_rng(0).integers(0, 255, (1, 3, *shape), dtype=np.uint8)
    valid = np.ones((1, 1, *shape), dtype=np.uint8)
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        request.infer([values, valid])
        times.append(time.process_time() - started)
    return INFERENCE_PX**2 / statistics.median(times[1:]) / 1e6


def card(design: Any) -> Any:
    """Return the card of a model of three bands that tells objects apart."""
    from deepseg_qgis.engine.legend.legend import Category
    from deepseg_qgis.engine.models.model_card import ModelCard

    return ModelCard(
        architecture=design.architecture,
        encoder=design.encoder,
        decoder_channels=design.decoder_channels,
        task="instance",
        categories=(Category("object", "#00aa11"),),
        band_names=("1", "2", "3"),
        dtype="uint8",
        resolution_m=None,
        mean=(100.0,) * 3,
        std=(40.0,) * 3,
        tile_size_px=SIDE_PX,
        thresholds=(0.5,),
        countable=(True,),
        depths=(8,),
        least_px=(4,),
        smoothing_px=1.0,
    )


def speed(text: str) -> dict[str, float]:
    """Return the parameters in millions, the seconds of a step and the inference speed."""
    import torch

    from deepseg_qgis.engine.models import networks

    torch.set_num_threads(1)
    design = network_design(text)
    network = networks.build(design, 3, 1, objects=True)
    weights = sum(parameter.numel() for parameter in network.parameters())
    step = step_seconds(network)
    return {"weights": weights / 1e6, "step": step, "inference": inference_speed(network, design)}


def layers(scene: Path, polygons: Path, count: int, folder: Path) -> dict[str, Any]:
    """Write the annotations, the square to learn from and the ground to test on; return them."""
    import geopandas
    import rasterio
    import shapely

    from deepseg_qgis import jobs

    with rasterio.open(scene) as dataset:
        left, bottom, right, top = dataset.bounds
    annotations = geopandas.read_file(polygons)[["geometry"]]
    annotations["category"], annotations["source"] = "object", None
    edge = right - (right - left) * TEST_SHARE
    x, y = (left + edge) / 2, (bottom + top) / 2
    places = annotations.representative_point()
    reach = sorted(max(abs(place.x - x), abs(place.y - y)) for place in places if place.x < edge)
    half = reach[min(count, len(reach)) - 1]
    square = shapely.box(x - half, max(y - half, bottom), min(x + half, edge), min(y + half, top))
    test = shapely.box(edge, bottom, right, top)
    areas = {"square": [square], "test": [test]}
    tables = {
        name: geopandas.GeoDataFrame(geometry=each, crs=annotations.crs)
        for name, each in areas.items()
    }
    sources = {}
    for name, table in (("annotations", annotations), *tables.items()):
        path = str(folder / f"{name}.gpkg")
        table.to_file(path, layer="features", engine="pyogrio")
        sources[name] = jobs.VectorSource(
            path, "features", name, annotations.crs.to_wkt(), None, {}
        )
    return sources


def quality(text: str, scene: Path, polygons: Path, wanted: argparse.Namespace) -> dict[str, float]:
    """Return the scores on the ground kept back, and how long training took."""
    from example_jobs import evaluate_job, train_job

    from deepseg_qgis import jobs
    from deepseg_qgis.engine.control import Control
    from deepseg_qgis.engine.models.network_design import SIZES
    from deepseg_qgis.engine.verbs import evaluate, train

    warnings.simplefilter("ignore")
    folder = wanted.folder / text.replace(":", "_").replace(",", "-")
    folder.mkdir(parents=True, exist_ok=True)
    SIZES["medium"] = network_design(text)
    raster = jobs.RasterSource(str(scene), "", scene.name)
    ground = layers(scene, polygons, wanted.polygons, folder)
    job = train_job(
        raster,
        ground["annotations"],
        folder,
        aoi=ground["square"],
        validation_fraction=0.2,
        architecture=None,
        encoder=None,
        encoder_weights=wanted.weights,
        epochs=wanted.epochs,
        tile_size_px=wanted.tile_size_px,
        learning_rate=1e-3,
        seed=wanted.seed,
        output_html=None,
    )
    started = time.process_time()
    train.run(job, Control())
    seconds = time.process_time() - started
    test = evaluate_job(
        raster, job.output, ground["annotations"], folder, aoi=ground["test"], output_html=None
    )
    evaluate.run(test, Control())
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return {"f1": scores["f1"], "iou": scores["mean_iou"], "seconds": seconds}


def in_a_process(*arguments: object) -> dict[str, float]:
    """Run this script with these arguments on one thread; return what it prints last."""
    command = [sys.executable, __file__, *(str(each) for each in arguments)]
    threads = {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure each network and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--polygons", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tile-size-px", type=int, default=SIDE_PX)
    parser.add_argument("--weights", default="auto", help="as ENCODER_WEIGHTS of deepseg:train")
    parser.add_argument("--speed", action="store_true", help="measure the speeds alone")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "frontier")
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one", choices=("speed", "quality"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    scene, polygons = wanted.scene.resolve(), wanted.annotations.resolve()
    if wanted.one == "speed":
        print(json.dumps(speed(wanted.networks[0])))
        return
    if wanted.one == "quality":
        print(json.dumps(quality(wanted.networks[0], scene, polygons, wanted)))
        return
    print("| network | million weights | step (s) | Mpx/s | epochs | s | F1 | IoU |")
    print("|---|---|---|---|---|---|---|---|")
    for text in wanted.networks:
        name = ["--networks", text]
        fast = in_a_process(scene, polygons, "--one", "speed", *name)
        share = (wanted.tile_size_px / SIDE_PX) ** 2
        epochs = max(1, round(wanted.seconds / STEPS_PER_EPOCH / fast["step"] / share))
        speeds = f"{text} | {fast['weights']:.1f} | {fast['step']:.2f} | {fast['inference']:.1f}"
        if wanted.speed:
            print(f"| {speeds} | | | | |", flush=True)
            continue
        how = ["--epochs", epochs, "--polygons", wanted.polygons, "--seed", wanted.seed]
        how += ["--folder", wanted.folder, "--weights", wanted.weights]
        good = in_a_process(scene, polygons, "--one", "quality", *name, *how)
        scores = f"{good['seconds']:.0f} | {good['f1']:.3f} | {good['iou']:.3f}"
        print(f"| {speeds} | {epochs} | {scores} |", flush=True)


if __name__ == "__main__":
    main()
