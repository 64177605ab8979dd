"""Codes of label rasters and masks: the whole number that stands for a pixel's value.

A *code* is the value itself, or red × 65536 + green × 256 + blue of a mask in colours. 0 (black),
no data and transparent pixels are background.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError, counted

STEP_PX = 1024
MOST_CODES = 10_000_000
LOSSY_FILES = (".jpg", ".jpeg")
LOSSY_COMPRESSIONS = ("JPEG", "YCbCr JPEG")

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class CodeCounts:
    """The different codes of one or more label rasters, in order, and the pixels of each.

    ``voids`` are codes that are read as background.
    """

    codes: Codes
    counts: Codes
    voids: tuple[int, ...] = ()

    def joined(self, other: CodeCounts) -> CodeCounts:
        """Return the codes of both."""
        codes, index = np.unique(np.concatenate([self.codes, other.codes]), return_inverse=True)
        counts = np.bincount(index, np.concatenate([self.counts, other.counts]), len(codes))
        return CodeCounts(codes, counts.astype(np.int64))

    def without(self, voids: tuple[int, ...]) -> CodeCounts:
        """Return the codes that are not void."""
        kept = ~np.isin(self.codes, np.array(voids, dtype=np.int64))
        return CodeCounts(self.codes[kept], self.counts[kept], voids)


NO_CODES = CodeCounts(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def read_codes(label: Raster, window: Window, voids: tuple[int, ...] = ()) -> Codes:
    """Return (rows, columns) codes of a window, which may stick out; 0 for those of ``voids``.

    Raises:
        RasterError: the raster holds no labels, or a block is broken.
    """
    pixels = label.read(window)
    values = pixels.values
    if label.bands == 3 and label.dtype == "uint8":
        red, green, blue = values.astype(np.int64)
        codes = (red << 16) | (green << 8) | blue
    elif label.bands == 1:
        codes = _whole_values(label, values[0], pixels.valid)
    else:
        raise RasterError(
            f"{label.name} has {counted(label.bands, 'band')} of type {label.dtype}. Expected "
            "labels: one band of whole numbers, or red, green and blue in 8 bits. Choose another "
            "raster."
        )
    if is_lossy(label) and np.dtype(label.dtype).kind != "f":
        codes = _on_or_off(values)
    known = pixels.valid & ~np.isin(codes, voids) if voids else pixels.valid
    return np.where(known, codes, 0)


def _whole_values(label: Raster, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> Codes:
    with np.errstate(invalid="ignore"):
        codes = values.astype(np.int64)
    if np.dtype(label.dtype).kind == "f" and (codes != values)[valid].any():
        raise RasterError(
            f"{label.name} has values that are no whole numbers. Expected labels; choose "
            "another raster, or make labels of it with QGIS's 'Reclassify by table'."
        )
    return codes


def is_lossy(label: Raster) -> bool:
    """Whether compression has changed values a little, so that only on and off are left."""
    tags = label.tags("IMAGE_STRUCTURE")
    return (
        tags.get("COMPRESSION") in LOSSY_COMPRESSIONS
        or tags.get("COMPRESSION_REVERSIBILITY", "").startswith("LOSSY")
        or Path(label.source.path).suffix.lower() in LOSSY_FILES
    )


def _on_or_off(values: NDArray[np.generic]) -> Codes:
    """Return 1 where any band (n, rows, columns) of a lossy mask is brighter than half, else 0."""
    half = np.iinfo(values.dtype.name).max // 2
    return np.asarray(values.max(axis=0) > half, dtype=np.int64)


def count_codes(label: Raster, control: Control) -> CodeCounts:
    """Return which codes a raster holds, and how often.

    Memory: a window, and 16 bytes for each code.

    Raises:
        RasterError: it holds no labels, or more than ten million different ones.
    """
    total = NO_CODES
    windows = list(windows_over(label.grid.window))
    for number, window in enumerate(windows):
        control.check()
        control.progress(number / len(windows), f"Looking at {label.name}")
        codes, counts = np.unique(read_codes(label, window), return_counts=True)
        total = total.joined(CodeCounts(codes[codes != 0], counts[codes != 0]))
        if len(total.codes) > MOST_CODES:
            raise RasterError(
                f"{label.name} has more than {MOST_CODES:,} different values. Expected labels: a "
                "number for each category or object. Choose another raster."
            )
    return total


def windows_over(whole: Window) -> Iterator[Window]:
    """Yield windows that cover the raster, row by row."""
    for row in range(0, whole.height, STEP_PX):
        for column in range(0, whole.width, STEP_PX):
            yield Window(row, column, STEP_PX, STEP_PX).intersection(whole)
