"""Predicted objects as a COCO file: images, categories, and an annotation with a mask for each.

Annotations have the ``score`` of COCO's results.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deepseg_qgis import __version__
from deepseg_qgis.engine.exchange.coco.writer import CocoWriter
from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.vectorising.components import Components
from deepseg_qgis.engine.vectorising.run_lengths import Masks, masks
from deepseg_qgis.errors import DeepSegError


@dataclass(frozen=True)
class CocoImage:
    """A raster as COCO knows it; lengths in pixels."""

    file_name: str
    height: int
    width: int


class CocoPredictions(CocoWriter):
    """A COCO file of predictions on some images. Memory: the masks of some objects as text.

    Raises:
        OutputError: the file cannot be made.
    """

    def __init__(
        self, path: str, images: Sequence[CocoImage], categories: Sequence[Category]
    ) -> None:
        self._images = images
        members = {
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
        super().__init__(path, members)

    def add(self, image: int, objects: Components) -> None:
        """Write objects (with exact outlines) of the image with that place in the list.

        Raises:
            DeepSegError: a mask differs from its object, which would be a fault of this package.
        """
        size = self._images[image]
        shapes = objects.exact
        if not len(objects) or shapes is None:
            return
        encoded = masks(shapes, size.height, size.width)
        if not np.array_equal(encoded.sizes_px, objects.sizes_px):
            raise DeepSegError(
                "The masks for COCO differ from the polygons. This is a fault of DeepSeg's: please "
                "report it with the raster and the model."
            )
        head = f'"image_id":{image + 1},"iscrowd":0,"segmentation":'
        head += f'{{"size":[{size.height},{size.width}],"counts":"'
        annotations = []
        for number, (box, category, area, score, counts) in enumerate(
            _columns(objects, shapes, encoded), start=self.annotations + 1
        ):
            annotations.append(
                f'{{"id":{number},"category_id":{category},"area":{area},"bbox":{box},'
                f'"score":{score!r},{head}{counts}"}}}}'
            )
        self.write(annotations)


def _columns(
    objects: Components, shapes: PolygonArrays, encoded: Masks
) -> Iterator[tuple[list[int], int, int, float, str]]:
    """Yield each object's box, category, area, score, and run lengths as a JSON text has them."""
    starts = shapes.rings[shapes.parts[:-1]]
    low = np.minimum.reduceat(shapes.coordinates, starts).astype(np.int64)
    high = np.maximum.reduceat(shapes.coordinates, starts).astype(np.int64)
    text = encoded.text.decode("ascii")
    counts = (
        text[start:end].replace("\\", "\\\\")
        for start, end in itertools.pairwise(encoded.offsets.tolist())
    )
    return zip(
        np.column_stack([low, high - low]).tolist(),
        objects.classes.tolist(),
        objects.sizes_px.tolist(),
        objects.scores.tolist(),
        counts,
        strict=True,
    )
