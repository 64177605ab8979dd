"""Annotations of COCO files as they come from people, one at a time.

Nothing in them is believed. What cannot be used is counted, not fatal, as long as the file is JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import shapely

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco_images import CocoImage
from deepseg_qgis.engine.exchange.coco_shapes import shape_of
from deepseg_qgis.engine.exchange.coco_tables import (
    LARGEST_ID,
    CocoTables,
    category_name,
    image_names,
)
from deepseg_qgis.engine.exchange.coco_values import Key, UnusableShape, key_of
from deepseg_qgis.engine.exchange.imported import Piece, Place, Tally, as_objects
from deepseg_qgis.engine.files.json_stream import elements

BATCH = 2000
BATCH_VERTICES = 500_000
ELSEWHERE = "of images that lie on no raster"

Row = tuple[shapely.Geometry, int, str, int]


def read_annotations(
    path: str, tables: CocoTables, tally: Tally, control: Control, category: str = "unnamed"
) -> Iterator[Piece]:
    """Yield the annotations on the rasters, in the file's order as far as one raster goes.

    Those without a category are called ``category``. Memory: some thousands of annotations.

    Raises:
        VectorError: the file is no COCO JSON any more.
    """
    waiting = _Waiting()
    reader = _Reader(tables, tally, category)
    for number, (_, element) in enumerate(elements(path, ("annotations",))):
        control.check()
        control.progress(1.0 - 1.0 / (1.0 + number / 1e4), f"Reading annotation {number + 1:,}")
        title = _title(element, number)
        try:
            place, row = reader.read(element, title)
        except UnusableShape as error:
            tally.leave_out(str(error), title)
            continue
        yield from waiting.add(place, row)
    yield from waiting.flushed()


def _title(element: object, number: int) -> str:
    key = key_of(element.get("id")) if isinstance(element, dict) else None
    return f"number {number + 1}" if key is None else f"id {key}"


class _Reader:
    """Turns annotations into rows, whose ids are distinct."""

    def __init__(self, tables: CocoTables, tally: Tally, category: str) -> None:
        self._tables, self._tally, self._category = tables, tally, category
        self._next_id = tables.next_id
        self._met: set[int | bytes] = set()

    def read(self, element: object, title: str) -> tuple[Place, Row]:
        """Return where an annotation lies, and what it holds.

        Raises:
            UnusableShape: it cannot be used.
        """
        if not isinstance(element, dict):
            raise UnusableShape("that are no JSON objects")
        image = self._image(element, title)
        category = self._name(element, title)
        shape = shape_of(element, image.height, image.width, self._tables.reading)
        self._tally.note(shape.notes, title)
        self._tally.doubt(shape.doubts, title)
        crowd = int(key_of(element.get("iscrowd")) == 1 or element.get("iscrowd") is True)
        if crowd:
            what = "of crowds (one outline for many objects), with 1 in the field 'iscrowd'"
            self._tally.note([what], title)
        number = self._id(element, (image.place.path, shape.geometry, category), title)
        return image.place, (_on_raster(shape.geometry, image), number, category, crowd)

    def _image(self, element: Mapping[str, Any], title: str) -> CocoImage:
        key = key_of(element.get("image_id"))
        if key not in self._tables.images:
            key = self._key_by_name(key or element.get("file_name"), title) or key
        if key is None and self._tables.only_image is not None:
            key = self._tables.only_image
            self._tally.note(["that name no image, in a file of one image"], title)
        if key is None:
            raise UnusableShape("that name no image")
        if key in self._tables.unclear_images:
            raise UnusableShape("of an image id that the file gives to several images")
        if key not in self._tables.images:
            raise UnusableShape(ELSEWHERE)
        return self._tables.images[key]

    def _key_by_name(self, name: object, title: str) -> Key | None:
        """Return the id of the image of that file name; None where there is none."""
        for each in image_names(name) if isinstance(name, str) else ():
            if each in self._tables.keys_by_name:
                self._tally.note(["that give their image by its file name"], title)
                return self._tables.keys_by_name[each]
        return None

    def _name(self, element: Mapping[str, Any], title: str) -> str:
        key = key_of(element.get("category_id"))
        if key in self._tables.unclear_categories:
            self._tally.doubt(["of a category id with several names"], title)
        if key in self._tables.categories:
            return self._tables.categories[key]
        own = category_name(element.get("category_name", element.get("category")))
        if own:
            return own
        if key is None:
            self._tally.doubt([f"without a category, called '{self._category}'"], title)
            return self._category
        self._tally.note(["of a category without a name, which is called by its number"], title)
        return category_name(key) or self._category

    def _id(
        self, element: Mapping[str, Any], content: tuple[str, shapely.Geometry, str], title: str
    ) -> int:
        """Return an id that no other annotation has.

        Raises:
            UnusableShape: the same annotation came before.
        """
        number = key_of(element.get("id"))
        if isinstance(number, int) and abs(number) <= LARGEST_ID:
            if number not in self._tables.repeated_ids:
                return number
            place, geometry, category = content
            text = f"{number}\n{place}\n{category}\n".encode()
            same = hashlib.blake2b(text + geometry.wkb, digest_size=16).digest()
            if same in self._met:
                raise UnusableShape("that the file holds twice")
            is_first = number not in self._met
            self._met |= {same, number}
            if is_first:
                return number
            self._tally.doubt(["with an id that another one has, which get a new one"], title)
        self._next_id += 1
        return self._next_id - 1


def _on_raster(geometry: shapely.Geometry, image: CocoImage) -> shapely.Geometry:
    """Return a geometry in the pixels of its image in those of its raster."""
    grid = image.place.grid
    if (image.width, image.height) == (grid.width, grid.height):
        return geometry
    scale = (grid.width / image.width, grid.height / image.height)
    return shapely.transform(geometry, lambda xy: xy * scale)


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
