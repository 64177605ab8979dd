"""A model of random weights, and rasters that it takes."""

import numpy as np
import torch

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import model_file, networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign

CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("a", "#00aa11"), Category("b", "#aabbcc")),
    band_names=("1", "2"),
    dtype="uint16",
    resolution_m=None,
    mean=(10_000.0, 9000.0),
    std=(300.0, 200.0),
    tile_size_px=64,
    thresholds=(0.4, 0.3),
)


def write_model(folder):
    """Return the file of a model with random weights, always the same ones."""
    path = str(folder / "m.safetensors")
    torch.manual_seed(1)
    weights.save(path, networks.build(NetworkDesign("unet", "resnet18"), 2, 2).state_dict(), CARD)
    return model_file.read(path)


def image(rows, columns, seed=0):
    """Return noise (bands, rows, columns) as the model expects it."""
    noise = np.random.default_rng(seed).normal(size=(2, rows, columns))
    return (noise * [[[300]], [[200]]] + [[[10_000]], [[9000]]]).clip(0).astype(np.uint16)


def holed_image():
    """Return an image of 300 × 420 px with a hole of zeros."""
    values = image(300, 420)
    values[:, 100:220, 250:] = 0
    return values


def whole(raster):
    """Return the area of all of a raster."""
    return Area(box(raster.grid.window))


class LogTexts(Control):
    """Keeps what is written into the log."""

    def __init__(self):
        self.texts = []
        super().__init__(lambda event: self.texts.append(event.text))
