"""Annotations of COCO files as they come from people, one at a time.

Nothing in them is believed. What cannot be used is counted, not fatal, as long as the file is JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import shapely

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco.contents import LARGEST_ID, category_name
from deepseg_qgis.engine.exchange.coco.images import PlacedImage
from deepseg_qgis.engine.exchange.coco.index import CocoIndex, image_names
from deepseg_qgis.engine.exchange.coco.shapes import shape_of
from deepseg_qgis.engine.exchange.coco.values import Id, UnusableShape, parse_id
from deepseg_qgis.engine.exchange.import_summary import ImportSummary
from deepseg_qgis.engine.exchange.imported_polygons import PolygonBatch, TargetRaster
from deepseg_qgis.engine.files.json_stream import elements
from deepseg_qgis.engine.geometry.polygon_arrays import as_geometries

BATCH = 2000
BATCH_VERTICES = 500_000
ELSEWHERE = "of images that lie on no raster"


class _Annotation(NamedTuple):
    """An annotation in its raster's pixels."""

    geometry: shapely.Geometry
    id: int
    category: str
    iscrowd: int


def read_annotations(
    path: str,
    index: CocoIndex,
    summary: ImportSummary,
    control: Control,
    category: str = "unnamed",
) -> Iterator[PolygonBatch]:
    """Yield the annotations on the rasters, in the file's order as far as one raster goes.

    Those without a category are called ``category``. Memory: some thousands of annotations.

    Raises:
        VectorError: the file is no COCO JSON any more.
    """
    batches = _Batches()
    reader = _AnnotationReader(index, summary, category)
    for number, (_, element) in enumerate(elements(path, ("annotations",))):
        control.check()
        control.progress(1.0 - 1.0 / (1.0 + number / 1e4), f"Reading annotation {number + 1:,}")
        title = _title(element, number)
        try:
            target, annotation = reader.read(element, title)
        except UnusableShape as error:
            summary.leave_out(str(error), title)
            continue
        batches.add(target, annotation)
        if batches.are_full:
            yield from batches.take()
    yield from batches.take()


def _title(element: object, number: int) -> str:
    key = parse_id(element.get("id")) if isinstance(element, dict) else None
    return f"number {number + 1}" if key is None else f"id {key}"


class _AnnotationReader:
    """Turns JSON objects into annotations, whose ids are distinct."""

    def __init__(self, index: CocoIndex, summary: ImportSummary, category: str) -> None:
        self._index, self._summary, self._category = index, summary, category
        self._next_id = index.next_id
        self._seen: set[int | bytes] = set()

    def read(self, element: object, title: str) -> tuple[TargetRaster, _Annotation]:
        """Return where an annotation lies, and what it holds.

        Raises:
            UnusableShape: it cannot be used.
        """
        if not isinstance(element, dict):
            raise UnusableShape("that are no JSON objects")
        image = self._image(element, title)
        category = self._category_name(element, title)
        shape = shape_of(element, image.height, image.width, self._index.units)
        self._summary.note(shape.notes, title)
        self._summary.doubt(shape.doubts, title)
        crowd = int(parse_id(element.get("iscrowd")) == 1 or element.get("iscrowd") is True)
        if crowd:
            remark = "of crowds (one outline for many objects), with 1 in the field 'iscrowd'"
            self._summary.note([remark], title)
        number = self._unique_id(element, (image.target.path, shape.geometry, category), title)
        geometry = _on_raster(shape.geometry, image)
        return image.target, _Annotation(geometry, number, category, crowd)

    def _image(self, element: Mapping[str, Any], title: str) -> PlacedImage:
        image_id = parse_id(element.get("image_id"))
        if image_id not in self._index.images:
            name = image_id or element.get("file_name")
            image_id = self._image_id_by_name(name, title) or image_id
        if image_id is None and self._index.only_image is not None:
            image_id = self._index.only_image
            self._summary.note(["that name no image, in a file of one image"], title)
        if image_id is None:
            raise UnusableShape("that name no image")
        if image_id in self._index.ambiguous_images:
            raise UnusableShape("of an image id that the file gives to several images")
        if image_id not in self._index.images:
            raise UnusableShape(ELSEWHERE)
        return self._index.images[image_id]

    def _image_id_by_name(self, name: object, title: str) -> Id | None:
        """Return the id of the image of that file name; None where there is none."""
        for spelling in image_names(name) if isinstance(name, str) else ():
            if spelling in self._index.ids_by_name:
                self._summary.note(["that give their image by its file name"], title)
                return self._index.ids_by_name[spelling]
        return None

    def _category_name(self, element: Mapping[str, Any], title: str) -> str:
        category_id = parse_id(element.get("category_id"))
        if category_id in self._index.ambiguous_categories:
            self._summary.doubt(["of a category id with several names"], title)
        if category_id in self._index.categories:
            return self._index.categories[category_id]
        own = category_name(element.get("category_name", element.get("category")))
        if own:
            return own
        if category_id is None:
            self._summary.doubt([f"without a category, called '{self._category}'"], title)
            return self._category
        self._summary.note(["of a category without a name, which is called by its number"], title)
        return category_name(category_id) or self._category

    def _unique_id(
        self, element: Mapping[str, Any], content: tuple[str, shapely.Geometry, str], title: str
    ) -> int:
        """Return an id that no other annotation has.

        Raises:
            UnusableShape: the same annotation came before.
        """
        number = parse_id(element.get("id"))
        if isinstance(number, int) and abs(number) <= LARGEST_ID:
            if number not in self._index.repeated_ids:
                return number
            target, geometry, category = content
            text = f"{number}\n{target}\n{category}\n".encode()
            same = hashlib.blake2b(text + geometry.wkb, digest_size=16).digest()
            if same in self._seen:
                raise UnusableShape("that the file holds twice")
            is_first = number not in self._seen
            self._seen |= {same, number}
            if is_first:
                return number
            self._summary.doubt(["with an id that another one has, which get a new one"], title)
        self._next_id += 1
        return self._next_id - 1


def _on_raster(geometry: shapely.Geometry, image: PlacedImage) -> shapely.Geometry:
    """Return a geometry in the pixels of its image in those of its raster."""
    grid = image.target.grid
    if (image.width, image.height) == (grid.width, grid.height):
        return geometry
    scale = (grid.width / image.width, grid.height / image.height)
    return shapely.transform(geometry, lambda xy: xy * scale)


class _Batches:
    """Annotations by raster, until there are enough to be projected together."""

    def __init__(self) -> None:
        self._by_path: dict[str, tuple[TargetRaster, list[_Annotation]]] = {}
        self._count = self._vertices = 0

    @property
    def are_full(self) -> bool:
        """Whether there are enough."""
        return self._count >= BATCH or self._vertices >= BATCH_VERTICES

    def add(self, target: TargetRaster, annotation: _Annotation) -> None:
        self._by_path.setdefault(target.path, (target, []))[1].append(annotation)
        self._count += 1
        self._vertices += int(shapely.get_num_coordinates(annotation.geometry))

    def take(self) -> Iterator[PolygonBatch]:
        """Yield all of them, raster by raster, and keep none."""
        for target, members in self._by_path.values():
            geometries, ids, categories, iscrowd = zip(*members, strict=True)
            yield PolygonBatch(target, as_geometries(geometries), ids, categories, iscrowd)
        self._by_path.clear()
        self._count = self._vertices = 0
