"""COCO files as they come from people: images, categories and annotations, one at a time.

Nothing in them is believed. What cannot be used is counted, not fatal, as long as the file is JSON.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco_shapes import UnusableShape, shape_of
from deepseg_qgis.engine.exchange.imported import Piece, Place, Tally, as_objects, clean_name
from deepseg_qgis.engine.exchange.pairing import paired
from deepseg_qgis.engine.files.json_stream import elements
from deepseg_qgis.errors import VectorError

BATCH = 2000
BATCH_VERTICES = 500_000
MOST_CATEGORIES = 100_000
LARGEST_ID = 2**63 - 1

Key = int | str


@dataclass(frozen=True)
class CocoTables:
    """What annotations refer to: categories by id, and the images that lie on a raster by id."""

    categories: dict[Key, str]
    images: dict[Key, Place]


def read_tables(path: str, places: Sequence[Place], control: Control) -> CocoTables:
    """Return the categories of a COCO file, and its images on the rasters; others are counted.

    Memory: categories, and the name of each image.

    Raises:
        VectorError: the file is no COCO JSON, or no image lies on a raster.
    """
    categories: dict[Key, str] = {}
    found: list[tuple[Key, str, Mapping[str, Any]]] = []
    seen: Counter[str] = Counter()
    for kind, element in elements(path, ("images", "categories", "annotations")):
        control.check()
        seen[kind] += 1
        if kind == "annotations" or not isinstance(element, dict):
            continue
        key = key_of(element.get("id"))
        if key is None:
            seen[f"{kind} without an id"] += 1
        elif kind == "categories":
            name = element.get("name")
            name = clean_name(name) if isinstance(name, str) else ""
            categories[key] = name or str(key)
            _check_categories(categories, path)
        elif isinstance(element.get("file_name"), str):
            size = {side: element.get(side) for side in ("width", "height")}
            found.append((key, element["file_name"], size))
        else:
            seen["images without a file name"] += 1
    if not seen["images"] or not seen["annotations"]:
        raise VectorError(
            f"{path} holds {seen['images']:,} images and {seen['annotations']:,} annotations. "
            "Expected a COCO JSON file with both (a file of COCO results has no images). Choose "
            "another file, or export it again."
        )
    return CocoTables(categories, _on_rasters(found, places, seen, control))


def _check_categories(categories: dict[Key, str], path: str) -> None:
    if len(categories) > MOST_CATEGORIES:
        raise VectorError(
            f"{path} has more than {MOST_CATEGORIES:,} categories. Expected a COCO JSON file of "
            "some categories; choose another file."
        )


def _on_rasters(
    found: list[tuple[Key, str, Mapping[str, Any]]],
    places: Sequence[Place],
    seen: Counter[str],
    control: Control,
) -> dict[Key, Place]:
    pairs = paired(
        ((i, name) for i, (_, name, _) in enumerate(found)), [place.path for place in places]
    )
    images: dict[Key, Place] = {}
    other_size = []
    for i, number in pairs.raster_of.items():
        key, name, size = found[i]
        grid = places[number].grid
        stated = (_whole(size["width"]), _whole(size["height"]))
        if stated not in ((None, None), (0, 0), (grid.width, grid.height)):
            other_size.append(f"{name[:80]!r} ({stated[0]} × {stated[1]} px)")
        else:
            images[key] = places[number]
    names = ", ".join(place.name for place in places[:3])
    if pairs.without:
        control.log(f"{pairs.without:,} image(s) of the file lie on none of the rasters.")
    for what, count in seen.items():
        if "without" in what:
            control.warn(f"{count:,} {what} left out.")
    if pairs.ambiguous:
        control.warn(
            f"{len(pairs.ambiguous):,} image(s) left out, since their name fits several rasters, "
            f"or a raster fits several of them: {', '.join(map(repr, pairs.ambiguous[:3]))[:300]}."
        )
    if other_size:
        control.warn(
            f"{len(other_size):,} image(s) left out, since their raster has another size: "
            f"{', '.join(other_size[:3])}. Choose the rasters that were annotated."
        )
    if not images:
        raise VectorError(
            f"None of the {len(found):,} images in the file lies on the rasters ({names}). "
            "Expected images with the rasters' file names (without folder, extension) and sizes. "
            "Choose the rasters that were annotated, or rename them."
        )
    return images


def read_annotations(
    path: str, tables: CocoTables, tally: Tally, control: Control
) -> Iterator[Piece]:
    """Yield the annotations on the rasters, in the file's order as far as one raster goes.

    Memory: some thousands of annotations.

    Raises:
        VectorError: the file is no COCO JSON any more.
    """
    waiting = _Waiting()
    for number, (_, element) in enumerate(elements(path, ("annotations",))):
        control.check()
        control.progress(1.0 - 1.0 / (1.0 + number / 1e4), f"Reading annotation {number + 1:,}")
        try:
            place, row = _read(element, tables, tally)
        except UnusableShape as error:
            tally.left_out[str(error)] += 1
            continue
        if place is not None:
            yield from waiting.add(place, row)
    yield from waiting.flushed()


Row = tuple[shapely.Geometry, int | None, str, int]


def _read(element: object, tables: CocoTables, tally: Tally) -> tuple[Place | None, Row]:
    """Return where an annotation lies (None: on no raster), and what it holds."""
    if not isinstance(element, dict):
        raise UnusableShape("that are no JSON objects")
    image = key_of(element.get("image_id"))
    place = tables.images.get(image) if image is not None else None
    if place is None:
        tally.left_out["of images that lie on no raster"] += 1
        return None, (None, None, "", 0)
    key = key_of(element.get("category_id"))
    if key is None:
        raise UnusableShape("without a category")
    if key not in tables.categories:
        tally.notes["of a category without a name, which is called by its number"] += 1
    category = tables.categories.get(key) or clean_name(str(key)) or "unnamed"
    shape = shape_of(element, place.grid.height, place.grid.width)
    tally.notes.update(shape.notes)
    crowd = int(element.get("iscrowd") in (1, True))
    if crowd:
        tally.notes["of crowds (one outline for many objects), with 1 in the field 'iscrowd'"] += 1
    number = key_of(element.get("id"))
    whole = isinstance(number, int) and abs(number) <= LARGEST_ID
    return place, (shape.geometry, number if whole else None, category, crowd)  # type: ignore[return-value]


class _Waiting:
    """Annotations by raster, until there are enough to be projected together."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Place, list[Row]]] = {}
        self._count = self._vertices = 0

    def add(self, place: Place, row: Row) -> Iterator[Piece]:
        self._rows.setdefault(place.path, (place, []))[1].append(row)
        self._count += 1
        self._vertices += int(shapely.get_num_coordinates(row[0]))
        if self._count >= BATCH or self._vertices >= BATCH_VERTICES:
            yield from self.flushed()

    def flushed(self) -> Iterator[Piece]:
        for place, rows in self._rows.values():
            shapes, ids, categories, crowds = zip(*rows, strict=True)
            yield Piece(place, as_objects(shapes), ids, categories, crowds)
        self._rows.clear()
        self._count = self._vertices = 0


def key_of(value: object) -> Key | None:
    """Return an id, where whole numbers are alike however they are written; None if it is none."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) else text or None
    return _whole(value)


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    return value if isinstance(value, int) else None
