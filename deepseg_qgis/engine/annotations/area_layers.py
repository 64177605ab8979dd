"""Areas on rasters as layers that an AOI can be chosen from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyproj
import shapely

from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.jobs import CATEGORY_FIELD, SOURCE_FIELD, VectorSource
from deepseg_qgis.overwriting import layer_name


def write_areas(path: str, crs: pyproj.CRS | None, areas: Sequence[tuple[Raster, Area]]) -> None:
    """Write areas on rasters, with the raster's name as ``source``.

    Raises:
        OutputError: the layer cannot be written.
    """
    vectors.write_features(path, _features(crs, areas), {SOURCE_FIELD: pa.string()}, crs)


def area_source(
    path: str, crs: pyproj.CRS | None, areas: Sequence[tuple[Raster, Area]], name: str
) -> VectorSource:
    """Write areas for the engine itself, and return the layer as a job takes it.

    Raises:
        OutputError: the layer cannot be written.
    """

    def batches() -> Iterator[Features]:
        for batch in _features(crs, areas):
            nothing = [None] * len(batch.geometries)
            yield Features(batch.geometries, {CATEGORY_FIELD: nothing, **batch.columns})

    fields = {CATEGORY_FIELD: pa.string(), SOURCE_FIELD: pa.string()}
    vectors.write_features(path, batches(), fields, crs)
    return VectorSource(path, layer_name(path), name, crs.to_wkt() if crs else "", None, {})


def _features(crs: pyproj.CRS | None, areas: Sequence[tuple[Raster, Area]]) -> Iterator[Features]:
    for raster, area in areas:
        if area.size_px:
            shape = np.array([area.geometry], dtype=object)
            parts = shapely.get_parts(raster.grid.to_crs(shape, crs))
            yield Features(parts, {SOURCE_FIELD: [raster.name] * len(parts)})
