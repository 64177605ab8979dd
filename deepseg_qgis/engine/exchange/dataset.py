"""A data set for other programs: image chips, masks and COCO files, in three parts.

::

    deepseg_dataset.json        what is in it: categories, parts, tile size
    train/                      and likewise validation/ and test/
        images/scene_r3_c5.tif  values and bands of the raster, 0 (floats: NaN) without data
        masks/scene_r3_c5.tif   0 background, 1… the categories, 255 not known or no data
        annotations.json        COCO, with the pixels of each object exact

Outside of the labelled area nothing is known. Values are what the raster's numbers mean: colours of
a palette, and float32 where it has a scale or an offset, since few programs look for those.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepseg_qgis import __version__
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import dataset_split
from deepseg_qgis.engine.exchange.coco.dataset_file import CocoDataset
from deepseg_qgis.engine.exchange.dataset_split import PARTS, Parts
from deepseg_qgis.engine.exchange.label_rasters.value_names import NAMESPACE, category_tags
from deepseg_qgis.engine.files.raster_inputs.bands import Band
from deepseg_qgis.engine.files.raster_output import RasterOutput
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, burnt
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Tile, Window
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.errors import VectorError, counted

MARKER = "deepseg_dataset.json"
BESIDE = (".aux.xml", ".ovr", ".msk")
"""What QGIS and GDAL keep beside a chip."""
UNKNOWN = 255
"""Of masks: outside of the labelled area, or no data."""
COUNTING_SHARE = 0.2
"""The first part of the work, as a share of the progress bar."""


@dataclass(frozen=True)
class Labelled:
    """A raster, what is annotated on it (classes count through ``categories``), and where."""

    raster: Raster
    annotated: AnnotatedArea
    area: Area
    categories: tuple[Category, ...]


def write(
    folder: Path, labelled: Labelled, tiles: Sequence[Tile], control: Control
) -> dict[tuple[int, int], str]:
    """Write the data set into an empty folder; return the part of each tile that is in it.

    Memory: a chip, and the list of tiles.

    Raises:
        VectorError: no tile has known pixels.
        OutputError: the disk is full.
        Stopped: the user asked to stop.
    """
    counts = []
    for number, tile in enumerate(tiles):
        control.check()
        control.progress(COUNTING_SHARE * number / len(tiles), "Counting pixels")
        number_of_classes = len(labelled.categories)
        counts.append(
            dataset_split.class_counts(tile, labelled.annotated, labelled.area, number_of_classes)
        )
    parts = dataset_split.divided(tiles, counts, control)
    written = _Writer(folder, labelled).write(tiles, parts, control.part(COUNTING_SHARE, 1.0))
    if not written.part_of:
        raise VectorError(
            f"No tile of {labelled.raster.name} holds labelled pixels with data. Check that the "
            "annotations lie over the raster."
        )
    (folder / MARKER).write_text(json.dumps(written.description(tiles), indent=1))
    _tell(written, parts, control)
    return written.part_of


def foreign_files(folder: Path) -> list[str]:
    """Return what lies in a folder and is not of a data set as it was written into it.

    That is also a mask or an annotation that was changed since: the marker is written last.

    Raises:
        OSError: it cannot be read.
    """
    written_ns = 0
    try:
        written_ns = (folder / MARKER).stat().st_mtime_ns
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        stem = re.escape(plain_stem(marker["raster"]))
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        own = re.compile("(?!)")
    else:
        beside = "|".join(map(re.escape, BESIDE))
        chip = rf"(images|masks)(/{stem}_r\d+_c\d+\.tif({beside})?)?"
        own = re.compile(rf"{MARKER}|({'|'.join(PARTS)})(/({chip}|annotations\.json))?")
    found = {each.relative_to(folder).as_posix(): each for each in folder.rglob("*")}
    return sorted(
        name
        for name, place in found.items()
        if not own.fullmatch(name) or _is_newer(place, written_ns)
    )


def _is_newer(place: Path, written_ns: int) -> bool:
    """Whether a file was changed by hand; what programs keep beside a raster is not."""
    beside = place.name.endswith(BESIDE)
    return not beside and place.is_file() and place.stat().st_mtime_ns > written_ns


class _Writer:
    """Writes chip after chip, and keeps account."""

    def __init__(self, folder: Path, labelled: Labelled) -> None:
        self._folder, self.labelled = folder, labelled
        self._stem = plain_stem(labelled.raster.name)
        self.part_of: dict[tuple[int, int], str] = {}
        self.chips: Counter[str] = Counter()
        self.objects: Counter[str] = Counter()
        self.pixels = {
            part: np.zeros(len(labelled.categories) + 1, dtype=np.int64) for part in PARTS
        }

    def write(self, tiles: Sequence[Tile], parts: Parts, control: Control) -> _Writer:
        """Write all chips; return itself."""
        with contextlib.ExitStack() as stack:
            files = {}
            for part in PARTS:
                for kind in ("images", "masks"):
                    (self._folder / part / kind).mkdir(parents=True)
                path = str(self._folder / part / "annotations.json")
                files[part] = stack.enter_context(CocoDataset(path, self.labelled.categories))
            for number, tile in enumerate(tiles):
                control.check()
                control.progress(number / len(tiles), "Writing chips")
                found = parts.part_of.get((tile.row, tile.column))
                if found is not None:
                    self._add(tile, found, files[found])
        return self

    def _add(self, tile: Tile, part: str, file: CocoDataset) -> None:
        labelled, window = self.labelled, tile.window
        pixels = labelled.raster.read(window)
        known = pixels.valid & labelled.area.mask(window)
        if not known.any():
            return
        classes = labelled.annotated.mask(window)
        name = f"{self._stem}_r{tile.row}_c{tile.column}.tif"
        values = _without_invalid(pixels.values, pixels.valid)
        nodata = float("nan") if values.dtype.kind == "f" else None
        self._save(part, "images", name, window, values, nodata, labelled.raster.kind.bands)
        mask = np.where(known, classes, np.uint8(UNKNOWN))[None]
        self._save(part, "masks", name, window, mask, UNKNOWN)
        image = file.add_image(f"images/{name}", window.height, window.width)
        annotated = labelled.annotated
        for i in annotated.near(window).tolist():
            one = annotated.geometries[i : i + 1]
            own = burnt(one, np.ones(1, dtype=np.uint8), window).astype(bool) & known
            if own.any():
                file.add(image, int(annotated.classes[i]), own)
                self.objects[part] += 1
        self.part_of[tile.row, tile.column] = part
        self.chips[part] += 1
        self.pixels[part] += np.bincount(classes[known], minlength=len(self.pixels[part]))

    def _save(
        self,
        part: str,
        kind: str,
        name: str,
        window: Window,
        values: NDArray[np.generic],
        nodata: float | None,
        bands: Sequence[Band] = (),
    ) -> None:
        own = self.labelled.raster.grid
        moved = own.transform @ Affine.translation(window.column, window.row)
        grid = Grid(window.width, window.height, moved, own.crs)
        path = str(self._folder / part / kind / name)
        with RasterOutput(path, grid, len(values), str(values.dtype), nodata) as output:
            output.tell_bands(bands)
            if kind == "masks":
                output.tag(NAMESPACE, category_tags(self.labelled.categories))
            output.write(grid.window, values)

    def description(self, tiles: Sequence[Tile]) -> dict[str, Any]:
        """Return what the marker file says."""
        return {
            "made_by": f"DeepSeg {__version__}",
            "raster": self.labelled.raster.name,
            "tile_size_px": [tiles[0].window.height, tiles[0].window.width],
            "unknown": UNKNOWN,
            "categories": [
                {"id": i + 1, **asdict(category)}
                for i, category in enumerate(self.labelled.categories)
            ],
            "parts": {
                part: {
                    "chips": self.chips[part],
                    "objects": self.objects[part],
                    "pixels": self.pixels[part].tolist(),
                }
                for part in PARTS
            },
        }


def plain_stem(name: str) -> str:
    """Return a raster's name as a file name for every system: letters, digits, - and _ alone."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem)[:60].strip("_") or "raster"


def _without_invalid(values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.generic]:
    """Return the values with 0, or NaN, where there is no data."""
    nothing = np.array(np.nan if values.dtype.kind == "f" else 0, dtype=values.dtype)
    return np.where(valid, values, nothing)


def _tell(written: _Writer, parts: Parts, control: Control) -> None:
    control.log(
        "Data set: "
        + ", ".join(
            f"{counted(written.chips[part], 'chip')} and "
            f"{counted(written.objects[part], 'object')} for {part}"
            for part in PARTS
        )
        + "."
    )
    if parts.left_out:
        control.warn(
            f"{counted(parts.left_out, 'tile')} left out of the data set, because of an "
            "overlap with tiles of another part. With an overlap of 0 none is lost."
        )
    total = np.sum(list(written.pixels.values()), axis=0)
    for i, category in enumerate(written.labelled.categories):
        missing = [
            part for part in PARTS if written.chips[part] and not written.pixels[part][i + 1]
        ]
        if missing and total[i + 1]:
            control.warn(
                f"The category '{category.name}' is missing in {' and '.join(missing)}: it "
                "occurs in too few places."
            )
