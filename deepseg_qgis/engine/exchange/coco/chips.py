"""Image chips and their objects as a COCO file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

from deepseg_qgis import __version__
from deepseg_qgis.engine.exchange.coco.writer import CocoWriter
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.legend import PLAIN_COLOUR, Category
from deepseg_qgis.engine.vectorising.vectoriser import components


class CocoChips(CocoWriter):
    """A COCO file to which chips are added, and the objects of each. Memory: the list of chips.

    Raises:
        OutputError: the file cannot be made.
    """

    def __init__(self, path: str, categories: Sequence[Category]) -> None:
        self._images: list[dict[str, Any]] = []
        members = {
            "info": {"description": "Made by DeepSeg for QGIS", "version": __version__},
            "licenses": [],
            "categories": [
                {"id": i, "name": category.name, "supercategory": "", **_colour(category)}
                for i, category in enumerate(categories, start=1)
            ],
        }
        super().__init__(path, members, ensure_ascii=True)

    def later_members(self) -> Mapping[str, object]:
        """Return the chips."""
        return {"images": self._images}

    def add_image(self, file_name: str, height: int, width: int) -> int:
        """Add a chip; return its id."""
        number = len(self._images) + 1
        self._images.append(
            {"id": number, "file_name": file_name, "height": height, "width": width}
        )
        return number

    def add(self, image_id: int, category_id: int, pixels: NDArray[np.bool_]) -> None:
        """Write an object of a chip; ``pixels`` has the chip's (rows, columns), some are True."""
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
        annotation = {
            "id": self.annotations + 1,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": segmentation(pixels, Window(top, left, height, width)),
            "area": int(pixels.sum()),
            "bbox": [left, top, width, height],
            "iscrowd": 0,
        }
        self.write([json.dumps(annotation)])


def _colour(category: Category) -> dict[str, list[int]]:
    """Return the member that COCO's panoptic files have for a colour; nothing for the plain one."""
    if category.colour == PLAIN_COLOUR:
        return {}
    return {"color": [int(category.colour[i : i + 2], 16) for i in (1, 3, 5)]}


def segmentation(pixels: NDArray[np.bool_], around: Window) -> list[list[int]] | dict[str, Any]:
    """Return an object's outlines along the pixels' edges, or run lengths where it has holes.

    Both mean exactly these pixels to pycocotools. ``around`` holds all of them.
    """
    inside = np.ascontiguousarray(pixels[around.slices].astype(np.uint8))
    polygons = components(inside, inside, around).polygons
    if len(polygons.rings) == len(polygons.parts):  # one ring for each part: no holes
        starts = polygons.rings.tolist()
        return [
            polygons.coordinates[start : end - 1].astype(np.int64).ravel().tolist()
            for start, end in itertools.pairwise(starts)
        ]
    packed = run_lengths.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {
        "size": [int(length) for length in packed["size"]],
        "counts": packed["counts"].decode("ascii"),
    }
