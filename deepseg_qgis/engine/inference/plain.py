"""Running a network over a raster: tiles with overlap, stitched by their cores.

A tile's window is read with its surroundings; of what the network says only the core is kept, so
tile borders fall where both neighbours see enough around them.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepseg_qgis.engine import networks
from deepseg_qgis.engine.areas import Area
from deepseg_qgis.engine.georeference import Grid
from deepseg_qgis.engine.networks import SIZE_MULTIPLE_PX
from deepseg_qgis.engine.rasters import Pixels, Raster
from deepseg_qgis.engine.tiling import Tile, tiles
from deepseg_qgis.errors import ParameterError

READ_AHEAD_GROUPS = 2
OVERLAP_SHARE = 4
"""Neighbouring windows share one part in so many of a tile, unless told otherwise."""
SMALLEST_DEFAULT_TILE_PX = 512
"""Larger tiles than in training waste less on overlap, and see no less."""

Group = TypeVar("Group")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Predictor:
    """A network that is ready to run: where, on what normalisation, how many tiles at once."""

    network: nn.Module
    categories: int
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    device: torch.device
    batch_size: int
    bfloat16: bool = False

    def probabilities(self, pixels: list[Pixels]) -> NDArray[np.uint8]:
        """Return (tiles, categories, rows, columns) in 1/255 for windows of one size."""
        batch = np.stack([networks.network_input(each, self.mean, self.std) for each in pixels])
        tensor = torch.from_numpy(batch).to(self.device, memory_format=torch.channels_last)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16),
        ):
            return networks.category_probabilities(self.network(tensor)).cpu().numpy()


def check_tile_size(tile_size_px: int) -> None:
    """Check that the network can take tiles of this size.

    Raises:
        ParameterError: it is no multiple of 32 px.
    """
    if tile_size_px < SIZE_MULTIPLE_PX or tile_size_px % SIZE_MULTIPLE_PX:
        nearest = max(1, round(tile_size_px / SIZE_MULTIPLE_PX)) * SIZE_MULTIPLE_PX
        raise ParameterError(
            f"The tile size must be a multiple of {SIZE_MULTIPLE_PX} px, got {tile_size_px}. Use "
            f"{nearest} px."
        )


def default_tile_size(training_tile_px: int) -> int:
    """Return the side of the tiles to predict with, for a network trained on others."""
    return max(training_tile_px, SMALLEST_DEFAULT_TILE_PX)


def area_tiles(
    grid: Grid, area: Area, tile_size_px: int, overlap_px: int | None = None
) -> list[Tile]:
    """Return the tiles over an area's bounding box whose cores touch the area.

    Without ``overlap_px`` neighbouring windows share a quarter of a tile.
    """
    region = area.window(grid.window)
    if region.height == 0 or region.width == 0:
        return []
    overlap = tile_size_px // OVERLAP_SHARE if overlap_px is None else overlap_px
    return [tile for tile in tiles(region, tile_size_px, overlap) if area.touches(tile.core)]


def predicted(
    predictor: Predictor, raster: Raster, wanted: Iterable[Tile]
) -> Iterator[tuple[Tile, NDArray[np.uint8], Pixels]]:
    """Yield each tile with the probabilities (categories, rows, columns) and pixels of its window.

    Tiles are read ahead by a thread of its own. Tiles without any data are not run: their
    probabilities are 0. Memory: three batches of tiles.
    """

    def read(group: list[Tile]) -> list[tuple[Tile, Pixels]]:
        return [(tile, raster.read(tile.window)) for tile in group]

    for group in read_ahead(read, _batched(wanted, predictor.batch_size)):
        with_data = [pixels for _, pixels in group if pixels.valid.any()]
        found = iter(predictor.probabilities(with_data) if with_data else ())
        for tile, pixels in group:
            if pixels.valid.any():
                yield tile, next(found), pixels
            else:
                shape = (predictor.categories, *pixels.valid.shape)
                yield tile, np.zeros(shape, dtype=np.uint8), pixels


def read_ahead(read: Callable[[Group], Result], groups: Iterable[Group]) -> Iterator[Result]:
    """Yield ``read`` of each group in order, read by another thread a few groups ahead."""
    waiting = iter(groups)
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as pool:
        ahead = itertools.islice(waiting, READ_AHEAD_GROUPS)
        pending = deque(pool.submit(read, group) for group in ahead)
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(read, group) for group in itertools.islice(waiting, 1))
            yield result


def _batched(wanted: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    waiting = iter(wanted)
    while batch := list(itertools.islice(waiting, size)):
        yield batch
