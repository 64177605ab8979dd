"""Maps of categories, opened: rasters of classes and layers of polygons alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deepseg_qgis.engine.annotations.annotation_layer import load_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.sampling.polygon_strata import PolygonStrata
from deepseg_qgis.engine.sampling.raster_strata import RasterStrata
from deepseg_qgis.engine.sampling.strata import CategoryMap
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import EstimateAreaJob, SampleDesignJob


@contextlib.contextmanager
def open_map(job: SampleDesignJob | EstimateAreaJob, control: Control) -> Iterator[CategoryMap]:
    """Open the map of a job, inside its area of interest if there is one.

    Raises:
        ParameterError: there is not one map.
        DeepSegError: the map or the area cannot be used.
    """
    if (job.map_raster is None) == (job.map_polygons is None):
        raise ParameterError("Expected one map: a raster of classes, or a layer of polygons.")
    if job.map_polygons is not None:
        yield PolygonStrata(job.map_polygons, job.aoi, control)
        return
    assert job.map_raster is not None
    with open_rasters([job.map_raster], control, stored=True) as (raster,):
        area = None if job.aoi is None else load_area(job.aoi, raster, control)
        yield RasterStrata(raster, area, control)
