"""Areas of interest and annotations over one raster, rasterised window by window. No I/O.

Everything is in the raster's pixel coordinates. A pixel belongs to the polygon that holds its
centre; where annotations overlap, the smaller one lies on top.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.burning import BurnablePolygons, Value
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.tiling import Window

RADIUS_TOLERANCE_PX = 0.25
MANY_VERTICES = 1000
"""Of an area: beyond, polygons are not laid over all of it but over what lies around them."""


class Area:
    """A part of a raster, as a polygon or multipolygon in pixel coordinates (may be empty)."""

    def __init__(self, geometry: shapely.Geometry) -> None:
        self.geometry = geometry
        self._parts = shapely.get_parts(geometry)
        self._tree = shapely.STRtree(self._parts)
        shapely.prepare(self._parts)

    @classmethod
    def of(cls, geometries: Geometries) -> Area:
        """Return the area that the polygons cover together."""
        return cls(shapely.union_all(geometries))

    @classmethod
    def of_windows(cls, windows: list[Window]) -> Area:
        """Return the area that the windows cover together."""
        return cls.of(np.array([box(window) for window in windows], dtype=object))

    @property
    def size_px(self) -> float:
        """The area in pixels."""
        return float(self.geometry.area)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return (rows, columns) True where the pixel's centre is inside."""
        near = self._tree.query(box(window))
        return self._burnable.burnt(near, np.ones(len(near), dtype=np.uint8), window) > 0

    def touches(self, window: Window) -> bool:
        """Whether the window shares some ground with the area."""
        return bool(self.touched([window])[0])

    def touched(self, windows: Sequence[Window]) -> NDArray[np.bool_]:
        """Return (windows,) which of them share some ground with the area, or its edge."""
        result = np.zeros(len(windows), dtype=bool)
        boxes = _boxes(windows)
        numbers, parts = self._tree.query(boxes)
        meet = shapely.intersects(self._parts[parts], boxes[numbers])  # the parts are prepared
        result[numbers[meet]] = True
        return result

    def cells(self, around: Window, side: int) -> list[Window]:
        """Return the cells of a lattice from the corner of a window on that touch the area.

        Row by row, cut at the window. Only squares of cells that touch it are looked into.
        """
        most = max(-(-around.height // side), -(-around.width // side), 1)
        size = 1 << (most - 1).bit_length()
        places = np.zeros((1, 2), dtype=np.int64)
        while len(places):
            squares = [_cell(around, side * size, row, column) for row, column in places.tolist()]
            touched = self.touched(squares)
            places = places[touched]
            if size == 1:
                found = [each for each, wanted in zip(squares, touched, strict=True) if wanted]
                return sorted(each for each in found if each.height and each.width)
            size //= 2
            corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
            places = (2 * places[:, None] + corners).reshape(-1, 2)
        return []

    def shared_px(self, window: Window) -> int:
        """Return how many pixels of a window lie in the area."""
        return int(self.mask(window).sum())

    def covers(self, window: Window) -> bool:
        """Whether one polygon of the area holds the whole window."""
        around = box(window)
        return bool(shapely.covers(self._parts[self._tree.query(around)], around).any())

    def row_counts(self, window: Window) -> NDArray[np.int64]:
        """Return (rows,) how many pixels of each row of a window lie in the area."""
        return BurnablePolygons(shapely.orient_polygons(self._parts)).row_counts(window)

    @functools.cached_property
    def _burnable(self) -> BurnablePolygons:
        return BurnablePolygons(self._parts)

    def window(self, within: Window) -> Window:
        """Return the smallest window inside ``within`` that holds the area; empty if none does."""
        if self.geometry.is_empty:
            return Window(within.row, within.column, 0, 0)
        xmin, ymin, xmax, ymax = self.geometry.bounds
        row, column = math.floor(ymin), math.floor(xmin)
        around = Window(row, column, math.ceil(ymax) - row, math.ceil(xmax) - column)
        return around.intersection(within)

    def windows(self, within: Window) -> list[Window]:
        """Return windows inside ``within`` that hold the area together and do not overlap.

        What lies apart has windows of its own, so they take less room than one around all.
        """
        boxes = np.array([box(Area(part).window(within)) for part in self._parts], dtype=object)
        while True:
            parts = shapely.get_parts(shapely.union_all(boxes))
            merged = shapely.box(*shapely.bounds(parts).T)
            if len(merged) == len(boxes):
                break
            boxes = merged
        windows = [Area(part).window(within) for part in boxes]
        return [each for each in windows if each.height and each.width]

    def without(self, other: Area) -> Area:
        """Return what of this area is not in the other."""
        return Area(shapely.difference(self.geometry, other.geometry))

    def within(self, other: Area) -> Area:
        """Return what of this area is in the other too."""
        shared = shapely.get_parts(shapely.intersection(self.geometry, other.geometry))
        # areas that touch share lines and points, too
        return Area(shapely.MultiPolygon(shared[shapely.get_dimensions(shared) == 2].tolist()))


class AnnotatedArea:
    """The annotations of one raster; ``classes`` are 1 to k, one for each geometry."""

    def __init__(self, geometries: Geometries, classes: NDArray[np.uint8]) -> None:
        order = np.argsort(-shapely.area(geometries), kind="stable")
        self.geometries = geometries[order]
        self.classes = classes[order]
        self._tree = shapely.STRtree(self.geometries)

    def near(self, window: Window) -> NDArray[np.int64]:
        """Return which annotations lie, by their bounds, in or at the window, the largest first."""
        return np.sort(self._tree.query(box(window)))

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """Return (rows, columns) with each pixel's class, 0 where nothing is annotated."""
        near = self.near(window)
        return self._burnable.burnt(near, self.classes[near], window)

    def objects(self, window: Window) -> NDArray[np.int32]:
        """Return (rows, columns) with the number of each pixel's annotation, from 1, 0 for none."""
        near = self.near(window)
        return self._burnable.burnt(near, (near + 1).astype(np.int32), window)

    @functools.cached_property
    def _burnable(self) -> BurnablePolygons:
        return BurnablePolygons(self.geometries)

    @functools.cached_property
    def visible(self) -> Geometries:
        """What of each annotation is not hidden by smaller ones on top; empty where all is."""
        lower, upper = self._tree.query(self.geometries, predicate="intersects")
        lower, upper = lower[upper > lower], upper[upper > lower]
        shared = shapely.intersection(self.geometries[lower], self.geometries[upper])
        hidden = shapely.area(shared) > 0.0
        lower, shared = lower[hidden], shared[hidden]
        order = np.argsort(lower, kind="stable")
        under, first = np.unique(lower[order], return_index=True)
        result: Geometries = self.geometries.copy()
        for number, parts in zip(under, np.split(shared[order], first[1:]), strict=False):
            result[number] = shapely.difference(result[number], shapely.union_all(parts))
        return result

    def mostly_within(self, area: Area) -> NDArray[np.bool_]:
        """Return which annotations have at least half of their ground in an area."""
        inside = shapely.area(clipped(self.geometries, area))
        result: NDArray[np.bool_] = inside >= 0.5 * shapely.area(self.geometries)
        return result

    @functools.cached_property
    def radii(self) -> NDArray[np.float64]:
        """The radius of the largest circle inside each annotation, in px."""
        circles = shapely.maximum_inscribed_circle(self.geometries, tolerance=RADIUS_TOLERANCE_PX)
        lengths: NDArray[np.float64] = shapely.length(circles)
        return lengths


def box(window: Window) -> shapely.Polygon:
    """Return the window as a polygon in pixel coordinates."""
    return shapely.box(window.column, window.row, window.column_end, window.row_end)


def clipped(geometries: Geometries, area: Area) -> Geometries:
    """Return what of polygons lies in an area; what touches it may leave lines and points too."""
    shapely.prepare(area.geometry)
    result: Geometries = geometries.copy()
    crossing = ~shapely.contains_properly(area.geometry, geometries)
    if shapely.get_num_coordinates(area.geometry) <= MANY_VERTICES:
        result[crossing] = shapely.intersection(geometries[crossing], area.geometry)
        return result
    meeting = shapely.intersects(area.geometry, geometries)
    result[~meeting] = shapely.Polygon()
    for i in np.flatnonzero(crossing & meeting):
        result[i] = shapely.intersection(geometries[i], _around(geometries[i], area.geometry))
    return result


def _around(geometry: shapely.Geometry, area: shapely.Geometry) -> shapely.Geometry:
    """Return what of an area lies near a geometry."""
    xmin, ymin, xmax, ymax = geometry.bounds
    near = shapely.clip_by_rect(area, xmin - 1.0, ymin - 1.0, xmax + 1.0, ymax + 1.0)
    return near if near.is_valid else area


def burnt(geometries: Geometries, values: NDArray[Value], window: Window) -> NDArray[Value]:
    """Return (rows, columns) with the value of the last geometry over each pixel's centre, or 0."""
    every = np.arange(len(geometries), dtype=np.int64)
    return BurnablePolygons(geometries).burnt(every, values, window)


def _boxes(windows: Sequence[Window]) -> Geometries:
    """Return windows as polygons in pixel coordinates."""
    rows, columns, heights, widths = (
        np.array(
            [(each.row, each.column, each.height, each.width) for each in windows], dtype=np.float64
        )
        .reshape(-1, 4)
        .T
    )
    return np.asarray(shapely.box(columns, rows, columns + widths, rows + heights), dtype=object)


def _cell(around: Window, side: int, row: int, column: int) -> Window:
    """Return a square of a lattice from a window's corner on, cut at the window."""
    start = Window(around.row + row * side, around.column + column * side, side, side)
    return start.intersection(around)
