"""One place in the validation areas as a small picture, with what the network says of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.raster_picture import raster_picture
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.instances.finder import instances_at_once
from deepseg_qgis.engine.legend.decisions import as_levels, decide
from deepseg_qgis.engine.legend.legend import OBJECT_PLANES, Category, InstanceRule

SIDE_PX = 256
"""Of the picture; a place is as large, or twice as large where most objects are."""
LARGE_OBJECT_PX = 64**2
MOST_BYTES = 45_000
"""Of the PNG file: as text in an event these are 60,000."""
COLOURS = (256, 128, 64, 32, 16)
"""Numbers of colours that are tried until the file is small enough."""
MARGIN_PX = 16
"""So much is shown around what is validated."""
MOST_PLACES = 200
"""So many places are looked at to choose one."""
FILL = 0.45
"""How much of a category's colour covers the ground."""

Element = TypeVar("Element", bound=np.generic)


class ValidationPicture:
    """A place in the validation areas, the same in every epoch: the one with most to see.

    The raster in its colours, pale where nothing is validated; what the network finds as fills and
    what is annotated as outlines, in the colours of the categories. Objects that are separated
    have unfilled lines between them.
    """

    def __init__(
        self, labelled: LabelledRaster, window: Window, categories: Sequence[Category]
    ) -> None:
        self._raster, self._window = labelled.raster, window
        self._colours = np.array([_rgb(each.colour) for each in categories], dtype=np.float32)
        planes = len(categories) + len(OBJECT_PLANES)
        self._planes = np.zeros((planes, window.height, window.width), dtype=np.uint8)
        self._known = labelled.validation.mask(window)
        self._reference = labelled.annotated.objects(window) * self._known
        self._classes = labelled.annotated.mask(window) * self._known
        self._ground = raster_picture(labelled.raster, window, SIDE_PX)

    @classmethod
    def of(
        cls, labelled_rasters: Sequence[LabelledRaster], categories: Sequence[Category]
    ) -> ValidationPicture | None:
        """Return a picture of the place with most to see; None where nothing is validated."""
        validated = [each for each in labelled_rasters if each.validation.size_px]
        if not validated:
            return None
        places = [(*_best_window(labelled), labelled) for labelled in validated]
        _, window, labelled = max(places, key=lambda each: each[0])
        return cls(labelled, window, categories)

    def add(self, raster: Raster, core: Window, planes: NDArray[np.uint8]) -> None:
        """Take what the network says in a core, (planes, rows, columns), as far as it lies here."""
        if raster is not self._raster or not core.intersects(self._window):
            return
        shared = core.intersection(self._window)
        target, source = shared.within(self._window), shared.within(core)
        self._planes[: len(planes), target[0], target[1]] = planes[:, source[0], source[1]]

    def png(self, thresholds: tuple[float, ...], rule: InstanceRule | None) -> bytes:
        """Return the picture as a PNG file, with a validation's thresholds and instance rule."""
        categories = len(self._colours)
        classes, _ = decide(self._planes[:categories], as_levels(thresholds))
        classes *= self._known
        objects = classes.astype(np.int32)
        if rule is not None:
            found = instances_at_once(classes, self._planes[categories], rule)
            objects = np.where(found > 0, found + categories, objects)
        return _png(self._drawn(self._shrunk(classes), self._shrunk(objects)))

    def _drawn(self, classes: NDArray[np.uint8], objects: NDArray[np.int32]) -> NDArray[np.uint8]:
        picture = self._ground.astype(np.float32)
        unknown = ~self._shrunk(self._known)
        picture[unknown] = 170.0 + picture[unknown].mean(axis=1, keepdims=True) / 4.0
        filled = (classes > 0) & ~_borders(objects)
        colours = self._colours[classes[filled] - 1]
        picture[filled] = (1.0 - FILL) * picture[filled] + FILL * colours
        reference = self._shrunk(self._reference)
        outlines = _outlines(reference)
        picture[outlines] = self._colours[self._shrunk(self._classes)[outlines] - 1]
        return np.rint(picture).astype(np.uint8)

    def _shrunk(self, array: NDArray[Element]) -> NDArray[Element]:
        """Return (rows, columns) of the window as in the picture, by nearest neighbour."""
        rows, columns = self._ground.shape[:2]
        picked_rows = np.arange(rows) * array.shape[0] // rows
        picked_columns = np.arange(columns) * array.shape[1] // columns
        picked: NDArray[Element] = array[picked_rows[:, None], picked_columns]
        return picked


def _best_window(labelled: LabelledRaster) -> tuple[float, Window]:
    """Return the window with most to see, and how much: many objects of many categories."""
    inside = np.flatnonzero(labelled.in_validation)
    areas = shapely.area(labelled.annotated.geometries[inside])
    large = len(inside) > 0 and float(np.median(areas)) > LARGE_OBJECT_PX
    side = SIDE_PX * (2 if large else 1)
    whole = labelled.raster.grid.window
    shapes = [
        *labelled.annotated.geometries[inside],
        *shapely.get_parts(labelled.validation.geometry),
    ]
    points = shapely.get_coordinates(shapely.centroid(shapes))
    chosen = points[np.linspace(0, len(points) - 1, min(len(points), MOST_PLACES)).astype(int)]
    windows = [_window_around(x, y, side, whole) for x, y in chosen]
    merits = [_merit(labelled, inside, window) for window in windows]
    best = int(np.argmax(merits))
    return merits[best], _cropped(labelled, windows[best])


def _window_around(x: float, y: float, side: int, whole: Window) -> Window:
    """Return a window around a point that lies inside the raster."""
    height, width = min(side, whole.height), min(side, whole.width)
    row = min(max(int(y) - height // 2, 0), whole.height - height)
    column = min(max(int(x) - width // 2, 0), whole.width - width)
    return Window(row, column, height, width)


def _cropped(labelled: LabelledRaster, window: Window) -> Window:
    """Return what of a window is validated, with some of its surroundings."""
    rows, columns = np.nonzero(labelled.validation.mask(window))
    if not rows.size:
        return window
    top, left = max(int(rows.min()) - MARGIN_PX, 0), max(int(columns.min()) - MARGIN_PX, 0)
    bottom = min(int(rows.max()) + 1 + MARGIN_PX, window.height)
    right = min(int(columns.max()) + 1 + MARGIN_PX, window.width)
    return Window(window.row + top, window.column + left, bottom - top, right - left)


def _merit(labelled: LabelledRaster, inside: NDArray[np.int64], window: Window) -> float:
    """Return how much there is to see: a second category counts more than a second object."""
    near = np.intersect1d(labelled.annotated.near(window), inside)
    counts = np.bincount(labelled.annotated.classes[near])
    return float(np.sqrt(counts).sum() + 1.0) * float(labelled.validation.mask(window).mean())


def _outlines(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels of objects with another object, or none, on one of four sides."""
    edges = np.zeros(labels.shape, dtype=bool)
    below, beside = labels[:-1] != labels[1:], labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= below
    edges[1:] |= below
    edges[:, :-1] |= beside
    edges[:, 1:] |= beside
    return edges & (labels > 0)


def _borders(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels of objects with another object below or on the right."""
    borders = np.zeros(labels.shape, dtype=bool)
    borders[:-1] |= (labels[:-1] != labels[1:]) & (labels[1:] > 0)
    borders[:, :-1] |= (labels[:, :-1] != labels[:, 1:]) & (labels[:, 1:] > 0)
    return borders & (labels > 0)


def _png(rgb: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of at most `MOST_BYTES`, with as many colours as that allows."""
    content = b""
    for colours in COLOURS:
        file = io.BytesIO()
        Image.fromarray(rgb).quantize(colours).save(file, "PNG", optimize=True)
        content = file.getvalue()
        if len(content) <= MOST_BYTES:
            break
    return content


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
