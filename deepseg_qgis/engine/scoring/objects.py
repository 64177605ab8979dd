"""Objects that are compared, and the sizes that they have. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Objects:
    """Predicted or reference objects; arrays of one length.

    ``geometries`` are valid polygons or multipolygons in pixel coordinates, or in another plane of
    both sides; ``categories`` (int) number a list of categories that both sides share;
    ``scores`` are floats, ones for references; ``ignored`` (bool) marks objects with less than half
    of their area inside the AOI.
    """

    geometries: Geometries
    categories: Indices
    scores: Floats
    ignored: Flags

    def __len__(self) -> int:
        return len(self.geometries)

    @staticmethod
    def joined(parts: Sequence[Objects]) -> Objects:
        """Return the objects of several rasters one after the other."""
        return Objects(
            np.concatenate([part.geometries for part in parts]),
            np.concatenate([part.categories for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.ignored for part in parts]),
        )


@dataclass(frozen=True)
class SizeRange:
    """A range of areas in the unit of the objects, mostly px².

    Both ends belong to it, so neighbours share one, as in COCO.
    """

    name: str
    least_px2: float
    most_px2: float

    def ignored(self, objects: Objects) -> Flags:
        """Return which objects do not count: those that never do, and those of other sizes."""
        areas: Floats = shapely.area(objects.geometries)
        return objects.ignored | (areas < self.least_px2) | (areas > self.most_px2)


ALL_SIZES = SizeRange("all", 0.0, math.inf)
SMALL = SizeRange("small", 0.0, 32.0**2)
MEDIUM = SizeRange("medium", 32.0**2, 96.0**2)
LARGE = SizeRange("large", 96.0**2, math.inf)
SIZE_RANGES = (ALL_SIZES, SMALL, MEDIUM, LARGE)
"""The area ranges of COCO."""


def thirds(objects: Objects) -> tuple[SizeRange, ...]:
    """Return size ranges of which each has a third of the objects that count, and that of all.

    For objects that are not measured in pixels, where the ranges of COCO mean nothing.
    """
    areas: Floats = shapely.area(objects.geometries[~objects.ignored])
    if not len(areas):
        return SIZE_RANGES
    low, high = np.quantile(areas, [1 / 3, 2 / 3]).tolist()
    bounds = ((SMALL.name, 0.0, low), (MEDIUM.name, low, high), (LARGE.name, high, math.inf))
    return (ALL_SIZES, *(SizeRange(*each) for each in bounds))
