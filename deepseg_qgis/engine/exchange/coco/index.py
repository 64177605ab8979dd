"""What the annotations of a COCO file refer to: its images and categories. Nothing is believed.

Files that were merged give one id to several things. What such an id means is not guessed: images
are left out, and categories keep all of their names.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco.contents import CocoContents
from deepseg_qgis.engine.exchange.coco.coordinates import CoordinateUnits
from deepseg_qgis.engine.exchange.coco.images import ImageEntry, PlacedImage, match_images
from deepseg_qgis.engine.exchange.coco.values import Id
from deepseg_qgis.engine.exchange.file_names import normalised, path_parts
from deepseg_qgis.engine.exchange.image_scale import Size
from deepseg_qgis.engine.exchange.imported_polygons import TargetRaster
from deepseg_qgis.engine.files.json_stream import elements
from deepseg_qgis.errors import VectorError, counted

MOST_CATEGORIES = 100_000
MEMBERS = ("images", "categories", "annotations", "image")


@dataclass(frozen=True)
class CocoIndex:
    """What annotations refer to: names of categories by id, and images on a raster by id.

    ``ambiguous_images`` are ids that the file gives to several images, ``only_image`` is that of a
    file with one image; ``ids_by_name`` has the ids of images by their `image_names`.
    ``repeated_ids`` are those of several annotations, which the free ids from ``next_id`` on
    replace.
    """

    categories: dict[Id, str]
    images: dict[Id, PlacedImage]
    colours: dict[str, str] = field(default_factory=dict)
    ambiguous_categories: frozenset[Id] = frozenset()
    ambiguous_images: frozenset[Id] = frozenset()
    only_image: Id | None = None
    repeated_ids: frozenset[int] = frozenset()
    next_id: int = 1
    units: CoordinateUnits = field(default_factory=CoordinateUnits)
    ids_by_name: Mapping[str, Id] = field(default_factory=dict)


def read_index(path: str, targets: Sequence[TargetRaster], control: Control) -> CocoIndex:
    """Return what the annotations of a COCO file refer to; what cannot be used is counted.

    Memory: categories, the name of each image, and 8 bytes for each annotation.

    Raises:
        VectorError: the file is no COCO JSON, or no image lies on a raster.
    """
    contents = CocoContents()
    for kind, element in elements(path, MEMBERS, control.warn):
        control.check()
        contents.add(kind, element)
        if len(contents.categories) > MOST_CATEGORIES:
            raise VectorError(
                f"{path} has more than {MOST_CATEGORIES:,} categories. Expected a COCO JSON file "
                "of some categories; choose another file."
            )
    contents.log_problems(control)
    if not contents.images:
        raise VectorError(
            f"{path} holds 0 usable images and "
            f"{counted(contents.counts['annotations'], 'annotation')}. Expected a COCO JSON file "
            "with both (a file of COCO results has no images). Choose another file, or export it "
            "again."
        )
    images = match_images(contents.images, targets, control)
    repeated_ids, largest_id = _repeated(contents.ids)
    return CocoIndex(
        categories={number: " or ".join(names) for number, names in contents.categories.items()},
        images=images.usable,
        colours=contents.colours,
        ambiguous_categories=frozenset(
            number for number, names in contents.categories.items() if len(names) > 1
        ),
        ambiguous_images=frozenset(images.ambiguous),
        only_image=contents.only_image,
        repeated_ids=repeated_ids,
        next_id=largest_id + 1,
        units=_units(contents, images.usable, control),
        ids_by_name=_ids_by_name(contents.images, images.usable),
    )


def image_names(name: str) -> tuple[str, str]:
    """Return what a file name compares by: itself, and without folder and extension."""
    return normalised(name), path_parts(name).stem


def _ids_by_name(entries: Sequence[ImageEntry], images: Mapping[Id, PlacedImage]) -> dict[str, Id]:
    """Return the ids of images on a raster by name, where it is that of one image alone."""
    ids: dict[str, Id] = {}
    for entry in entries:
        if entry.id in images:
            ids.update(dict.fromkeys(image_names(entry.name), entry.id))
    shared = {
        name
        for entry in entries
        for name in image_names(entry.name)
        if ids.get(name, entry.id) != entry.id
    }
    return {name: image_id for name, image_id in ids.items() if name not in shared}


def _units(
    contents: CocoContents, images: Mapping[Id, PlacedImage], control: Control
) -> CoordinateUnits:
    def size_of(image_id: Id) -> Size | None:
        image = images.get(image_id)
        return None if image is None else (image.width, image.height)

    units = contents.survey.units(size_of)
    for guess in units.guesses():
        control.warn(guess)
    return units


def _repeated(ids: array[int]) -> tuple[frozenset[int], int]:
    """Return which ids occur more than once, and the largest. Memory: 16 bytes for each."""
    numbers: NDArray[np.int64] = (
        np.frombuffer(ids, dtype=np.int64) if ids else np.zeros(0, np.int64)
    )
    values, counts = np.unique(numbers, return_counts=True)
    return frozenset(values[counts > 1].tolist()), max(int(values[-1]), 0) if len(values) else 0
