"""Augmentation: training windows seen from any side, nearer or farther, and in other light.

A map has no up, and roofs no favourite direction, so every view of a place is as true as the next;
and the same place is brighter by noon, hazy, or in the dark corner of a picture. No I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

ORIENTATIONS = 8
MAX_ANGLE = math.pi / 4.0
"""On top of quarter turns, so that every angle is as likely."""
MAX_ZOOM = 1.2
GAIN_STD, OFFSET_STD, SLOPE_STD = 0.2, 0.2, 0.3
"""How much the light changes: standard deviations, of `PhotometricTransform`'s fields."""

Element = TypeVar("Element", bound=np.generic)


@dataclass(frozen=True)
class GeometricTransform:
    """One way to look at a square: ``orientation`` (see `oriented`), then ``angle`` and ``zoom``.

    ``angle`` is in radians; a pixel that is seen is ``zoom`` pixels of the raster wide.
    """

    orientation: int = 0
    angle: float = 0.0
    zoom: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> GeometricTransform:
        """Return any of them, from `MAX_ZOOM` nearer to as much farther."""
        limit = math.log(MAX_ZOOM)
        return cls(
            int(rng.integers(ORIENTATIONS)),
            float(rng.uniform(-MAX_ANGLE, MAX_ANGLE)),
            math.exp(rng.uniform(-limit, limit)),
        )

    def margin_px(self, size_px: int) -> int:
        """Return how far beyond a square of ``size_px`` pixels are needed, on each side.

        Negative where less is enough.
        """
        if self._keeps_pixels:
            return 0
        across = abs(math.cos(self.angle)) + abs(math.sin(self.angle))
        return math.ceil((size_px * self.zoom * across - size_px) / 2.0) + 1  # to interpolate with

    def warp(self, side_px: int, size_px: int) -> Warp:
        """Return what makes squares of ``size_px`` out of those of ``side_px``.

        ``side_px`` has the margin that `margin_px` says.
        """
        if self._keeps_pixels:
            return Warp(self.orientation, None)
        scale = self.zoom * size_px / side_px
        along, across = scale * math.cos(self.angle), scale * math.sin(self.angle)
        matrix = torch.tensor([[[along, -across, 0.0], [across, along, 0.0]]])
        grid = functional.affine_grid(matrix, [1, 1, size_px, size_px], align_corners=False)
        return Warp(self.orientation, grid)

    @property
    def _keeps_pixels(self) -> bool:
        return self.angle == 0.0 and self.zoom == 1.0


@dataclass(frozen=True)
class Warp:
    """A geometric transform of squares of one size, whatever they show: image, masks, heights.

    ``grid`` (1, size, size, 2) says where the pixels lie on the oriented square, as torch's
    grid_sample takes it; None where they keep their values.
    """

    orientation: int
    grid: torch.Tensor | None

    def bilinear(self, square: NDArray[Any]) -> NDArray[Any]:
        """Return (..., size, size) of a square (..., side, side), interpolated in float32.

        But without a grid it has the square's own numbers.
        """
        return self._sampled(square, "bilinear")

    def nearest(self, square: NDArray[Element]) -> NDArray[Element]:
        """Return the same of labels: from the nearest pixel, in the type they have."""
        return self._sampled(square, "nearest").astype(square.dtype)

    def all_true(self, square: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where all that `bilinear` interpolates between is True."""
        return self._sampled(square, "bilinear") > 0.999

    def _sampled(self, square: NDArray[Any], mode: str) -> NDArray[Any]:
        plain = oriented(square, self.orientation)
        if self.grid is None:
            return plain
        flat = np.ascontiguousarray(plain, dtype=np.float32).reshape(1, -1, *plain.shape[-2:])
        sampled = functional.grid_sample(
            torch.from_numpy(flat), self.grid, mode=mode, align_corners=False
        )
        result: NDArray[np.float32] = sampled.numpy().reshape(
            *plain.shape[:-2], *sampled.shape[-2:]
        )
        return result


@dataclass(frozen=True)
class PhotometricTransform:
    """Light that changes all bands alike, so that colours keep their meaning.

    Normalised values are multiplied by ``gain`` and raised by ``offset``, and by ``slope_down`` and
    ``slope_right`` more at the lower and right edge than in the middle, where that is 0.
    """

    gain: float = 1.0
    offset: float = 0.0
    slope_down: float = 0.0
    slope_right: float = 0.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> PhotometricTransform:
        """Return any of them; mostly such that one would hardly notice."""
        deviations = (GAIN_STD, OFFSET_STD, SLOPE_STD, SLOPE_STD)
        gain, offset, down, right = rng.normal(0.0, deviations).tolist()
        return cls(math.exp(gain), offset, down, right)

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalised values (bands, rows, columns) in this light."""
        rows, columns = (np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in values.shape[1:])
        down, right = self.slope_down * rows[:, None], self.slope_right * columns
        added = np.float32(self.offset) + down + right
        result: NDArray[np.float32] = values * np.float32(self.gain) + added.astype(np.float32)
        return result


SAME_GEOMETRY, SAME_LIGHT = GeometricTransform(), PhotometricTransform()
"""The ground as it lies, in the light that it was taken in."""


def oriented(array: NDArray[Element], orientation: int) -> NDArray[Element]:
    """Return the last two axes (rows, columns; a square) flipped and rotated in way 0 to 7.

    Ways 0 to 3 are quarter turns; 4 to 7 the same after a left-right flip. Image and mask that
    are given the same ``orientation`` stay over each other.
    """
    flipped = array[..., ::-1] if orientation >= 4 else array
    return np.rot90(flipped, orientation % 4, axes=(-2, -1))
