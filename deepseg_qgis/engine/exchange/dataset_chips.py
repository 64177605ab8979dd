"""The chips of a data set: images, masks and objects, part by part."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.annotated_raster import AnnotatedRaster
from deepseg_qgis.engine.exchange.coco.chips import CocoChips
from deepseg_qgis.engine.exchange.dataset_split import PARTS, DatasetSplit
from deepseg_qgis.engine.exchange.label_rasters.value_names import category_tags
from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.files.raster_output import NAMESPACE, RasterOutput
from deepseg_qgis.engine.geometry.areas import burnt
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Tile, Window

UNKNOWN = 255
"""Of masks: outside of the labelled area, or no data."""


class _Chip(NamedTuple):
    """A raster file of a chip: its values (bands, rows, columns) and what it says of them."""

    values: NDArray[np.generic]
    nodata: float | None
    bands: Sequence[Band] = ()
    tags: dict[str, str] | None = None


@dataclass
class PartCounts:
    """What was written into a part: chips, objects, and pixels per class (background first)."""

    pixels: NDArray[np.int64]
    chips: int = 0
    objects: int = 0


@dataclass(frozen=True)
class WrittenChips:
    """The part of each tile that has a chip, by row and column, and what is in each part."""

    part_of: dict[tuple[int, int], str]
    counts: dict[str, PartCounts]


def write_chips(
    folder: Path,
    annotated: AnnotatedRaster,
    tiles: Sequence[Tile],
    split: DatasetSplit,
    control: Control,
) -> WrittenChips:
    """Write all chips into an empty folder; return what was written. Memory: a chip.

    Raises:
        OutputError: the disk is full.
        Stopped: the user asked to stop.
    """
    part_of: dict[tuple[int, int], str] = {}
    with contextlib.ExitStack() as stack:
        writers = {
            part: stack.enter_context(_PartWriter(folder / part, annotated)) for part in PARTS
        }
        for number, tile in enumerate(tiles):
            control.check()
            control.progress(number / len(tiles), "Writing chips")
            place = (tile.row, tile.column)
            part = split.part_of.get(place)
            if part is not None and writers[part].add(tile):
                part_of[place] = part
    return WrittenChips(part_of, {part: writer.counts for part, writer in writers.items()})


class _PartWriter(contextlib.ExitStack):
    """Writes the chips of a part of the data set."""

    def __init__(self, folder: Path, annotated: AnnotatedRaster) -> None:
        super().__init__()
        self._folder, self._annotated = folder, annotated
        self._stem = plain_stem(annotated.raster.name)
        self.counts = PartCounts(np.zeros(len(annotated.categories) + 1, dtype=np.int64))
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True)
        coco = CocoChips(str(folder / "annotations.json"), annotated.categories)
        self._coco = self.enter_context(coco)

    def add(self, tile: Tile) -> bool:
        """Write the chip of a tile, if some of its pixels are known; return whether there are."""
        annotated, window = self._annotated, tile.window
        pixels = annotated.raster.read(window)
        known = pixels.valid & annotated.area.mask(window)
        if not known.any():
            return False
        classes = annotated.annotated.mask(window)
        name = f"{self._stem}_r{tile.row}_c{tile.column}.tif"
        values = _without_invalid(pixels.values, pixels.valid)
        nodata = float("nan") if values.dtype.kind == "f" else None
        image = _Chip(values, nodata, bands=annotated.raster.kind.bands)
        self._save(f"images/{name}", window, image)
        mask = np.where(known, classes, np.uint8(UNKNOWN))[None]
        tags = category_tags(annotated.categories)
        self._save(f"masks/{name}", window, _Chip(mask, UNKNOWN, tags=tags))
        self._add_objects(f"images/{name}", window, known)
        self.counts.chips += 1
        self.counts.pixels += np.bincount(classes[known], minlength=len(self.counts.pixels))
        return True

    def _add_objects(self, image: str, window: Window, known: NDArray[np.bool_]) -> None:
        image_id = self._coco.add_image(image, window.height, window.width)
        annotated = self._annotated.annotated
        for i in annotated.near(window).tolist():
            polygon = annotated.geometries[i : i + 1]
            pixels = burnt(polygon, np.ones(1, dtype=np.uint8), window).astype(bool) & known
            if pixels.any():
                self._coco.add(image_id, int(annotated.classes[i]), pixels)
                self.counts.objects += 1

    def _save(self, name: str, window: Window, chip: _Chip) -> None:
        own = self._annotated.raster.grid
        moved = own.transform @ Affine.translation(window.column, window.row)
        grid = Grid(window.width, window.height, moved, own.crs)
        path, bands, dtype = str(self._folder / name), len(chip.values), str(chip.values.dtype)
        with RasterOutput(path, grid, bands, dtype, chip.nodata) as output:
            output.describe_bands(chip.bands)
            if chip.tags:
                output.tag(NAMESPACE, chip.tags)
            output.write(grid.window, chip.values)


def plain_stem(name: str) -> str:
    """Return a raster's name as a file name for every system: letters, digits, - and _ alone."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem)[:60].strip("_") or "raster"


def _without_invalid(values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.generic]:
    """Return the values with 0, or NaN, where there is no data."""
    nothing = np.array(np.nan if values.dtype.kind == "f" else 0, dtype=values.dtype)
    return np.where(valid, values, nothing)
