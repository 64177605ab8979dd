"""The sides of a block: which components lie along them, and what goes on across. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import Flags, kernel
from deepseg_qgis.engine.vectorising.blocks import Block
from deepseg_qgis.engine.vectorising.labelling import Runs

Line = NDArray[np.int32]
"""The component of each pixel along a block's side; -1 where there is none."""


@dataclass(frozen=True)
class Sides:
    """The sides of a block: components along each, and which pixels continue those across.

    ``same_above`` and ``same_left`` (bool) are True where the pixel across is of the same class.
    ``lattice_above`` and ``lattice_left`` say that the side lies on the lattice.
    """

    top: Line
    bottom: Line
    left: Line
    right: Line
    same_above: Flags
    same_left: Flags
    lattice_above: bool
    lattice_left: bool


def sides_of(block: Block, runs: Runs, cell_px: int) -> Sides:
    """Return the sides of a block in a lattice of cells of ``cell_px``."""
    window, halo, classes = block.window, block.halo, block.classes
    above, here = classes[halo - 1, halo:-halo], classes[halo, halo:-halo]
    left, first = classes[halo:-halo, halo - 1], classes[halo:-halo, halo]
    top, bottom, first_column, last_column = _lines(runs, window.width)
    return Sides(
        top,
        bottom,
        first_column,
        last_column,
        same_above=(above == here) & (here > 0),
        same_left=(left == first) & (first > 0),
        lattice_above=window.row % cell_px == 0,
        lattice_left=window.column % cell_px == 0,
    )


@kernel
def _lines(runs: Runs, width: int) -> tuple[Line, Line, Line, Line]:
    """Return the components along top, bottom, left and right; -1 where there is none."""
    height = len(runs.rows) - 1
    top = np.full(width, -1, dtype=np.int32)
    bottom = np.full(width, -1, dtype=np.int32)
    left = np.full(height, -1, dtype=np.int32)
    right = np.full(height, -1, dtype=np.int32)
    for k in range(runs.rows[0], runs.rows[1]):
        top[runs.starts[k] : runs.ends[k]] = runs.components[k]
    for k in range(runs.rows[height - 1], runs.rows[height]):
        bottom[runs.starts[k] : runs.ends[k]] = runs.components[k]
    for i in range(height):
        low, high = runs.rows[i], runs.rows[i + 1]
        if low < high:
            if runs.starts[low] == 0:
                left[i] = runs.components[low]
            if runs.ends[high - 1] == width:
                right[i] = runs.components[high - 1]
    return top, bottom, left, right
