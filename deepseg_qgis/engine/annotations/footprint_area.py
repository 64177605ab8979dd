"""Footprints that cards keep, as areas on a raster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely

from deepseg_qgis.engine.annotations.annotation_layer import placed
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.local_crs import are_comparable

Footprint = Sequence[Mapping[str, Any]]
"""Areas on rasters, see `ModelCard.footprint`."""


def footprint_area(footprint: Footprint, raster: Raster) -> Area:
    """Return what of a footprint lies on a raster, in its pixels.

    Areas are found by their place on the ground, or, without georeference, by the raster's name.
    What is no area counts for nothing.
    """
    parts = [_part(entry, raster) for entry in footprint]
    known = np.array([part for part in parts if part is not None], dtype=object)
    if not len(known):
        return Area.of_windows([])
    return Area.of(known).within(Area(box(raster.grid.window)))


def entry_shape(entry: Mapping[str, Any]) -> shapely.Geometry | None:
    """Return the polygons of an entry in its CRS, None if it has none."""
    try:
        shape = shapely.make_valid(shapely.from_geojson(json.dumps(entry["area"])))
    except (KeyError, TypeError, ValueError, shapely.GEOSException):
        return None
    return shape if shape.area > 0.0 else None


def _part(entry: Mapping[str, Any], raster: Raster) -> shapely.Geometry | None:
    shape = entry_shape(entry)
    try:
        crs = pyproj.CRS.from_wkt(entry["crs"]) if entry["crs"] else None
    except (KeyError, TypeError, pyproj.exceptions.CRSError):
        return None
    if shape is None:
        return None
    if not are_comparable(crs, raster.grid.crs) and not _may_be(entry.get("raster"), raster.name):
        return None
    part: shapely.Geometry = placed(np.array([shape], dtype=object), crs, raster.grid)[0]
    return part


def _may_be(name: object, other: str) -> bool:
    """Whether two names may be of one raster: beside its namesakes it gets folders in front."""
    return isinstance(name, str) and (
        f"/{name}".endswith(f"/{other}") or other.endswith(f"/{name}")
    )
