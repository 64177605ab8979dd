"""How much of an area a model was trained on."""

from __future__ import annotations

from deepseg_qgis.engine.annotations.footprint_area import Footprint, footprint_area
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area


def trained_share(footprint: Footprint, raster: Raster, area: Area) -> float:
    """Return which share of an area (0 to 1) a model was trained on, by its footprint."""
    if area.size_px == 0:
        return 0.0
    return footprint_area(footprint, raster).within(area).size_px / area.size_px
