"""A plain training script to hold DeepSeg's `train` against; it shares no code with DeepSeg.

U-Net/ResNet-18 from scratch, AdamW, one cycle, BCE + Dice, flips and right-angle turns, random
windows. The scene's western three quarters are trained on, all of them; the eastern quarter is the
test. The last epoch counts, at a threshold of 0.5.

    python benchmarks/reference_train.py SCENE.tif POLYGONS.gpkg --seeds 0 1 2

Prints one line per seed: the pixel IoU on the test quarter.
"""

import argparse
import time

import geopandas
import numpy as np
import rasterio
import rasterio.features
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

TILE, BATCH = 256, 8


def read(scene: str, polygons: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the image (bands, rows, columns) float32, normalised, and the mask (rows, columns)."""
    with rasterio.open(scene) as dataset:
        image = dataset.read().astype(np.float32)
        shapes = geopandas.read_file(polygons).to_crs(dataset.crs).geometry
        mask = rasterio.features.rasterize(
            shapes, out_shape=dataset.shape, transform=dataset.transform, dtype=np.uint8
        )
    edge = image.shape[2] * 3 // 4
    part = image[:, :, :edge].reshape(len(image), -1)
    mean, std = part.mean(axis=1), part.std(axis=1)
    return (image - mean[:, None, None]) / std[:, None, None], mask


def batch(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple:
    """Return random windows, flipped and turned: (N, bands, T, T) and (N, 1, T, T) float."""
    images, masks = [], []
    for _ in range(BATCH):
        row = rng.integers(image.shape[1] - TILE + 1)
        column = rng.integers(image.shape[2] - TILE + 1)
        x = image[:, row : row + TILE, column : column + TILE]
        y = mask[None, row : row + TILE, column : column + TILE]
        turn, flip = rng.integers(4), rng.integers(2)
        x, y = np.rot90(x, turn, (1, 2)), np.rot90(y, turn, (1, 2))
        images.append(x[:, :, ::-1] if flip else x)
        masks.append(y[:, :, ::-1] if flip else y)
    x = torch.from_numpy(np.stack(images)).contiguous(memory_format=torch.channels_last)
    return x, torch.from_numpy(np.stack(masks).astype(np.float32))


def loss_of(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return BCE + Dice."""
    share = logits.sigmoid()
    dice = (2 * (share * wanted).sum() + 1) / (share.sum() + wanted.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, wanted) + 1 - dice


def train(
    image: np.ndarray, mask: np.ndarray, epochs: int, windows: int, bf16: bool, seed: int
) -> torch.nn.Module:
    """Return the network after the last epoch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=len(image), classes=1)
    network = network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    steps = epochs * windows // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-3, total_steps=steps)
    for _ in range(steps):
        x, y = batch(image, mask, rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(x)
        loss = loss_of(logits.float(), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def test(network: torch.nn.Module, image: np.ndarray, mask: np.ndarray) -> float:
    """Return the pixel IoU, predicted in windows of 512 px of which the middle 384 px are kept."""
    size, halo = 512, 64
    step = size - 2 * halo
    rows, columns = mask.shape
    padded = np.pad(image, ((0, 0), (halo, size), (halo, size)))
    found = np.zeros_like(mask)
    with torch.inference_mode():
        for row in range(0, rows, step):
            for column in range(0, columns, step):
                x = torch.from_numpy(padded[None, :, row : row + size, column : column + size])
                core = network(x)[0, 0, halo:-halo, halo:-halo].numpy() > 0
                part = found[row : row + step, column : column + step]
                part[:] = core[: part.shape[0], : part.shape[1]]
    return float((found & mask).sum() / (found | mask).sum())


def main() -> None:
    """Train and test once for each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("polygons")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--windows", type=int, default=128, help="windows per epoch")
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16, as DeepSeg may")
    wanted = parser.parse_args()
    image, mask = read(wanted.scene, wanted.polygons)
    edge = image.shape[2] * 3 // 4
    for seed in wanted.seeds:
        started = time.monotonic()
        network = train(
            image[:, :, :edge], mask[:, :edge], wanted.epochs, wanted.windows, wanted.bf16, seed
        )
        iou = test(network, image[:, :, edge:], mask[:, edge:])
        seconds = time.monotonic() - started
        print(f"reference seed {seed}: test IoU {iou:.4f} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
