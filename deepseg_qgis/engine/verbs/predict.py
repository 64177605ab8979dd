"""The verb ``predict``: from rasters and a model to polygons and their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine import model_file, vectors
from deepseg_qgis.engine.annotations import Category, load_area, placed
from deepseg_qgis.engine.areas import Area, box
from deepseg_qgis.engine.category_statistics import FIELDS as STATISTICS_FIELDS
from deepseg_qgis.engine.category_statistics import Summary
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.inference.class_maps import ClassMap, class_map
from deepseg_qgis.engine.inference.inference import Inference, Settings
from deepseg_qgis.engine.measures import area_and_perimeter_m
from deepseg_qgis.engine.outputs import Outputs
from deepseg_qgis.engine.polygons import Components, components
from deepseg_qgis.engine.projections import WGS84, Geometries
from deepseg_qgis.engine.rasters import Raster, opened
from deepseg_qgis.engine.vectors import Features
from deepseg_qgis.errors import DeepSegError, VectorError
from deepseg_qgis.jobs import PredictJob

FIELDS = {
    "id": pa.int64(),
    "category": pa.string(),
    "score": pa.float64(),
    "area_px": pa.int64(),
    "area_m2": pa.float64(),
    "perimeter_m": pa.float64(),
    "source": pa.string(),
}
INFERENCE_SHARE = 0.9
"""How much of a raster's progress is inference; the rest is polygons."""


def run(job: PredictJob, control: Control) -> dict[str, Any]:
    """Predict polygons; return the outputs, ``count`` and ``area_m2``.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    with Outputs(control) as outputs, opened(job.rasters) as rasters:
        path = outputs.path(job.output)
        table = outputs.optional(job.output_statistics)
        control.log(f"Reading the model {job.model}")
        model = model_file.read_for(job.model, rasters)
        inference = Inference(model, _settings(job), control)
        _tell(model.card.resolution_m, rasters, control)
        crs = _output_crs(path, rasters, control)
        found = _Found(job, inference, model.card.categories, rasters, crs, control)
        count = vectors.write_features(path, found.features(), FIELDS, crs)
        if table:
            vectors.write_table(table, found.statistics(), STATISTICS_FIELDS)
    control.log(f"{count:,} polygons; their areas equal the {found.area_px:,} pixels they hold.")
    return {
        "output": job.output,
        "output_statistics": job.output_statistics,
        "count": count,
        "area_m2": found.area_m2,
        "categories": [asdict(category) for category in model.card.categories],
    }


class _Found:
    """The polygons of all rasters, one raster after the other, and the sums over them."""

    def __init__(
        self,
        job: PredictJob,
        inference: Inference,
        categories: tuple[Category, ...],
        rasters: Sequence[Raster],
        crs: pyproj.CRS | None,
        control: Control,
    ) -> None:
        self._job, self._inference, self._categories = job, inference, categories
        self._rasters, self._crs, self._control = rasters, crs, control
        self._summary = Summary()
        self._aoi_m2 = 0.0
        self.area_px = 0

    def features(self) -> Iterator[Features]:
        """Yield the polygons of each raster, in the output's CRS and with all fields."""
        for number, raster in enumerate(self._rasters):
            whole = len(self._rasters)
            control = self._control.part(number / whole, (number + 1) / whole)
            area = _area(self._job, raster, control)
            self._aoi_m2 += _size_m2(area, raster)
            found = class_map(self._inference, raster, area, control.part(0.0, INFERENCE_SHARE))
            control.progress(INFERENCE_SHARE, f"{raster.name}: drawing polygons")
            batch = self._batch(raster, _exact(found))
            yield batch

    def _batch(self, raster: Raster, objects: Components) -> Features:
        shapes = raster.grid.to_crs(objects.geometries, self._crs)
        crs = self._crs if raster.grid.crs is not None else None
        areas, perimeters = area_and_perimeter_m(shapes, crs)
        sizes = objects.sizes_px if crs is None else areas
        large = sizes >= self._job.min_area
        kept = objects.chosen(large)
        self.area_px += int(kept.sizes_px.sum())
        names = np.array([category.name for category in self._categories], dtype=object)
        columns: dict[str, NDArray[Any]] = {
            "id": kept.first_rows * raster.grid.width + kept.first_columns,
            "category": names[kept.classes.astype(np.int64) - 1],
            "score": kept.scores,
            "area_px": kept.sizes_px,
            "area_m2": areas[large],
            "perimeter_m": perimeters[large],
            "source": np.full(len(kept), raster.name, dtype=object),
        }
        self._summary.add(
            columns["source"], columns["category"], columns["area_m2"], columns["perimeter_m"]
        )
        return Features(shapes[large], columns)

    @property
    def area_m2(self) -> float | None:
        """The area of all polygons, or None where it is unknown."""
        return self._summary.area_m2

    def statistics(self) -> dict[str, list[object]]:
        """Return the table of statistics per raster and category."""
        return self._summary.table(self._aoi_m2 if np.isfinite(self._aoi_m2) else None)


def _settings(job: PredictJob) -> Settings:
    return Settings(
        job.device,
        job.precision,
        job.tile_size_px,
        job.overlap_px,
        job.batch_size,
        job.threshold,
    )


def _area(job: PredictJob, raster: Raster, control: Control) -> Area:
    """Return where to predict on a raster: the AOI within the extent, else all of it."""
    area = Area(box(raster.grid.window))
    if job.aoi is not None:
        area = load_area(job.aoi, raster, control)
    if job.extent is not None:
        extent = job.extent
        crs = pyproj.CRS.from_wkt(extent.crs_wkt) if extent.crs_wkt else None
        corners = shapely.box(extent.xmin, extent.ymin, extent.xmax, extent.ymax)
        area = area.within(Area.of(placed(np.array([corners]), crs, raster.grid)))
    if area.size_px == 0 and len(job.rasters) == 1:
        raise VectorError(
            f"The area or extent to predict does not touch {raster.name}. Check that they lie over "
            "each other, or leave area and extent empty to predict the whole raster."
        )
    return area


def _exact(found: ClassMap) -> Components:
    """Return the objects of a class map, their areas checked against its pixels.

    Raises:
        DeepSegError: the polygons do not cover exactly the pixels of the map.
    """
    objects = components(found.classes, found.probabilities, found.region)
    if not np.array_equal(shapely.area(objects.geometries), objects.sizes_px):
        raise DeepSegError(
            "The polygons' areas differ from the pixel counts. This is a fault of DeepSeg's: "
            "please report it with the raster and the model."
        )
    return objects


def _size_m2(area: Area, raster: Raster) -> float:
    shape: Geometries = np.array([area.geometry], dtype=object)
    if raster.grid.crs is None or area.size_px == 0:
        return float("nan") if raster.grid.crs is None else 0.0
    sizes, _ = area_and_perimeter_m(raster.grid.to_crs(shape, raster.grid.crs), raster.grid.crs)
    return float(sizes[0])


def _output_crs(path: str, rasters: Sequence[Raster], control: Control) -> pyproj.CRS | None:
    """Return the CRS of the output: the rasters' own if they share one, else WGS 84."""
    first = rasters[0].grid.crs
    alike = all(raster.grid.crs == first for raster in rasters)
    crs = vectors.crs_for(path, first if alike else WGS84)
    if any(raster.grid.crs is None for raster in rasters):
        control.warn(
            "The raster has no georeference: polygons are in pixels (x = column, y = -row), and "
            "areas in square metres are not known."
        )
    return crs


def _tell(
    resolution_m: float | None,
    rasters: Sequence[Raster],
    control: Control,
) -> None:
    for raster in rasters:
        found = raster.grid.resolution_m
        if resolution_m and found and not 2 / 3 <= found / resolution_m <= 1.5:
            control.warn(
                f"{raster.name} has pixels of {found:.3g} m, the model was trained on "
                f"{resolution_m:.3g} m. Objects look too large or too small to it: resample the "
                "raster to the model's resolution for a good result."
            )
