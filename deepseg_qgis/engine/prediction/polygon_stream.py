"""The polygons of a raster as they are found: inference, outlines and measures, one behind another.

Each stage has a thread of its own, so that inference never waits for outlines, nor those for the
disk. What lies between two stages is bounded, so memory does not grow with the raster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
from numpy.typing import NDArray

from deepseg_qgis.bounds import SIMPLIFY_PX
from deepseg_qgis.choices import OUTLINES
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.features import PolygonBatch
from deepseg_qgis.engine.geometry.georeference import Grid, Placing
from deepseg_qgis.engine.geometry.local_crs import has_sizes
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore
from deepseg_qgis.engine.instances.finder import Finder
from deepseg_qgis.engine.legend.legend import InstanceRule, Legend
from deepseg_qgis.engine.streams import ahead
from deepseg_qgis.engine.vectorising.components import Components
from deepseg_qgis.engine.vectorising.objects import PolygonOptions
from deepseg_qgis.engine.vectorising.vectoriser import Limits
from deepseg_qgis.errors import ParameterError, counted

FIELDS = {
    "id": pa.int64(),
    "category": pa.string(),
    "score": pa.float64(),
    "area_px": pa.int64(),
    "area_m2": pa.float64(),
    "perimeter_m": pa.float64(),
    "source": pa.string(),
}
"""``id`` is row × width + column of the first pixel, unique within ``source``; ``score`` the mean
probability, of objects that are told apart the mean certainty; ``area_px`` exact; the sizes in
metres are those of the polygon as it is written."""

CORES_AHEAD = 2
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class PolygonRequest:
    """How the polygons of a raster are drawn, and in which CRS.

    ``source`` is what polygons carry in that field; ``grid`` is where the raster's pixels lie.
    ``legend`` says what classes are called, and how objects are told apart. ``outlines`` is the
    style that they are drawn in, one of `choices.OUTLINES`. ``on_objects``, if given, is called
    with the objects of each batch, which carry exact outlines then.
    """

    source: str
    grid: Grid
    crs: pyproj.CRS | None
    legend: Legend
    simplify_px: float
    min_area: float
    outlines: str = "plain"
    on_objects: Callable[[Components], None] | None = None


def check_shaping(simplify_px: float, outlines: str) -> None:
    """Check how far outlines are to be simplified, and their style.

    Raises:
        ParameterError: it is out of bounds, or there is no such style.
    """
    if outlines not in OUTLINES:
        raise ParameterError(
            f"Outlines can be {', '.join(OUTLINES)}, got '{outlines}'. Choose one of them."
        )
    if simplify_px not in SIMPLIFY_PX:
        raise ParameterError(
            f"Outlines can be simplified by 0 to {SIMPLIFY_PX.most:g} px, got {simplify_px:g}. "
            "For more, run QGIS's 'Simplify' on the result."
        )


def polygons(
    cores: Generator[PredictedCore, None, None],
    region: Window,
    request: PolygonRequest,
    control: Control,
) -> Generator[PolygonBatch, None, None]:
    """Yield batches of polygons in the requested CRS, with the columns of `FIELDS`.

    ``cores`` come row by row of a complete grid over ``region`` (see `predicted_cores`). Close the
    generator (or exhaust it) to have its threads ended. Memory: some cores of pixels, the outlines
    of objects that are not complete (bounded, see `vectorising`), some batches.

    Raises:
        DeepSegError: what ``cores`` raises.
    """
    grid = request.grid
    options = PolygonOptions(
        request.simplify_px,
        request.min_area,
        grid.pixel_areas_m2 if has_sizes(grid.crs) else None,
        keep_exact=request.on_objects is not None,
        outlines=request.outlines,
    )
    cores_ahead = ahead(cores, CORES_AHEAD, "inference")
    objects = _objects(cores_ahead, region, request.legend.instance_rule, options, control)
    objects_ahead = ahead(objects, BATCHES_AHEAD, "outlines")
    placing = Placing(grid, request.crs)
    names = np.array([category.name for category in request.legend.categories], dtype=object)
    with contextlib.closing(objects_ahead):
        for batch in objects_ahead:
            if request.on_objects:
                request.on_objects(batch)
            yield _polygon_batch(batch, request, placing, names)


def _objects(
    cores: Generator[PredictedCore, None, None],
    region: Window,
    instance_rule: InstanceRule | None,
    options: PolygonOptions,
    control: Control,
) -> Generator[Components, None, None]:
    """Yield the objects of some cores at a time; what was left out or cut is told in the log."""
    with contextlib.closing(cores), Finder(region, instance_rule, options) as finder:
        count = 0
        for core in cores:
            for objects in finder.add(core.core, core.classes, core.probabilities, core.heights):
                count += len(objects)
                if len(objects):
                    yield objects
        finder.check_complete()
        _log_objects(finder, count, options, control)


def _log_objects(finder: Finder, count: int, options: PolygonOptions, control: Control) -> None:
    if finder.left_out:
        control.log(
            f"Dropped {counted(finder.left_out, 'speck')} below the minimum object size of "
            "their category."
        )
    if not count and options.min_area > 0.0:
        control.warn(
            "There is no polygon. If objects were expected, make the smallest area (MIN_AREA) "
            "or the threshold lower."
        )
    if finder.cut_objects:
        limits = Limits()
        control.log(
            f"{counted(finder.cut_objects, 'region')} with more than {limits.most_vertices:,} "
            f"vertices, cut along a grid of {limits.cell_px:,} px."
        )


def _polygon_batch(
    objects: Components, request: PolygonRequest, placing: Placing, names: NDArray[np.object_]
) -> PolygonBatch:
    placed = placing.placed(objects.polygons)
    areas, perimeters = placed.sizes()
    columns: dict[str, NDArray[Any]] = {
        "id": objects.first_rows * request.grid.width + objects.first_columns,
        "category": names[objects.classes.astype(np.int64) - 1],
        "score": objects.scores,
        "area_px": objects.sizes_px,
        "area_m2": areas,
        "perimeter_m": perimeters,
        "source": np.full(len(objects), request.source, dtype=object),
    }
    return PolygonBatch(placed.polygons, columns)
