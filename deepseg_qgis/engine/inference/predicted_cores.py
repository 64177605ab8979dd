"""What a model says of an area, core by core: decided, and in a fixed order."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Tile, Window
from deepseg_qgis.engine.inference import pipeline
from deepseg_qgis.engine.inference.predictor import Predictor, PreparedWindows
from deepseg_qgis.engine.legend.decisions import as_levels, decide_known
from deepseg_qgis.engine.legend.legend import Legend


@dataclass(frozen=True)
class PredictedCore:
    """What a model says of one core of the grid over an area's bounding box.

    Of categories whose objects are told apart, ``probabilities`` are the model's certainties: they
    order objects better (docs/instances.md).

    Arrays are (rows, columns) of the core: ``classes`` uint8 (0 background or not known, 1 to k),
    ``probabilities`` uint8 in 1/255 of each pixel's class (0 for background), ``known`` bool where
    there is data inside the area. All three are None where the core does not touch the area or
    holds no data. ``heights`` uint8, high in the middle of objects, if the model tells objects
    apart, else None. ``planes`` (planes, rows, columns) uint8 are all that the model says (see
    `Legend.planes`) in 1/255, 0 where not known; None unless it was asked for.
    """

    core: Window
    classes: NDArray[np.uint8] | None
    probabilities: NDArray[np.uint8] | None
    known: NDArray[np.bool_] | None
    heights: NDArray[np.uint8] | None = None
    planes: NDArray[np.uint8] | None = None


def predicted_cores(
    predictor: Predictor, raster: Raster, area: Area, control: Control, *, with_planes: bool = False
) -> Generator[PredictedCore, None, None]:
    """Yield the cores of an area's bounding box on a raster, row by row of a complete grid.

    The cores partition the bounding box; those of one row of the grid have one height, those of
    one column one width. With ``with_planes`` they carry all that the model says. Close the
    generator (or exhaust it) to have its threads ended. Memory: a few windows.

    Raises:
        RasterError: a block is broken.
        Stopped: the user asked to.
    """
    prepared = predictor.prepare(raster, area)
    total = len(prepared.layout.tiles)
    running = run_windows(prepared, predictor.legend, raster, area, with_planes=with_planes)
    with contextlib.closing(running) as cores:
        for number, core in enumerate(cores, start=1):
            control.check()
            control.progress(number / total, f"{raster.name}: tile {number} of {total}")
            yield core


def run_windows(
    prepared: PreparedWindows,
    legend: Legend,
    raster: Raster,
    area: Area,
    *,
    with_planes: bool = False,
) -> Generator[PredictedCore, None, None]:
    """Yield the cores of windows (or of the rest of a grid); see `predicted_cores`."""

    def decide(tile: Tile, pixels: Pixels, planes: NDArray[np.uint8]) -> PredictedCore:
        core = tile.core.within(tile.window)
        known = pixels.valid[core]
        if not area.covers(tile.core):
            known = known & area.mask(tile.core)
        inside = planes[:, core[0], core[1]]
        result = decide_core(tile.core, inside, known, legend)
        kept = np.where(known, inside, np.uint8(0)) if with_planes else None
        return replace(result, planes=kept)

    running = pipeline.run(prepared.session, raster, prepared.layout, decide)
    with contextlib.closing(running) as tiles:
        for tile, predicted in tiles:
            yield predicted or PredictedCore(tile.core, None, None, None)


def decide_core(
    core: Window,
    planes: NDArray[np.uint8],
    known: NDArray[np.bool_],
    legend: Legend,
) -> PredictedCore:
    """Return what planes decide, without the planes themselves.

    Args:
        core: where they lie on the raster.
        planes: (planes, rows, columns) in 1/255, see `Legend.planes`.
        known: (rows, columns), where there is data inside the area.
        legend: what the planes mean.
    """
    classes, chosen = decide_known(planes, as_levels(legend.thresholds), known)
    if not legend.has_objects:
        return PredictedCore(core, classes, chosen, known)
    *_, heights, certainties = planes
    counted = np.array([False, *legend.countable])[classes]
    scores = np.where(counted, certainties, chosen)
    return PredictedCore(core, classes, scores, known, heights.copy())
