"""Roads and rivers: winding lines, and the blocks between them. No I/O.

Vertical lines (all of them roads) have an x for every y, horizontal ones a y for every x. Line
number i lies about 512 px after line i - 1; block (column k, row l) lies right of vertical line k
and below horizontal line l. A line depends on the seed and its number alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.demo_scene.colours import ASPHALT, GRAVEL, WATERS, Colour, pick

PITCH_PX = 512
FIRST_VERTICAL_PX = 50
FIRST_HORIZONTAL_PX = 190
"""Where the first lines lie: even a scene of 256 px shows a road and a river."""

SWERVE_PX, FIRST_SWERVE_PX = 45, 28
"""No line leaves its middle by more, the first lines by less; nor do middles leave their regular
places by more."""
RIVER_EVERY = 4
"""Of so many horizontal lines the first is a river."""
STEP_PX = 16
"""Distance of the vertices along a line."""

OFFSET = 2**31
"""Seeds must not be negative, but numbers of lines and blocks are."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A winding line: its place across, for each place along it (px).

    ``waves`` has shape (3, waves): amplitude and wavelength (px) and phase. ``key`` tells it from
    all other lines.
    """

    key: int
    middle: float
    half_width: float
    waves: Numbers
    vertical: bool
    river: bool
    paved: bool
    colour: Colour

    def at(self, along: Numbers | float) -> Numbers:
        """Return the place across for places along; same shape."""
        amplitude, wavelength, phase = self.waves
        angle = np.multiply.outer(along, 2.0 * np.pi / wavelength) + phase
        return np.asarray(self.middle + (np.sin(angle) * amplitude).sum(axis=-1))

    def slope(self, along: Numbers | float) -> Numbers:
        """Return by how much the line moves across for each step along; same shape."""
        amplitude, wavelength, phase = self.waves
        frequency = 2.0 * np.pi / wavelength
        angle = np.multiply.outer(along, frequency) + phase
        return np.asarray((np.cos(angle) * amplitude * frequency).sum(axis=-1))

    def reach(self, along: Numbers, margin: float) -> Numbers:
        """Return how far across the line's edge, and a margin beyond it, is from its middle."""
        return np.asarray((self.half_width + margin) * np.hypot(1.0, self.slope(along)))

    def strip(self, start: float, end: float, margin: float = 0.0) -> shapely.Polygon:
        """Return the polygon that the line covers from ``start`` to ``end`` along it."""
        along = np.linspace(start, end, int(np.ceil((end - start) / STEP_PX)) + 1)
        across, slope = self.at(along), self.slope(along)
        reach = (self.half_width + margin) / np.hypot(1.0, slope)
        one = np.column_stack([along + slope * reach, across - reach])
        other = np.column_stack([along - slope * reach, across + reach])
        ring = np.concatenate([one, other[::-1]])
        return shapely.polygons(ring[:, ::-1] if self.vertical else ring)


class Lattice:
    """All lines of a seed. Memory: the lines and crossings that were asked for."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lines: dict[tuple[bool, int], Line] = {}
        self._crossings: dict[tuple[int, int], tuple[float, float]] = {}

    def vertical(self, column: int) -> Line:
        """Return the road left of a column of blocks."""
        return self._line(True, column)

    def horizontal(self, row: int) -> Line:
        """Return the road or river above a row of blocks."""
        return self._line(False, row)

    def line(self, key: int) -> Line:
        """Return the line with a key."""
        return self._line(bool(key % 2), key // 2)

    def crossing(self, column: int, row: int) -> tuple[float, float]:
        """Return where two lines cross (x, y)."""
        place = (column, row)
        if place not in self._crossings:
            self._crossings[place] = _crossing(self.vertical(column), self.horizontal(row))
        return self._crossings[place]

    def vertical_stretch(self, column: int, row: int) -> shapely.Polygon:
        """Return the road left of a block, from crossing to crossing."""
        top, bottom = self.crossing(column, row)[1], self.crossing(column, row + 1)[1]
        return self.vertical(column).strip(top, bottom)

    def horizontal_stretch(self, column: int, row: int, margin: float = 0.0) -> shapely.Polygon:
        """Return the road or river above a block, between the vertical roads (which go on top)."""
        left, right = self.crossing(column, row)[0], self.crossing(column + 1, row)[0]
        roads = [self.vertical_stretch(i, j) for i in (column, column + 1) for j in (row - 1, row)]
        whole = self.horizontal(row).strip(left, right, margin)
        return shapely.difference(whole, shapely.union_all(roads))

    def _line(self, vertical: bool, number: int) -> Line:
        key = (vertical, number)
        if key not in self._lines:
            self._lines[key] = _line(self._seed, vertical, number)
        return self._lines[key]


def _crossing(vertical: Line, horizontal: Line) -> tuple[float, float]:
    """Return x and y, by repetition, to far less than a pixel: slopes are well below 1."""
    x = vertical.middle
    for _ in range(8):
        y = float(horizontal.at(x))
        x = float(vertical.at(y))
    return x, y


def _line(seed: int, vertical: bool, number: int) -> Line:
    rng = np.random.default_rng([seed, int(vertical), number + OFFSET])
    river = not vertical and number % RIVER_EVERY == 0
    paved = bool(rng.random() < 0.75) or number == 0
    first = FIRST_VERTICAL_PX if vertical else FIRST_HORIZONTAL_PX
    jitter = rng.uniform(-SWERVE_PX, SWERVE_PX) if number else 0.0
    return Line(
        key=2 * number + int(vertical),
        middle=first + PITCH_PX * number + jitter,
        half_width=rng.uniform(26.0, 32.0) if river else rng.choice([12.5, 13.5, 15.0]),
        waves=_waves(rng, SWERVE_PX if number else FIRST_SWERVE_PX, winding=river),
        vertical=vertical,
        river=river,
        paved=paved,
        colour=pick(rng, WATERS if river else ASPHALT if paved else GRAVEL),
    )


def _waves(rng: np.random.Generator, swerve: float, winding: bool) -> Numbers:
    """Return a long, a middle and, for a river, a short wave; together at most ``swerve``."""
    amplitudes = np.array([0.62, 0.26, 0.12] if winding else [0.75, 0.2, 0.05]) * swerve
    wavelengths = np.array([1100.0, 560.0, 290.0]) * rng.uniform(0.85, 1.25, 3)
    return np.stack([amplitudes * rng.uniform(0.6, 1.0), wavelengths, rng.uniform(0, 2 * np.pi, 3)])
