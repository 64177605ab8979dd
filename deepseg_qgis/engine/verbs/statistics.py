"""The verb ``statistics``: how many polygons of each category, and how large."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.annotation_layer import no_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import layers, tables
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.geometry.area_of_interest import area_of_interest
from deepseg_qgis.engine.geometry.local_crs import is_local
from deepseg_qgis.engine.geometry.measures import area_and_perimeter_m
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.repair import repair
from deepseg_qgis.engine.reports import statistics_report
from deepseg_qgis.engine.scoring.category_statistics import FIELDS, CategoryStatistics
from deepseg_qgis.errors import counted
from deepseg_qgis.jobs import StatisticsJob, VectorSource


def run(job: StatisticsJob, control: Control) -> dict[str, Any]:
    """Write the table; return the outputs, ``count`` and ``area_m2`` (None if unknown).

    With an AOI, polygons are cut at its border, and what lies outside does not count.

    Raises:
        DeepSegError: something cannot be used; nothing is written then.
    """
    with Outputs(control, job) as outputs:
        path = outputs.path(job.output)
        html = outputs.optional(job.output_html)
        control.progress(0.1, "Reading polygons")
        polygons, aoi_m2 = _read(job.polygons, control), None
        if job.aoi is not None:
            polygons, aoi_m2 = _inside(polygons, job.aoi, control)
        control.progress(0.4, "Measuring")
        table = _measured(polygons, control).table(aoi_m2)
        tables.write_table(path, table, FIELDS)
        outputs.place(job.output)
        if html:
            statistics_report.write(html, table, job.polygons, job.aoi)
    areas = [value for value in table["area_m2"] if isinstance(value, float)]
    complete = len(areas) == len(table["area_m2"])
    return {
        "output": job.output,
        "output_html": job.output_html,
        "count": len(polygons.shapes),
        "area_m2": sum(areas, 0.0) if complete else None,
    }


@dataclass(frozen=True)
class _Polygons:
    """The usable polygons of a layer, in its CRS; arrays of one length."""

    layer: VectorSource
    crs: pyproj.CRS | None
    shapes: Geometries
    categories: NDArray[np.object_]
    sources: NDArray[np.object_]


def _read(layer: VectorSource, control: Control) -> _Polygons:
    features = layers.read_features(layer)
    shapes, usable, repaired = repair(features.geometries)
    if repaired or not usable.all():
        control.warn(
            f"Layer '{layer.name}': {counted(repaired, 'invalid feature')} repaired, "
            f"{counted(int((~usable).sum()), 'feature')} without a usable polygon left out."
        )
    categories = np.array(features.columns["category"], dtype=object)
    if layer.category_field is None:
        categories = np.full(len(shapes), layer.name, dtype=object)
    sources = np.array(features.columns["source"], dtype=object)
    crs = layers.crs_of(layer)
    return _Polygons(layer, crs, shapes[usable], categories[usable], sources[usable])


def _inside(polygons: _Polygons, source: VectorSource, control: Control) -> tuple[_Polygons, float]:
    """Return the parts of the polygons inside an AOI, and its size in m² (NaN if unknown)."""
    count = len(polygons.shapes)
    place = shapely.total_bounds(polygons.shapes) if count else np.full(4, np.nan)
    geometries, usable, _ = repair(layers.read_features(source).geometries)
    if not usable.any():
        raise no_area(source)
    own = layers.crs_of(source)
    area, aoi_m2 = area_of_interest(geometries[usable], own, polygons.crs, place)
    shapes, kept, _ = repair(shapely.intersection(polygons.shapes, area))
    if count and not kept.any():
        control.warn(
            f"None of the polygons of '{polygons.layer.name}' ({count:,}) lies in the area of "
            "interest, so the table is empty. If they meet on the map, look at the CRS of both."
        )
    inside = replace(
        polygons,
        shapes=shapes[kept],
        categories=polygons.categories[kept],
        sources=polygons.sources[kept],
    )
    return inside, aoi_m2


def _measured(polygons: _Polygons, control: Control) -> CategoryStatistics:
    areas, perimeters = area_and_perimeter_m(polygons.shapes, polygons.crs)
    if np.isnan(areas).any():
        reason = _why_no_areas(polygons.layer.name, polygons.crs)
        control.warn(f"Areas in square metres are not known: {reason}")
    statistics = CategoryStatistics()
    statistics.add(polygons.sources, polygons.categories, areas, perimeters)
    return statistics


def _why_no_areas(name: str, crs: pyproj.CRS | None) -> str:
    """Return why polygons of a layer have no areas, and what to do."""
    if crs is None:
        return f"layer '{name}' has no CRS. Assign it in QGIS (Set Layer CRS)."
    if is_local(crs):
        return f"the unit of '{crs.name}', the local CRS of layer '{name}', is no length."
    return (
        f"layer '{name}' has polygons where its CRS '{crs.name}' has no places on the ground. "
        "Check that this is the CRS that the layer was made in."
    )
