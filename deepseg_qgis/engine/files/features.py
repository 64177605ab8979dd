"""Polygons with their columns, on their way from and to files. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import Geometries, PolygonArrays

Shapes = Geometries | PolygonArrays


@dataclass(frozen=True)
class Features:
    """Polygons with their columns, each as long as ``geometries``; None stands for NULL."""

    geometries: Geometries
    columns: Mapping[str, Sequence[object] | NDArray[np.generic]]

    @property
    def shapes(self) -> Geometries:
        """The geometries, as a `PolygonBatch` has them."""
        return self.geometries


@dataclass(frozen=True)
class PolygonBatch:
    """Polygons as flat arrays with their columns, to be written."""

    shapes: PolygonArrays
    columns: Mapping[str, NDArray[Any]]


def as_polygon_arrays(shapes: Shapes) -> PolygonArrays:
    """Return polygons as flat arrays."""
    return shapes if isinstance(shapes, PolygonArrays) else PolygonArrays.of(shapes)


def as_geometries(shapes: Shapes) -> Geometries:
    """Return polygons as geometries of shapely."""
    return shapes.geometries() if isinstance(shapes, PolygonArrays) else shapes


def as_arrow(values: Sequence[object] | NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """Return a column with NaN as NULL."""
    return pa.array(values, type=kind, from_pandas=True)
