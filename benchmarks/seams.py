"""How far seams can be told from the interior of windows, for one overlap after the other.

    python benchmarks/seams.py SCENE.tif MODEL.safetensors [--window 1024] [--side 4096]

The reference is one window over the whole part of the scene. It is laid twice: on the lattice of
32 px on which all windows lie (there it differs from the tiled answer near the seams alone), and
beside it by odd numbers of pixels, since a network answers a little differently wherever its
window begins: that is what seams are measured against. Near: within 32 px of a core's border.
"""

import argparse

import numpy as np

from deepseg_qgis.engine.backends.backend import Backend, probabilities
from deepseg_qgis.engine.backends.model_source import ModelSource
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.decisions import as_levels, decide
from deepseg_qgis.engine.models import model_file
from deepseg_qgis.jobs import RasterSource

NEAR_PX, MARGIN_PX = 32, 512
SHIFTS = (0, 5, 27)
OVERLAPS = (0, 32, 64, 96, 128, 160, 192, 256, 384, 512)


def classes(backend: Backend, raster: Raster, window: Window, levels: np.ndarray) -> np.ndarray:
    """Return the classes (rows, columns) of one window."""
    session = backend.session(window.height, window.width)
    return decide(probabilities(session, [raster.read(window)])[0], levels)[0]


def tiled(
    backend: Backend, raster: Raster, part: Window, size: int, overlap: int, levels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return classes stitched from windows, and which pixels are near a seam."""
    found = np.zeros((part.height, part.width), dtype=np.uint8)
    near = np.zeros(found.shape, dtype=bool)
    starts = list(range(0, part.height - size + 1, size - overlap))
    for top in starts:
        for left in starts:
            window = Window(part.row + top, part.column + left, size, size)
            core = [slice(at + (overlap // 2 if at else 0), at + size) for at in (top, left)]
            said = classes(backend, raster, window, levels)
            found[core[0], core[1]] = said[core[0].start - top :, core[1].start - left :]
    for seam in (start + overlap // 2 for start in starts[1:]):
        near[seam - NEAR_PX : seam + NEAR_PX] = near[:, seam - NEAR_PX : seam + NEAR_PX] = True
    return found, near


def main() -> None:
    """Print a line for each overlap."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene")
    parser.add_argument("model")
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--row", type=int, default=2016)
    parser.add_argument("--column", type=int, default=3008)
    parser.add_argument("--overlaps", type=int, nargs="+", default=OVERLAPS)
    given = parser.parse_args()
    with Raster(RasterSource(given.scene, "", "scene")) as raster:
        model = model_file.read(given.model)
        backend = ModelSource(model, "cpu", "auto", None, Control()).default
        levels = as_levels(model.card.thresholds)
        part = Window(given.row, given.column, given.side, given.side)
        references = {}
        for shift in SHIFTS:
            laid = Window(part.row - shift, part.column - shift, part.height, part.width)
            said = classes(backend, raster, laid, levels)
            references[shift] = np.zeros_like(said)
            references[shift][: given.side - shift, : given.side - shift] = said[shift:, shift:]
        print("overlap px | reference moved by px: near, elsewhere, ratio")
        for overlap in given.overlaps:
            found, near = tiled(backend, raster, part, given.window, overlap, levels)
            end = given.side - MARGIN_PX
            covered = (given.side - given.window) // (given.window - overlap)
            end = min(end, covered * (given.window - overlap) + given.window - MARGIN_PX // 2)
            inner = (slice(MARGIN_PX, end),) * 2
            line = []
            for shift, reference in references.items():
                differs, close = (found != reference)[inner], near[inner]
                a, b = differs[close].mean(), differs[~close].mean()
                line.append(f"{shift}: {a:.2e} {b:.2e} {a / b if b else float('nan'):5.2f}")
            print(f"{overlap:4d} | " + " | ".join(line), flush=True)


if __name__ == "__main__":
    main()
