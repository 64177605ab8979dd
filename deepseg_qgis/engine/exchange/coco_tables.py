"""What the annotations of a COCO file refer to: its images and categories. Nothing is believed.

Files that were merged give one id to several things. What such an id means is not guessed: images
are left out, and categories keep all of their names.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco_images import CocoImage, ImageEntry, on_rasters
from deepseg_qgis.engine.exchange.coco_reading import Reading, Survey
from deepseg_qgis.engine.exchange.coco_values import Key, key_of, whole
from deepseg_qgis.engine.exchange.file_names import folded, mended_letters, trail_of
from deepseg_qgis.engine.exchange.imported import Place, clean_name, is_colour
from deepseg_qgis.engine.exchange.samples import Sample
from deepseg_qgis.engine.exchange.scales import Size
from deepseg_qgis.engine.files.json_stream import elements
from deepseg_qgis.errors import VectorError, counted

MOST_CATEGORIES = 100_000
LARGEST_ID = 2**62
MEMBERS = ("images", "categories", "annotations", "image")
OTHER_NAMES = ("name", "original_filename", "original_file_name", "path", "coco_url", "file_path")
"""Where writers keep what an image was called before, in the image or its ``extra``."""


@dataclass(frozen=True)
class CocoTables:
    """What annotations refer to: names of categories by id, and images on a raster by id.

    ``keys_by_name`` has the ids of images by their `image_names`; ``unclear_images`` are ids that
    the file gives to several images, ``only_image`` is that of a
    file with one image, ``repeated_ids`` those of several annotations, which the free ids from
    ``next_id`` on replace.
    """

    categories: dict[Key, str]
    images: dict[Key, CocoImage]
    colours: dict[str, str] = field(default_factory=dict)
    unclear_categories: frozenset[Key] = frozenset()
    unclear_images: frozenset[Key] = frozenset()
    only_image: Key | None = None
    repeated_ids: frozenset[int] = frozenset()
    next_id: int = 1
    reading: Reading = field(default_factory=Reading)
    keys_by_name: Mapping[str, Key] = field(default_factory=dict)


def read_tables(path: str, places: Sequence[Place], control: Control) -> CocoTables:
    """Return what the annotations of a COCO file refer to; what cannot be used is counted.

    Memory: categories, the name of each image, and 8 bytes for each annotation.

    Raises:
        VectorError: the file is no COCO JSON, or no image lies on a raster.
    """
    found = _Found()
    for kind, element in elements(path, MEMBERS, control.warn):
        control.check()
        found.add(kind, element)
        if len(found.categories) > MOST_CATEGORIES:
            raise VectorError(
                f"{path} has more than {MOST_CATEGORIES:,} categories. Expected a COCO JSON file "
                "of some categories; choose another file."
            )
    found.tell(control)
    if not found.images:
        raise VectorError(
            f"{path} holds 0 usable images and "
            f"{counted(found.count['annotations'], 'annotation')}. Expected a COCO JSON file with "
            "both (a file of COCO results has no images). Choose another file, or export it again."
        )
    images = on_rasters(found.images, places, control)
    ids, most = _repeated(found.ids)
    return CocoTables(
        categories={key: " or ".join(names) for key, names in found.categories.items()},
        images=images.usable,
        colours=found.colours,
        unclear_categories=frozenset(k for k, names in found.categories.items() if len(names) > 1),
        unclear_images=frozenset(images.unclear),
        only_image=found.only_image,
        repeated_ids=ids,
        next_id=most + 1,
        reading=_reading(found, images.usable, control),
        keys_by_name=_keys_by_name(found.images, images.usable),
    )


def image_names(name: str) -> tuple[str, str]:
    """Return what a file name compares by: itself, and without folder and extension."""
    return folded(name), trail_of(name)[0][0]


def _keys_by_name(entries: Sequence[ImageEntry], images: Mapping[Key, CocoImage]) -> dict[str, Key]:
    """Return the ids of images on a raster by name, where it is that of one image alone."""
    keys: dict[str, Key] = {}
    for entry in entries:
        if entry.key in images:
            keys.update(dict.fromkeys(image_names(entry.name), entry.key))
    shared = {
        name
        for entry in entries
        for name in image_names(entry.name)
        if keys.get(name, entry.key) != entry.key
    }
    return {name: key for name, key in keys.items() if name not in shared}


def _reading(found: _Found, images: Mapping[Key, CocoImage], control: Control) -> Reading:
    def size_of(key: Key) -> Size | None:
        return (images[key].width, images[key].height) if key in images else None

    reading = found.survey.reading(size_of)
    for guess in reading.guesses():
        control.warn(guess)
    return reading


class _Found:
    """What the file holds, gathered element by element."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.useless: dict[str, Sample] = defaultdict(Sample)
        self.categories: dict[Key, list[str]] = {}
        self.colours: dict[str, str] = {}
        self.images: list[ImageEntry] = []
        self.mended = Sample()
        self.ids = array("q")
        self.survey = Survey()

    @property
    def only_image(self) -> Key | None:
        """The id of the one image of the file, for annotations that name none."""
        keys = {entry.key for entry in self.images}
        return keys.pop() if len(keys) == 1 and self.count["images"] == 1 else None

    def add(self, kind: str, element: object) -> None:
        """Take an element of the file."""
        kind = "images" if kind == "image" else kind
        self.count[kind] += 1
        if not isinstance(element, dict):
            if kind != "annotations":
                self.useless[f"{kind} that are no JSON objects"].add(element)
        elif kind == "annotations":
            self.survey.add(element)
            number = key_of(element.get("id"))
            if isinstance(number, int) and abs(number) <= LARGEST_ID:
                self.ids.append(number)
        elif kind == "categories":
            self._add_category(element)
        else:
            self._add_image(element)

    def tell(self, control: Control) -> None:
        """Write what cannot be used into the log."""
        for what, sample in self.useless.items():
            control.warn(f"Left out: {what}: {sample.count:,} ({sample}).")
        if self.mended.count:
            control.warn(
                "Category names of which letters were read in a wrong encoding, mended: "
                f"{self.mended.count:,} ({self.mended})."
            )
        for key, names in self.categories.items():
            if len(names) > 1:
                control.warn(
                    f"The file gives category {key} several names ({', '.join(names)}), as files "
                    f"do that were merged: its annotations are called '{' or '.join(names)}'. "
                    "Correct them on the map, or merge the files again with distinct ids."
                )

    def _add_category(self, element: Mapping[str, Any]) -> None:
        name = category_name(element.get("name"))
        key = key_of(element.get("id"))
        if key is None:
            self.useless["categories without an id"].add(name or element)
            return
        names = self.categories.setdefault(key, [])
        mended = mended_letters(name)
        if mended is not None:
            self.mended.add(f"{name} = {mended}")
            name = clean_name(mended)
        name = name or clean_name(str(key)) or "unnamed"
        if name not in names:
            names.append(name)
        colour = _colour(element.get("color"))
        if colour:
            self.colours.setdefault(name, colour)

    def _add_image(self, element: Mapping[str, Any]) -> None:
        key = key_of(element.get("id", element.get("image_id")))
        extra = element.get("extra")
        holders = [element, extra if isinstance(extra, dict) else {}]
        written = [holder.get(each) for holder in holders for each in OTHER_NAMES]
        names = [each for each in (element.get("file_name"), *written) if _is_name(each)]
        if key is None:
            self.useless["images without an id"].add(names[0] if names else element)
        elif not names:
            self.useless["images without a file name"].add(f"id {key}")
        else:
            others = tuple(dict.fromkeys(names[1:]))
            self.images.append(ImageEntry(key, names[0], others, _size_of(element)))


def _size_of(element: Mapping[str, Any]) -> Size | None:
    width, height = whole(element.get("width")), whole(element.get("height"))
    if width is None or height is None or min(width, height) <= 0:
        return None
    return width, height


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def category_name(value: object) -> str:
    """Return a name in one clean line, also of a number or truth value; '' where there is none.

    >>> category_name(3.0), category_name(True), category_name("  a  b "), category_name(None)
    ('3', 'true', 'a b', '')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        number = whole(value)
        return clean_name(str(value if number is None else number))
    return clean_name(value) if isinstance(value, str) else ""


def _colour(value: object) -> str | None:
    """Return a category's colour as ``#rrggbb``, from that or from [red, green, blue]."""
    if isinstance(value, list) and len(value) == 3:
        parts = [whole(part) for part in value]
        if all(part is not None and 0 <= part <= 255 for part in parts):
            return "#" + "".join(f"{part:02x}" for part in parts)
    text = value.lower() if isinstance(value, str) else ""
    return text if is_colour(text) else None


def _repeated(ids: array[int]) -> tuple[frozenset[int], int]:
    """Return which ids occur more than once, and the largest. Memory: 16 bytes for each."""
    every: NDArray[np.int64] = np.frombuffer(ids, dtype=np.int64) if ids else np.zeros(0, np.int64)
    values, counts = np.unique(every, return_counts=True)
    return frozenset(values[counts > 1].tolist()), max(int(values[-1]), 0) if len(values) else 0
