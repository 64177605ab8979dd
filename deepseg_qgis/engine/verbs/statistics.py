"""The verb ``statistics``: how many polygons of each category, and how large."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.annotation_layer import no_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import layers, tables
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.geometry.local_crs import are_one_plane, is_local
from deepseg_qgis.engine.geometry.measures import STRAIGHT_WITHIN_M, area_and_perimeter_m
from deepseg_qgis.engine.geometry.neighbourhood import near
from deepseg_qgis.engine.geometry.projections import (
    Geometries,
    World,
    metres_per_unit,
    projection,
    reprojected,
)
from deepseg_qgis.engine.geometry.repair import repair
from deepseg_qgis.engine.geometry.round_world import Poles, in_world, turned_to
from deepseg_qgis.engine.reports import statistics_report
from deepseg_qgis.engine.scoring.category_statistics import (
    FIELDS,
    CategoryStatistics,
    StatisticsTable,
)
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
        features = layers.read_features(job.polygons)
        crs = layers.crs_of(job.polygons)
        shapes, usable, repaired = repair(features.geometries)
        if repaired or not usable.all():
            control.warn(
                f"Layer '{job.polygons.name}': {counted(repaired, 'invalid feature')} repaired, "
                f"{counted(int((~usable).sum()), 'feature')} without a usable polygon left out."
            )
        whole = None
        if job.aoi is not None:
            place = shapely.total_bounds(shapes[usable]) if usable.any() else np.full(4, np.nan)
            aoi, whole = _aoi(job.aoi, crs, place)
            shapes, usable = _cut(shapes, usable, aoi, job.polygons, control)
        control.progress(0.4, "Measuring")
        table = _table(job.polygons, features, shapes, usable, crs, whole, control)
        tables.write_table(path, table, FIELDS)
        outputs.place(job.output)
        if html:
            statistics_report.write(html, table, job.polygons, job.aoi)
    areas = [value for value in table["area_m2"] if isinstance(value, float)]
    complete = len(areas) == len(table["area_m2"])
    return {
        "output": job.output,
        "output_html": job.output_html,
        "count": int(usable.sum()),
        "area_m2": sum(areas, 0.0) if complete else None,
    }


def _cut(
    shapes: Geometries,
    usable: np.ndarray,
    aoi: shapely.Geometry,
    layer: VectorSource,
    control: Control,
) -> tuple[Geometries, np.ndarray]:
    """Return the parts of the polygons inside the AOI, and which have one."""
    inside, left, _ = repair(np.where(usable, shapely.intersection(shapes, aoi), shapes))
    if usable.any() and not left.any():
        control.warn(
            f"None of the polygons of '{layer.name}' ({int(usable.sum()):,}) lies in the area of "
            "interest, so the table is empty. If they meet on the map, look at the CRS of both."
        )
    return inside, left


def _table(
    layer: VectorSource,
    features: Features,
    shapes: Geometries,
    usable: np.ndarray,
    crs: pyproj.CRS | None,
    aoi_m2: float | None,
    control: Control,
) -> StatisticsTable:
    areas, perimeters = area_and_perimeter_m(shapes[usable], crs)
    if np.isnan(areas).any():
        control.warn(f"Areas in square metres are not known: {_no_areas(layer.name, crs)}")
    categories = np.array(features.columns["category"], dtype=object)[usable].tolist()
    if layer.category_field is None:
        categories = [layer.name] * len(categories)
    sources = np.array(features.columns["source"], dtype=object)[usable].tolist()
    summary = CategoryStatistics()
    summary.add(sources, categories, areas, perimeters)
    return summary.table(aoi_m2)


def _no_areas(name: str, crs: pyproj.CRS | None) -> str:
    """Return why polygons of a layer have no areas, and what to do."""
    if crs is None:
        return f"layer '{name}' has no CRS. Assign it in QGIS (Set Layer CRS)."
    if is_local(crs):
        return f"the unit of '{crs.name}', the local CRS of layer '{name}', is no length."
    return (
        f"layer '{name}' has polygons where its CRS '{crs.name}' has no places on the ground. "
        "Check that this is the CRS that the layer was made in."
    )


def _aoi(
    source: VectorSource, crs: pyproj.CRS | None, place: NDArray[np.float64]
) -> tuple[shapely.Geometry, float]:
    """Return the AOI as one geometry in the polygons' CRS, and its size in m² (NaN if unknown).

    ``place`` is where the polygons lie; of an AOI that reaches far around it only that matters.
    """
    geometries, usable, _ = repair(layers.read_features(source).geometries)
    if not usable.any():
        raise no_area(source)
    whole = geometries[usable]
    own, world = layers.crs_of(source), None if crs is None else World.of(crs)
    if own is None or crs is None or are_one_plane(own, crs):
        area = shapely.union_all(whole)
        return _turned_to(area, world, place), _size_m2(area, crs)
    project = projection(own, crs)
    tolerance = STRAIGHT_WITHIN_M / metres_per_unit(crs)
    reached = whole
    if world is None:
        reached = near(whole, own, place, crs)
        moved = reprojected(reached, project, tolerance)
    else:
        moved = in_world(whole, project, tolerance, Poles(project, projection(crs, own), world))
    parts, usable, _ = repair(moved)
    area = shapely.union_all(parts[usable])
    if reached is whole:
        return _turned_to(area, world, place), _size_m2(area, crs)
    return area, _size_m2(shapely.union_all(whole), own)


def _turned_to(
    area: shapely.Geometry, world: World | None, place: NDArray[np.float64]
) -> shapely.Geometry:
    """Return an AOI also where polygons lie a whole turn around the world away from it."""
    if world is None or area.is_empty or not np.isfinite(place).all():
        return area
    return turned_to(area, world, place[0], place[2])


def _size_m2(area: shapely.Geometry, crs: pyproj.CRS | None) -> float:
    return float(area_and_perimeter_m(np.array([area], dtype=object), crs)[0][0])
