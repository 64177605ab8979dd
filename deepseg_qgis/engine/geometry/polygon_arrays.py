"""Many polygons as a few flat arrays: what is computed on them costs no Python per polygon. No I/O.

The layout is GeoArrow's: coordinates, and for each level (rings, parts, features) the offsets at
which its members start in the level below, with the total at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[np.object_]
"""Shapely polygons and multipolygons, one-dimensional."""
Coordinates = NDArray[np.float64]
"""An array of shape (n, 2): x and y."""
Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class PolygonArrays:
    """Polygons and multipolygons; rings are closed, the first ring of a part is its outer one.

    Shapes: ``coordinates`` (n, 2); ``rings`` (r + 1,) into the coordinates; ``parts`` (p + 1,)
    into the rings; ``features`` (m + 1,) into the parts, None where every feature has one part.
    """

    coordinates: Coordinates
    rings: Offsets
    parts: Offsets
    features: Offsets | None = None

    def __len__(self) -> int:
        return len(self.parts if self.features is None else self.features) - 1

    @classmethod
    def of(cls, geometries: Geometries) -> PolygonArrays:
        """Return shapely polygons and multipolygons as arrays; z and m are left out."""
        if len(geometries) == 0:
            nothing = np.zeros(1, dtype=np.int64)
            return cls(np.empty((0, 2)), nothing, nothing)
        kind, coordinates, offsets = shapely.to_ragged_array(
            geometries, include_z=False, include_m=False
        )
        levels = [np.asarray(each, dtype=np.int64) for each in offsets]
        if kind == shapely.GeometryType.POLYGON:
            return cls(coordinates, levels[0], levels[1])
        if kind != shapely.GeometryType.MULTIPOLYGON:
            raise ValueError(f"expected polygons, found {kind}")
        if np.array_equal(levels[2], np.arange(len(levels[2]))):
            return cls(coordinates, levels[0], levels[1])
        return cls(coordinates, levels[0], levels[1], levels[2])

    def geometries(self) -> Geometries:
        """Return shapely geometries; a feature of one part is a polygon."""
        if len(self) == 0:
            return np.empty(0, dtype=object)
        parts = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, self.coordinates, (self.rings, self.parts)
        )
        if self.features is None:
            return np.asarray(parts, dtype=object)
        counts = np.diff(self.features)
        result: Geometries = np.empty(len(counts), dtype=object)
        result[counts == 1] = parts[self.features[:-1][counts == 1]]
        for i in np.flatnonzero(counts != 1):
            result[i] = shapely.multipolygons(parts[self.features[i] : self.features[i + 1]])
        return result

    def moved(self, coordinates: Coordinates, rings: Offsets | None = None) -> PolygonArrays:
        """Return the same polygons on other coordinates (and with other ring offsets)."""
        starts = self.rings if rings is None else rings
        return PolygonArrays(coordinates, starts, self.parts, self.features)

    def batches(self, most: int) -> Iterator[tuple[int, PolygonArrays]]:
        """Yield (first feature, polygons) in stretches of about ``most`` vertices."""
        starts = self.rings[self.parts if self.features is None else self.parts[self.features]]
        first = 0
        while first < len(self):
            last = int(np.searchsorted(starts, starts[first] + most, side="right")) - 1
            last = min(max(last, first + 1), len(self))
            yield first, self.chosen(slice(first, last))
            first = last

    def chosen(self, which: slice) -> PolygonArrays:
        """Return a stretch of the features; coordinates are views."""
        first, last, _ = which.indices(len(self))
        features = None if self.features is None else self.features[first : last + 1]
        if features is not None:
            first, last = int(features[0]), int(features[-1])
            features = features - first
        parts = self.parts[first : last + 1]
        rings = self.rings[parts[0] : parts[-1] + 1]
        coordinates = self.coordinates[rings[0] : rings[-1]]
        return PolygonArrays(coordinates, rings - rings[0], parts - parts[0], features)

    def steps(self) -> NDArray[np.bool_]:
        """Return (n - 1,) True where a step between neighbouring coordinates is within a ring."""
        within = np.ones(max(len(self.coordinates) - 1, 0), dtype=np.bool_)
        ends = self.rings[1:-1]
        within[ends[(ends > 0) & (ends <= len(within))] - 1] = False
        return within

    def outer(self) -> NDArray[np.bool_]:
        """Return (r,) True where a ring is the outer one of its part."""
        first = np.zeros(len(self.rings) - 1, dtype=np.bool_)
        first[self.parts[:-1][np.diff(self.parts) > 0]] = True
        return first

    def per_ring(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (r,) sums over the (n - 1,) steps of each ring; those between rings must be 0."""
        return _sums(np.append(steps, 0.0), self.rings)

    def per_feature(self, rings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (m,) sums over the (r,) rings of each feature."""
        starts = self.parts if self.features is None else self.parts[self.features]
        return _sums(rings, starts)


def as_geometries(shapes: Sequence[shapely.Geometry]) -> Geometries:
    """Return shapes as an array of one axis, whatever numpy would make of them."""
    result: Geometries = np.empty(len(shapes), dtype=object)
    result[:] = shapes
    return result


def joined_arrays(some: Sequence[PolygonArrays]) -> PolygonArrays:
    """Return the polygons of all, one after the other; every feature must have one part."""
    return PolygonArrays(
        np.concatenate([each.coordinates for each in some]),
        _end_to_end([each.rings for each in some]),
        _end_to_end([each.parts for each in some]),
    )


def _end_to_end(some: Sequence[Offsets]) -> Offsets:
    lengths = np.concatenate([np.diff(each) for each in some])
    return np.concatenate([[0], np.cumsum(lengths)])


def _sums(values: NDArray[np.float64], offsets: Offsets) -> NDArray[np.float64]:
    """Return the sums of consecutive stretches, each summed by itself: nothing spills over."""
    result = np.zeros(len(offsets) - 1)
    filled = np.flatnonzero(np.diff(offsets) > 0)
    if len(filled):
        result[filled] = np.add.reduceat(values, offsets[:-1][filled])
    return result
