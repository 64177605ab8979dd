"""What a COCO file holds besides its annotations' shapes, gathered element by element. No I/O.

Nothing in the file is believed.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, TypeGuard

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.category_text import clean_name, hex_colour, is_colour
from deepseg_qgis.engine.exchange.coco.coordinates import CoordinateSurvey
from deepseg_qgis.engine.exchange.coco.images import ImageEntry
from deepseg_qgis.engine.exchange.coco.values import Id, parse_id, parse_whole_number
from deepseg_qgis.engine.exchange.examples import Examples
from deepseg_qgis.engine.exchange.file_names import repaired_mojibake
from deepseg_qgis.engine.exchange.image_scale import Size

LARGEST_ID = 2**62
OTHER_NAMES = ("name", "original_filename", "original_file_name", "path", "coco_url", "file_path")
"""Where writers keep what an image was called before, in the image or its ``extra``."""


class CocoContents:
    """Categories (names by id), images, the ids of annotations and how their numbers are meant.

    Memory: categories, the name of each image, and 8 bytes for each annotation.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.unusable: dict[str, Examples] = defaultdict(Examples)
        self.categories: dict[Id, list[str]] = {}
        self.colours: dict[str, str] = {}
        self.images: list[ImageEntry] = []
        self.repaired_names = Examples()
        self.ids = array("q")
        self.survey = CoordinateSurvey()

    @property
    def only_image(self) -> Id | None:
        """The id of the one image of the file, for annotations that name none."""
        ids = {entry.id for entry in self.images}
        return ids.pop() if len(ids) == 1 and self.counts["images"] == 1 else None

    def add(self, kind: str, element: object) -> None:
        """Take an element of the file."""
        kind = "images" if kind == "image" else kind
        self.counts[kind] += 1
        if not isinstance(element, dict):
            if kind != "annotations":
                self.unusable[f"{kind} that are no JSON objects"].add(element)
        elif kind == "annotations":
            self.survey.add(element)
            number = parse_id(element.get("id"))
            if isinstance(number, int) and abs(number) <= LARGEST_ID:
                self.ids.append(number)
        elif kind == "categories":
            self._add_category(element)
        else:
            self._add_image(element)

    def log_problems(self, control: Control) -> None:
        """Write what cannot be used into the log."""
        for what, examples in self.unusable.items():
            control.warn(f"Left out: {what}: {examples.count:,} ({examples}).")
        if self.repaired_names.count:
            control.warn(
                "Category names of which letters were read in a wrong encoding, mended: "
                f"{self.repaired_names.count:,} ({self.repaired_names})."
            )
        for category_id, names in self.categories.items():
            if len(names) > 1:
                control.warn(
                    f"The file gives category {category_id} several names ({', '.join(names)}), "
                    "as files do that were merged: its annotations are called "
                    f"'{' or '.join(names)}'. "
                    "Correct them on the map, or merge the files again with distinct ids."
                )

    def _add_category(self, element: Mapping[str, Any]) -> None:
        name = category_name(element.get("name"))
        category_id = parse_id(element.get("id"))
        if category_id is None:
            self.unusable["categories without an id"].add(name or element)
            return
        names = self.categories.setdefault(category_id, [])
        repaired = repaired_mojibake(name)
        if repaired is not None:
            self.repaired_names.add(f"{name} = {repaired}")
            name = clean_name(repaired)
        name = name or clean_name(str(category_id)) or "unnamed"
        if name not in names:
            names.append(name)
        colour = _colour(element.get("color"))
        if colour:
            self.colours.setdefault(name, colour)

    def _add_image(self, element: Mapping[str, Any]) -> None:
        image_id = parse_id(element.get("id", element.get("image_id")))
        extra = element.get("extra")
        holders = [element, extra if isinstance(extra, dict) else {}]
        others = [holder.get(member) for holder in holders for member in OTHER_NAMES]
        names = [name for name in (element.get("file_name"), *others) if _is_name(name)]
        if image_id is None:
            self.unusable["images without an id"].add(names[0] if names else element)
        elif not names:
            self.unusable["images without a file name"].add(f"id {image_id}")
        else:
            other_names = tuple(dict.fromkeys(names[1:]))
            self.images.append(ImageEntry(image_id, names[0], other_names, _stated_size(element)))


def _stated_size(element: Mapping[str, Any]) -> Size | None:
    width = parse_whole_number(element.get("width"))
    height = parse_whole_number(element.get("height"))
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
        number = parse_whole_number(value)
        return clean_name(str(value if number is None else number))
    return clean_name(value) if isinstance(value, str) else ""


def _colour(value: object) -> str | None:
    """Return a category's colour as ``#rrggbb``, from that or from [red, green, blue]."""
    if isinstance(value, list):
        return hex_colour([parse_whole_number(part) for part in value[:4]])
    text = value.lower() if isinstance(value, str) else ""
    return text if is_colour(text) else None
