"""Where polygons are looked for on a raster, and how large that is."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely

from deepseg_qgis.engine.annotations.annotation_layer import load_area, placed
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.georeference import Placing
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import Extent, VectorSource


def prediction_area(
    aoi: VectorSource | None,
    extent: Extent | None,
    raster: Raster,
    control: Control,
    *,
    alone: bool,
) -> Area:
    """Return where to predict on a raster: the AOI within the extent, else all of it.

    With ``alone`` there is no other raster that they could be meant for.

    Raises:
        VectorError: the AOI holds no polygon, or a raster that is alone lies outside.
    """
    area = Area(box(raster.grid.window))
    if aoi is not None:
        area = load_area(aoi, raster, control)
    if extent is not None:
        crs = pyproj.CRS.from_wkt(extent.crs_wkt) if extent.crs_wkt else None
        corners = shapely.box(extent.xmin, extent.ymin, extent.xmax, extent.ymax)
        area = area.within(Area.of(placed(np.array([corners]), crs, raster.grid)))
    if area.size_px == 0 and alone:
        raise VectorError(
            f"The area or extent to predict does not touch {raster.name}. Check that they lie over "
            "each other, or leave area and extent empty to predict the whole raster."
        )
    return area


def size_m2(area: Area, raster: Raster) -> float:
    """Return the size of an area of a raster on the ground, NaN where it is unknown."""
    shape: Geometries = np.array([area.geometry], dtype=object)
    if raster.grid.crs is None or area.size_px == 0:
        return float("nan") if raster.grid.crs is None else 0.0
    sizes, _ = Placing(raster.grid, raster.grid.crs).placed(shape).sizes()
    return float(sizes[0])
