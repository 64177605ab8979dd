"""Colours of the ground from above, as red, green and blue from 0 to 255.

They overlap between categories on purpose (grey roofs and asphalt, brown roofs and ploughed soil,
gardens and crops): a model has to look at shape and texture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float64]
"""An array of shape (3,)."""

Palette = Sequence[tuple[int, int, int]]

GRASS: Palette = ((112, 126, 82), (146, 140, 98), (94, 114, 68))
"""The grass between all things, its dry tone and its lush tone."""

ROOFS: Palette = (
    (158, 102, 84),
    (170, 124, 104),
    (146, 88, 74),
    (122, 96, 82),
    (92, 93, 98),
    (134, 131, 127),
    (168, 148, 120),
    (186, 180, 170),
)
BARN_ROOFS: Palette = ((142, 138, 134), (150, 112, 92), (118, 122, 122), (176, 172, 164))
ASPHALT: Palette = ((118, 118, 121), (132, 131, 131), (146, 143, 138))
GRAVEL: Palette = ((168, 154, 132), (156, 144, 126))
SOILS: Palette = ((146, 118, 92), (164, 138, 108), (128, 104, 82))
CROPS: Palette = ((106, 124, 70), (84, 112, 58), (122, 132, 78), (98, 118, 62), (172, 156, 106))
LAWNS: Palette = ((96, 118, 66), (112, 124, 74), (84, 110, 60), (124, 126, 82))
YARDS: Palette = ((156, 148, 134), (148, 144, 140), (168, 152, 128))
CROWNS: Palette = ((68, 90, 50), (58, 80, 46), (80, 96, 52), (94, 98, 56), (52, 72, 46))
WATERS: Palette = ((66, 84, 84), (58, 74, 70), (80, 92, 70), (92, 92, 72))
BANKS: Palette = ((92, 102, 60), (128, 120, 88))
FOREST_FLOOR: Palette = ((112, 104, 74), (104, 108, 72))
CARS: Palette = (
    (216, 216, 214),
    (60, 62, 66),
    (140, 144, 150),
    (150, 52, 46),
    (58, 80, 122),
    (232, 232, 228),
)


def pick(rng: np.random.Generator, palette: Palette, spread: float = 6.0) -> Colour:
    """Return a colour of the palette, made a little brighter or darker and a little off in hue."""
    chosen = np.array(palette[int(rng.integers(len(palette)))], dtype=np.float64)
    varied: Colour = chosen + rng.normal(0.0, spread) + rng.normal(0.0, spread / 3.0, 3)
    return varied
