"""Which part of an area was predicted before the user pressed Stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Tile, Window
from deepseg_qgis.errors import counted


@dataclass
class Coverage:
    """How far the prediction of an area of a raster came: the first ``done`` of its ``tiles``.

    These are the complete grid over the area's bounding box, row by row.
    """

    name: str
    grid: Grid
    area: Area
    tiles: tuple[Tile, ...] = ()
    done: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.done == len(self.tiles)

    @property
    def windows(self) -> list[Window]:
        """What is covered, in pixels: rows of the grid as one window, part of a row as another."""
        columns = sum(tile.row == 0 for tile in self.tiles)
        whole = self.done // columns * columns if columns else 0
        parts = self.tiles[:whole], self.tiles[whole : self.done]
        return [_around(part) for part in parts if part]

    @property
    def covered(self) -> Area:
        """The part of the area that is covered."""
        return self.area if self.complete else self.area.within(Area.of_windows(self.windows))

    @property
    def text(self) -> str:
        """What is covered, in words, with extents as QGIS writes them."""
        if self.complete:
            return f"{self.name}: all of it"
        if not self.done:
            return f"{self.name}: nothing"
        share = self.covered.size_px / max(self.area.size_px, 1.0)
        extents = " and ".join(_extent(window, self.grid) for window in self.windows)
        return (
            f"{self.name}: {share:.0%} ({self.done:,} of {counted(len(self.tiles), 'tile')}), "
            f"which is what lies in {extents}"
        )


def _around(tiles: tuple[Tile, ...]) -> Window:
    first, last = tiles[0].core, tiles[-1].core
    return Window(first.row, first.column, last.row_end - first.row, last.column_end - first.column)


def _extent(window: Window, grid: Grid) -> str:
    """Return the bounds of a window in map units: west, east, south, north."""
    rows = window.row, window.row_end
    columns = window.column, window.column_end
    corners = np.array([grid.transform @ (x, y) for x in columns for y in rows])
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    name = ""
    if grid.crs is not None:
        authority = grid.crs.to_authority()
        name = f" [{':'.join(authority) if authority else grid.crs.name}]"
    return ",".join(f"{each:.10g}" for each in (west, east, south, north)) + name
