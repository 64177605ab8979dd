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

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepseg_qgis import __version__
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import dataset_split
from deepseg_qgis.engine.exchange.annotated_raster import AnnotatedRaster
from deepseg_qgis.engine.exchange.dataset_chips import (
    UNKNOWN,
    WrittenChips,
    plain_stem,
    write_chips,
)
from deepseg_qgis.engine.exchange.dataset_split import PARTS
from deepseg_qgis.engine.geometry.tiling import Tile
from deepseg_qgis.errors import VectorError, counted

MARKER = "deepseg_dataset.json"
BESIDE = (".aux.xml", ".ovr", ".msk")
"""What QGIS and GDAL keep beside a chip."""
COUNTING_SHARE = 0.2
"""The first part of the work, as a share of the progress bar."""


def write(
    folder: Path, annotated: AnnotatedRaster, tiles: Sequence[Tile], control: Control
) -> dict[tuple[int, int], str]:
    """Write the data set into an empty folder; return the part of each tile that is in it.

    Memory: a chip, and the list of tiles.

    Raises:
        VectorError: no tile has known pixels.
        OutputError: the disk is full.
        Stopped: the user asked to stop.
    """
    class_counts = []
    for number, tile in enumerate(tiles):
        control.check()
        control.progress(COUNTING_SHARE * number / len(tiles), "Counting pixels")
        class_counts.append(dataset_split.class_counts(tile, annotated))
    split = dataset_split.split(tiles, class_counts, control)
    chips = write_chips(folder, annotated, tiles, split, control.part(COUNTING_SHARE, 1.0))
    if not chips.part_of:
        raise VectorError(
            f"No tile of {annotated.raster.name} holds labelled pixels with data. Check that the "
            "annotations lie over the raster."
        )
    (folder / MARKER).write_text(json.dumps(_description(annotated, tiles, chips), indent=1))
    _log(annotated, chips, split.left_out, control)
    return chips.part_of


def _description(
    annotated: AnnotatedRaster, tiles: Sequence[Tile], chips: WrittenChips
) -> dict[str, Any]:
    """Return what the marker file says."""
    return {
        "made_by": f"DeepSeg {__version__}",
        "raster": annotated.raster.name,
        "tile_size_px": [tiles[0].window.height, tiles[0].window.width],
        "unknown": UNKNOWN,
        "categories": [
            {"id": i, **asdict(category)} for i, category in enumerate(annotated.categories, 1)
        ],
        "parts": {
            part: {
                "chips": counts.chips,
                "objects": counts.objects,
                "pixels": counts.pixels.tolist(),
            }
            for part, counts in chips.counts.items()
        },
    }


def _log(annotated: AnnotatedRaster, chips: WrittenChips, left_out: int, control: Control) -> None:
    parts = ", ".join(
        f"{counted(counts.chips, 'chip')} and {counted(counts.objects, 'object')} for {part}"
        for part, counts in chips.counts.items()
    )
    control.log(f"Data set: {parts}.")
    if left_out:
        control.warn(
            f"{counted(left_out, 'tile')} left out of the data set, because of an overlap with "
            "tiles of another part. With an overlap of 0 none is lost."
        )
    for i, category in enumerate(annotated.categories, start=1):
        has_some = any(counts.pixels[i] for counts in chips.counts.values())
        missing = [
            part for part, counts in chips.counts.items() if counts.chips and not counts.pixels[i]
        ]
        if missing and has_some:
            control.warn(
                f"The category '{category.name}' is missing in {' and '.join(missing)}: it "
                "occurs in too few places."
            )


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
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return sorted(
        name
        for name, path in paths.items()
        if not own.fullmatch(name) or _is_newer(path, written_ns)
    )


def _is_newer(path: Path, written_ns: int) -> bool:
    """Whether a file was changed by hand; what programs keep beside a raster is not."""
    beside = path.name.endswith(BESIDE)
    return not beside and path.is_file() and path.stat().st_mtime_ns > written_ns
