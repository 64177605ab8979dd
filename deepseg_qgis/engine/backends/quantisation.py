"""Post-training quantisation to int8 with NNCF. Imported only when int8 is asked for.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference, CVPR 2018.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino
from numpy.typing import NDArray

from deepseg_qgis.engine.backends.backend import Backend, probabilities
from deepseg_qgis.engine.files.rasters import Pixels, Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import LATTICE_PX, Window
from deepseg_qgis.engine.instances.finder import instances_at_once
from deepseg_qgis.engine.legend.decisions import as_levels, decide_known
from deepseg_qgis.engine.legend.legend import Legend
from deepseg_qgis.engine.scoring.label_overlaps import LabelOverlaps

CALIBRATED_PX = 256
CALIBRATED_WINDOWS = 48
CHECKED_PX = 512
CHECKED_WINDOWS = 12
TRIES = 4
LEAST_DATA = 0.25
"""Of a window; less tells little."""


@dataclass(frozen=True)
class CalibrationWindows:
    """Windows of a raster that int8 is made for: its ranges come from some, others check it."""

    calibrated: list[Pixels]
    checked: list[Pixels]

    @classmethod
    def of(cls, raster: Raster, area: Area) -> CalibrationWindows | None:
        """Return windows of an area of a raster, None where there is too little data."""
        calibrated = sample_windows(raster, area, CALIBRATED_PX, CALIBRATED_WINDOWS, 1)
        checked = sample_windows(raster, area, CHECKED_PX, CHECKED_WINDOWS, 2)
        return cls(calibrated, checked) if calibrated and checked else None

    @property
    def fingerprint(self) -> str:
        """What tells these pixels from all others."""
        digest = hashlib.sha256()
        for pixels in self.calibrated + self.checked:
            digest.update(repr((pixels.values.shape, pixels.values.dtype.str)).encode())
            digest.update(np.ascontiguousarray(pixels.values).data)
            digest.update(pixels.valid.tobytes())
        return digest.hexdigest()


def sample_windows(raster: Raster, area: Area, side_px: int, count: int, seed: int) -> list[Pixels]:
    """Return windows with data, evenly drawn inside of an area; fewer where there is little.

    They are no larger than the area needs, so that small ones are seen whole and not lost in what
    lies around them.
    """
    rng = np.random.default_rng(seed)
    region = area.window(raster.grid.window)
    height, width = (
        min(side_px, math.ceil(length / LATTICE_PX) * LATTICE_PX)
        for length in (region.height, region.width)
    )
    found: dict[Window, Pixels] = {}
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        row, column = (
            start + int(rng.integers(0, max(1, length - side + 1))) // LATTICE_PX * LATTICE_PX
            for start, length, side in (
                (region.row, region.height, height),
                (region.column, region.width, width),
            )
        )
        window = Window(row, column, height, width)
        if window not in found and area.touches(window):
            pixels = raster.read(window)
            if pixels.valid.mean() > LEAST_DATA:
                found[window] = pixels
    return list(found.values())


def quantise(
    graph: openvino.Model, windows: Sequence[Pixels], subtracted: Sequence[float]
) -> openvino.Model:
    """Return a network in int8, its ranges taken from these windows (all of one size).

    ``subtracted``: see `NetworkMetadata`.
    """
    os.environ["NNCF_CI"] = "1"  # NNCF reports to its maker otherwise
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    less = np.array(subtracted or (0.0,), dtype=np.float32)[:, None, None]
    dtype = graph.input(0).get_element_type().to_dtype()

    def as_input(pixels: Pixels) -> list[NDArray[np.generic]]:
        values = pixels.values.astype(np.float32) - less if subtracted else pixels.values
        return [values[None].astype(dtype), pixels.valid[None, None].view(np.uint8)]

    data = nncf.Dataset(list(windows), as_input)
    with contextlib.redirect_stdout(io.StringIO()):  # it draws bars
        found: openvino.Model = nncf.quantize(graph, data, subset_size=len(windows))
    return found


def agreement(
    one: Backend,
    other: Backend,
    windows: Sequence[Pixels],
    legend: Legend,
) -> float:
    """Return how well two backends agree, 1 if neither finds anything.

    The IoU of their class maps (same category: intersection); where objects are told apart, the F1
    of one's objects as measured with the other's.
    """
    shared = either = 0
    sessions = [backend.session(*windows[0].valid.shape) for backend in (one, other)]
    for pixels in windows:
        first, second = (
            _objects_and_classes(probabilities(each, [pixels])[0], pixels.valid, legend)
            for each in sessions
        )
        if legend.has_objects:
            matched, *counts = LabelOverlaps.of(first, second).counts
            shared, either = shared + 2 * matched, either + sum(counts)
        else:
            shared += int(((first[1] == second[1]) & (first[1] > 0)).sum())
            either += int(((first[1] > 0) | (second[1] > 0)).sum())
    return shared / either if either else 1.0


def _objects_and_classes(
    planes: NDArray[np.uint8], valid: NDArray[np.bool_], legend: Legend
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the objects (0 for none, or where none are told apart) and classes of a window."""
    classes, _ = decide_known(planes, as_levels(legend.thresholds), valid)
    if legend.instance_rule is None or not legend.has_objects:
        return np.zeros(classes.shape, dtype=np.int32), classes
    heights = planes[len(legend.categories)]
    return instances_at_once(classes, heights, legend.instance_rule), classes
