"""How the network looks at a square of ground: from any side, nearer or farther, in other light.

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

TURNS = 8
MOST_ANGLE = math.pi / 4.0
"""On top of quarter turns, so that every angle is as likely."""
MOST_ZOOM = 1.2
GAIN, HAZE, SLOPE = 0.2, 0.2, 0.3
"""How much the light changes: standard deviations, of `Light`'s parts."""

Element = TypeVar("Element", bound=np.generic)


@dataclass(frozen=True)
class View:
    """One way to look at a square: ``turn`` (see `turned`), then ``angle`` and ``zoom``.

    ``angle`` is in radians; a pixel of the view is ``zoom`` pixels of the ground wide.
    """

    turn: int = 0
    angle: float = 0.0
    zoom: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> View:
        """Return any view, from `MOST_ZOOM` nearer to as much farther."""
        most = math.log(MOST_ZOOM)
        return cls(
            int(rng.integers(TURNS)),
            float(rng.uniform(-MOST_ANGLE, MOST_ANGLE)),
            math.exp(rng.uniform(-most, most)),
        )

    def margin_px(self, size_px: int) -> int:
        """Return how far ground for a view of ``size_px`` reaches beyond a square of that size.

        On each side; negative where less is enough.
        """
        if self._is_plain:
            return 0
        across = abs(math.cos(self.angle)) + abs(math.sin(self.angle))
        return math.ceil((size_px * self.zoom * across - size_px) / 2.0) + 1  # to blend with

    def sight(self, side_px: int, size_px: int) -> Sight:
        """Return how squares of ground of ``side_px`` are seen: as squares of ``size_px``.

        ``side_px`` has the margin that `margin_px` says.
        """
        if self._is_plain:
            return Sight(self.turn, None)
        scale = self.zoom * size_px / side_px
        along, across = scale * math.cos(self.angle), scale * math.sin(self.angle)
        matrix = torch.tensor([[[along, -across, 0.0], [across, along, 0.0]]])
        places = functional.affine_grid(matrix, [1, 1, size_px, size_px], align_corners=False)
        return Sight(self.turn, places)

    @property
    def _is_plain(self) -> bool:
        return self.angle == 0.0 and self.zoom == 1.0


@dataclass(frozen=True)
class Sight:
    """A view of squares of one size, whatever they show: image, masks and heights alike.

    ``places`` (1, size, size, 2) are where the pixels of what is seen lie on the turned ground, as
    torch's grid_sample takes them; None for a view that is just turned.
    """

    turn: int
    places: torch.Tensor | None

    def of(self, ground: NDArray[Any]) -> NDArray[Any]:
        """Return (..., size, size) of ground (..., side, side) that blends, bilinear, in float32.

        But a view that is just turned has the ground's own numbers.
        """
        return self._seen(ground, "bilinear")

    def of_kinds(self, ground: NDArray[Element]) -> NDArray[Element]:
        """Return the same of what does not blend, from the nearest pixel, in the type it has."""
        return self._seen(ground, "nearest").astype(ground.dtype)

    def of_whole(self, ground: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where all that `of` blends is True."""
        return self._seen(ground, "bilinear") > 0.999

    def _seen(self, ground: NDArray[Any], mode: str) -> NDArray[Any]:
        plain = turned(ground, self.turn)
        if self.places is None:
            return plain
        flat = np.ascontiguousarray(plain, dtype=np.float32).reshape(1, -1, *plain.shape[-2:])
        seen = functional.grid_sample(
            torch.from_numpy(flat), self.places, mode=mode, align_corners=False
        )
        result: NDArray[np.float32] = seen.numpy().reshape(*plain.shape[:-2], *seen.shape[-2:])
        return result


@dataclass(frozen=True)
class Light:
    """Light that changes all bands alike, so that colours keep their meaning.

    Normalised values are multiplied by ``gain`` and raised by ``haze``, and by ``down`` and
    ``right`` more at the lower and right edge than in the middle, where that is 0.
    """

    gain: float = 1.0
    haze: float = 0.0
    down: float = 0.0
    right: float = 0.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> Light:
        """Return any light; mostly such that one would hardly notice."""
        gain, haze, down, right = rng.normal(0.0, (GAIN, HAZE, SLOPE, SLOPE)).tolist()
        return cls(math.exp(gain), haze, down, right)

    def on(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalised values (bands, rows, columns) in this light."""
        rows, columns = (np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in values.shape[1:])
        added = np.float32(self.haze) + self.down * rows[:, None] + self.right * columns
        result: NDArray[np.float32] = values * np.float32(self.gain) + added.astype(np.float32)
        return result


PLAIN_VIEW, PLAIN_LIGHT = View(), Light()
"""The ground as it lies, in the light that it was taken in."""


def turned(array: NDArray[Element], turn: int) -> NDArray[Element]:
    """Return the last two axes (rows, columns; a square) flipped and turned in way 0 to 7.

    Ways 0 to 3 are quarter turns; 4 to 7 the same after a left-right flip. Image and mask that
    are given the same ``turn`` stay over each other.
    """
    flipped = array[..., ::-1] if turn >= 4 else array
    return np.rot90(flipped, turn % 4, axes=(-2, -1))
