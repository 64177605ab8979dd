"""Objects as a COCO file: images, categories, and an annotation with a mask for each object.

Annotations are written as they come. The format: https://cocodataset.org/#format-data, with the
``score`` that COCO's results have. Ids count from 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepseg_qgis import __version__
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.vectorising.components import Components
from deepseg_qgis.engine.vectorising.run_lengths import masks
from deepseg_qgis.errors import DeepSegError, OutputError

LONGEST_MASK = 2**32 - 1
"""pycocotools counts the pixels of an image in 32 bits."""


@dataclass(frozen=True)
class CocoImage:
    """A raster as COCO knows it; lengths in pixels."""

    file_name: str
    height: int
    width: int


class CocoOutput:
    """A COCO file that is written object by object; a context manager.

    Memory: the masks of some objects as text.

    Raises:
        OutputError: the file cannot be made.
    """

    def __init__(
        self, path: str, images: Sequence[CocoImage], categories: Sequence[Category]
    ) -> None:
        self._images = images
        self._count = 0
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed on exit
        except OSError as error:
            raise OutputError(
                f"{path} could not be written ({error.strerror}). Choose another place."
            ) from error
        head = {
            "info": {"description": f"Predicted by DeepSeg {__version__}"},
            "licenses": [],
            "images": [
                {"id": i, "file_name": each.file_name, "width": each.width, "height": each.height}
                for i, each in enumerate(images, start=1)
            ],
            "categories": [
                {"id": i, "name": each.name} for i, each in enumerate(categories, start=1)
            ],
        }
        text = json.dumps(head, ensure_ascii=False)
        self._file.write(f'{text[:-1]}, "annotations": ['.encode())

    def add(self, image: int, objects: Components) -> None:
        """Write objects (with exact outlines) of the image with that place in the list.

        Raises:
            DeepSegError: a mask differs from its object, which would be a fault of this package.
        """
        size = self._images[image]
        shapes = objects.exact
        if not len(objects) or shapes is None:
            return
        found = masks(shapes, size.height, size.width)
        if not np.array_equal(found.sizes_px, objects.sizes_px):
            raise DeepSegError(
                "The masks for COCO differ from the polygons. This is a fault of DeepSeg's: please "
                "report it with the raster and the model."
            )
        starts = shapes.rings[shapes.parts[:-1]]
        low = np.minimum.reduceat(shapes.coordinates, starts).astype(np.int64)
        high = np.maximum.reduceat(shapes.coordinates, starts).astype(np.int64)
        text = found.text.decode("ascii")
        head = f'"image_id":{image + 1},"iscrowd":0,"segmentation":'
        head += f'{{"size":[{size.height},{size.width}],"counts":"'
        lines = []
        for box, kind, area, score, first, last in zip(
            np.column_stack([low, high - low]).tolist(),
            objects.classes.tolist(),
            objects.sizes_px.tolist(),
            objects.scores.tolist(),
            found.offsets[:-1].tolist(),
            found.offsets[1:].tolist(),
            strict=True,
        ):
            self._count += 1
            counts = text[first:last].replace("\\", "\\\\")
            lines.append(
                f'{{"id":{self._count},"category_id":{kind},"area":{area},"bbox":{box},'
                f'"score":{score!r},{head}{counts}"}}}}'
            )
        separator = "\n" if self._count == len(lines) else ",\n"
        self._file.write((separator + ",\n".join(lines)).encode())

    def finish(self) -> None:
        """Write the end of the file."""
        with self._file:
            self._file.write(b"\n]}\n")

    def __enter__(self) -> CocoOutput:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None and not self._file.closed:
            self.finish()
        self._file.close()
