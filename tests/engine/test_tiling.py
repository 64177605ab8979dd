"""Tiles: every pixel is covered, cores partition the region, windows overlap as asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.geometry.tiling import Window, divided, tile_count, tiles
from deepseg_qgis.errors import ParameterError

lengths = st.integers(1, 90)
offsets = st.integers(-20, 20)


@st.composite
def grids(draw):
    region = Window(draw(offsets), draw(offsets), draw(lengths), draw(lengths))
    size = draw(st.integers(1, 40))
    return region, size, draw(st.integers(0, size // 2))


def count_cores(region, found):
    covered = np.zeros((region.height, region.width), dtype=int)
    for tile in found:
        covered[tile.core.within(region)] += 1
    return covered


@given(grids())
def test_cores_partition_the_region(grid):
    region, size, overlap = grid
    found = list(tiles(region, size, overlap))
    assert (count_cores(region, found) == 1).all()
    assert len(found) == tile_count(region, size, overlap)


@given(grids())
def test_windows_hold_their_cores_and_have_one_size(grid):
    region, size, overlap = grid
    for tile in tiles(region, size, overlap):
        assert tile.window.intersection(tile.core) == tile.core
        assert (tile.window.height, tile.window.width) == (size, size)
        assert tile.core.intersection(region) == tile.core


@given(grids())
def test_cores_keep_half_of_the_overlap_away_from_inner_window_borders(grid):
    region, size, overlap = grid
    for tile in tiles(region, size, overlap):
        if tile.core.row > region.row:
            assert tile.core.row - tile.window.row >= overlap // 2
        if tile.core.row_end < region.row_end:
            assert tile.window.row_end - tile.core.row_end >= overlap // 2


@given(grids())
def test_windows_stick_out_only_of_regions_smaller_than_a_tile(grid):
    region, size, overlap = grid
    for tile in tiles(region, size, overlap):
        if region.height >= size:
            assert tile.window.row >= region.row
            assert tile.window.row_end <= region.row_end


@given(lengths, lengths, st.integers(1, 9), st.integers(1, 9), st.integers(0, 8))
def test_rows_and_columns_divide_the_region(height, width, rows, columns, overlap):
    region = Window(3, -2, height, width)
    if rows > height or columns > width:
        with pytest.raises(ParameterError, match="Rows and columns"):
            list(divided(region, rows, columns, overlap))
        return
    found = list(divided(region, rows, columns, overlap))
    assert len(found) == rows * columns
    assert (count_cores(region, found) == 1).all()
    assert all(tile.window.intersection(region) == tile.window for tile in found)


def test_an_overlap_beyond_half_a_tile_is_refused():
    with pytest.raises(ParameterError, match="overlap from 0 to half"):
        list(tiles(Window(0, 0, 100, 100), 32, 17))
