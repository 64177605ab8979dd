"""A COCO file of image chips, written annotation by annotation."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

from deepseg_qgis import __version__
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.legend.legend import PLAIN_COLOUR, Category
from deepseg_qgis.engine.vectorising.vectoriser import components


class CocoDataset:
    """A COCO file with images, categories (ids from 1) and annotations; a context manager.

    Memory: the list of images.
    """

    def __init__(self, path: str, categories: tuple[Category, ...]) -> None:
        self._file = open(path, "w", encoding="ascii", newline="\n")  # noqa: SIM115 - closed below
        self._images: list[dict[str, Any]] = []
        self.annotations = 0
        info = {"description": "Made by DeepSeg for QGIS", "version": __version__}
        named = [
            {"id": i + 1, "name": category.name, "supercategory": "", **_colour(category)}
            for i, category in enumerate(categories)
        ]
        head = json.dumps({"info": info, "licenses": [], "categories": named})
        self._file.write(head[:-1] + ', "annotations": [')

    def add_image(self, file_name: str, height: int, width: int) -> int:
        """Add an image; return its id."""
        number = len(self._images) + 1
        self._images.append(
            {"id": number, "file_name": file_name, "height": height, "width": width}
        )
        return number

    def add(self, image: int, category: int, pixels: NDArray[np.bool_]) -> None:
        """Add an object of an image; ``pixels`` has the image's (rows, columns), some are True."""
        self.annotations += 1
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
        annotation = {
            "id": self.annotations,
            "image_id": image,
            "category_id": category,
            "segmentation": segmentation(pixels, Window(top, left, height, width)),
            "area": int(pixels.sum()),
            "bbox": [left, top, width, height],
            "iscrowd": 0,
        }
        separator = ",\n" if self.annotations > 1 else "\n"
        self._file.write(separator + json.dumps(annotation))

    def close(self) -> None:
        """Write the images and close the file."""
        try:
            self._file.write('\n], "images": ' + json.dumps(self._images) + "}\n")
        finally:
            self._file.close()

    def __enter__(self) -> CocoDataset:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()


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
