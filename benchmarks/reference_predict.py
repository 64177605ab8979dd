"""A plain prediction script to hold DeepSeg's `predict` against.

The complete loop that is commonly written: onnxruntime in float32 on all cores, tiles of 512 px
that overlap by 15 %, the whole mosaic in memory, polygons by rasterio, GeoJSON in WGS 84 through
geopandas. Of DeepSeg it uses the model file alone, which is turned into ONNX in a process of its
own; that takes its time apart.

    python benchmarks/reference_predict.py RASTER.tif MODEL.safetensors OUTPUT.geojson

Needs the optional dependencies `benchmarks`. Prints seconds per stage and the peak of memory.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
import warnings
from pathlib import Path

from deepseg_qgis.engine.models import model_file

TILE = 512
OVERLAP = round(0.15 * TILE)


def export(model: str, onnx: str) -> None:
    """Write the model's network as ONNX, for one tile at a time (in a process of its own)."""
    import torch

    from deepseg_qgis.engine.models import weights

    loaded = weights.load(model)
    network = loaded.network.to(memory_format=torch.contiguous_format)
    tile = torch.zeros(1, loaded.card.bands, TILE, TILE)
    warnings.simplefilter("ignore")
    torch.onnx.export(
        network, (tile,), onnx, input_names=["image"], output_names=["logits"], dynamo=False
    )


def read(path: str) -> tuple:
    """Return the image (bands, rows, columns), its mask of data, transform and CRS."""
    import rasterio

    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask(), dataset.transform, dataset.crs


def infer(onnx: str, card, image):
    """Return the mosaic of probabilities (categories, rows, columns) float32."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    mean = np.array(card.mean, dtype=np.float32)[:, None, None]
    scale = 1.0 / np.array(card.std, dtype=np.float32)[:, None, None]
    _, rows, columns = image.shape
    mosaic = np.zeros((len(card.categories), rows, columns), dtype=np.float32)
    for row in starts(rows):
        for column in starts(columns):
            part = image[:, row : row + TILE, column : column + TILE]
            tile = np.zeros((1, len(image), TILE, TILE), dtype=np.float32)
            tile[0, :, : part.shape[1], : part.shape[2]] = (part - mean) * scale
            (logits,) = session.run(None, {"image": tile})
            found = probabilities(logits[0])[:, : part.shape[1], : part.shape[2]]
            # the middle of the overlap separates neighbours
            top, left = (OVERLAP // 2 if each else 0 for each in (row, column))
            mosaic[:, row + top : row + TILE, column + left : column + TILE] = found[:, top:, left:]
    return mosaic


def starts(length: int) -> list[int]:
    """Return where tiles start along one side; the last one ends with it."""
    step = TILE - OVERLAP
    last = max(length - TILE, 0)
    return [*range(0, last, step), last]


def probabilities(logits):
    """Return the categories' probabilities: sigmoid of one, softmax with background of several."""
    import numpy as np

    if len(logits) == 1:
        return 1.0 / (1.0 + np.exp(-logits))
    share = np.exp(logits - logits.max(axis=0))
    return (share / share.sum(axis=0))[1:]


def polygons(card, mosaic, mask, transform, crs):
    """Return a frame of polygons with their category."""
    import geopandas
    import numpy as np
    import rasterio.features
    import shapely.geometry

    classes = mosaic.argmax(axis=0).astype(np.uint8) + 1
    thresholds = np.array((0.0, *card.thresholds), dtype=np.float32)
    classes[mosaic.max(axis=0) < thresholds[classes]] = 0
    classes[mask == 0] = 0
    shapes, values = [], []
    for shape, value in rasterio.features.shapes(classes, classes > 0, transform=transform):
        shapes.append(shapely.geometry.shape(shape))
        values.append(card.categories[int(value) - 1].name)
    return geopandas.GeoDataFrame({"category": values}, geometry=shapes, crs=crs)


def main() -> None:
    """Predict once, telling the time of each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("raster", "model", "output"):
        parser.add_argument(name)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        onnx = str(Path(folder) / "model.onnx")
        clock = Clock()
        child = multiprocessing.get_context("spawn").Process(
            target=export, args=(wanted.model, onnx)
        )
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit("the network could not be written as ONNX")
        clock.lap("export (not counted)")
        card = model_file.read(wanted.model).card
        clock = Clock()
        image, mask, transform, crs = read(wanted.raster)
        clock.lap("read")
        mosaic = infer(onnx, card, image)
        pixels = mask.size
        del image
        clock.lap("infer and stitch")
        frame = polygons(card, mosaic, mask, transform, crs)
        clock.lap("polygons")
        frame.to_crs("EPSG:4326").to_file(wanted.output, driver="GeoJSON", engine="pyogrio")
        clock.lap("write")
    seconds = clock.total()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"total {seconds:.1f} s, {pixels / 1e6 / seconds:.2f} Mpx/s, {len(frame):,} polygons")
    print(f"peak memory {peak:.2f} GiB (without the export)")


class Clock:
    """Seconds since the last lap, printed."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """Print how long the stage took that ends now."""
        now = time.monotonic()
        print(f"{stage}: {now - self._last:.1f} s", flush=True)
        self._last = now

    def total(self) -> float:
        """Return the seconds from the start to the last lap."""
        return self._last - self._start


if __name__ == "__main__":
    main()
