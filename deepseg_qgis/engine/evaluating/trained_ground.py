"""How much of an area a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely

from deepseg_qgis.engine.annotations.annotation_layer import placed
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.local_crs import are_comparable

Footprint = Sequence[Mapping[str, Any]]
"""Where a model was trained, see `ModelCard.footprint`."""


def trained_share(footprint: Footprint, raster: Raster, area: Area) -> float:
    """Return which share of an area (0 to 1) a model was trained on.

    Areas of training are found by their place on the ground, or, without georeference, by the
    raster's name. What a footprint holds that is no area counts for nothing.
    """
    if area.size_px == 0:
        return 0.0
    parts = [_trained_part(entry, raster) for entry in footprint]
    known = np.array([part for part in parts if part is not None], dtype=object)
    return Area.of(known).within(area).size_px / area.size_px if len(known) else 0.0


def _trained_part(entry: Mapping[str, Any], raster: Raster) -> shapely.Geometry | None:
    try:
        shape = shapely.from_geojson(json.dumps(entry["area"]))
        crs = pyproj.CRS.from_wkt(entry["crs"]) if entry["crs"] else None
    except (KeyError, TypeError, ValueError, shapely.GEOSException, pyproj.exceptions.CRSError):
        return None
    if not are_comparable(crs, raster.grid.crs) and not _may_be(entry.get("raster"), raster.name):
        return None
    return placed(np.array([shape], dtype=object), crs, raster.grid)[0]


def _may_be(name: object, other: str) -> bool:
    """Whether two names may be of one raster: beside its namesakes it gets folders in front."""
    return isinstance(name, str) and (
        f"/{name}".endswith(f"/{other}") or other.endswith(f"/{name}")
    )
