"""Objects with their polygons and measures, as flat arrays. No I/O."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries, PolygonArrays, joined_arrays
from deepseg_qgis.engine.kernels import Flags, Floats, Ints


@dataclass(frozen=True)
class Components:
    """Objects: 4-connected components of pixels of one class.

    One entry for each: polygons in pixel coordinates that start at their topmost, leftmost vertex,
    as flat arrays; classes (from 1); sizes in pixels, filled holes included; mean probability of
    their own pixels from 0 to 1; and the first pixel's row and column. ``exact`` are the polygons
    along the pixels' edges, None unless they were asked for.
    """

    polygons: PolygonArrays
    classes: NDArray[np.uint8]
    sizes_px: Ints
    scores: Floats
    first_rows: Ints
    first_columns: Ints
    exact: PolygonArrays | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @functools.cached_property
    def geometries(self) -> Geometries:
        """The polygons as shapely geometries."""
        return self.polygons.geometries()

    def chosen(self, which: Flags | Ints) -> Components:
        """Return the objects that an index names."""
        return Components(
            PolygonArrays.of(self.geometries[which]),
            self.classes[which],
            self.sizes_px[which],
            self.scores[which],
            self.first_rows[which],
            self.first_columns[which],
            None if self.exact is None else PolygonArrays.of(self.exact.geometries()[which]),
        )


def joined_components(found: list[Components]) -> Components:
    """Return the objects of all parts together."""
    if len(found) == 1:
        return found[0]
    if not found:
        return _no_components()
    exact = [each.exact for each in found if each.exact is not None]
    return Components(
        joined_arrays([each.polygons for each in found]),
        np.concatenate([each.classes for each in found]),
        np.concatenate([each.sizes_px for each in found]),
        np.concatenate([each.scores for each in found]),
        np.concatenate([each.first_rows for each in found]),
        np.concatenate([each.first_columns for each in found]),
        joined_arrays(exact) if len(exact) == len(found) else None,
    )


def _no_components() -> Components:
    none, no_classes, start = np.empty(0, np.int64), np.empty(0, np.uint8), np.zeros(1, np.int64)
    polygons = PolygonArrays(np.empty((0, 2)), start, start)
    return Components(polygons, no_classes, none, np.empty(0), none, none)
