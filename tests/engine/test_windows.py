"""Windows: cores partition the area, everything on one lattice, and little is run in vain."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.tiling import LATTICE_PX, Window
from deepseg_qgis.engine.inference import windows
from deepseg_qgis.engine.inference.windows import OVERLAP_PX, fitted, square
from deepseg_qgis.errors import ParameterError

SIDES = st.integers(1, 3000)


def check(layout, raster, region, halo):
    seen = np.zeros((region.height, region.width), dtype=np.uint8)
    for tile in layout.tiles:
        seen[tile.core.within(region)] += 1
        window = tile.window
        assert (window.height, window.width) == (layout.height, layout.width)
        assert window.row % LATTICE_PX == window.column % LATTICE_PX == 0
        if tile.core.height and tile.core.width:
            needed = tile.core.grown(halo).intersection(raster)
            assert needed.intersection(window) == needed  # context on every side where raster is
    assert (seen == 1).all()
    order = [(tile.row, tile.column) for tile in layout.tiles]
    assert order == sorted(order)


@settings(max_examples=60)
@given(SIDES, SIDES, st.data())
def test_cores_partition_the_area_with_context_around_them(height, width, data):
    raster = Window(0, 0, height, width)
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    region = Window(
        row,
        column,
        data.draw(st.integers(1, height - row)),
        data.draw(st.integers(1, width - column)),
    )
    area = Area(box(region))
    check(fitted(raster, area, 1024**2), raster, region, OVERLAP_PX // 2)
    tile = data.draw(st.sampled_from([256, 512]))
    check(square(raster, area, tile, 64), raster, region, 32)


def test_a_large_raster_is_run_with_little_overlap():
    raster = Window(0, 0, 8704, 11264)
    layout = fitted(raster, Area(box(raster)), 2048**2)
    assert raster.height * raster.width / layout.pixels > 0.87
    assert layout.height * layout.width <= 2048**2
    assert layout.wanted.all()


def test_the_cost_follows_the_area():
    raster = Window(0, 0, 8704, 11264)
    small = fitted(raster, Area(shapely.box(5000, 5000, 5200, 5100)), 2048**2)
    assert len(small.tiles) == 1
    assert small.pixels <= 352 * 256
    corners = [shapely.box(0, 0, 300, 300), shapely.box(10_000, 8000, 10_300, 8300)]
    scattered = Area.of(np.array(corners))
    layout = fitted(raster, scattered, 2048**2)
    assert layout.pixels < 1.5e6  # of 88 Mpx in the bounding box
    check(layout, raster, scattered.window(raster), 64)


def test_an_area_beside_the_raster_gives_no_windows():
    raster, beside = Window(0, 0, 100, 100), Area(shapely.box(500, 500, 600, 600))
    assert fitted(raster, beside, 1024**2).tiles == ()
    assert square(raster, beside, 256).tiles == ()


def test_sizes_that_do_not_work_are_told():
    with pytest.raises(ParameterError, match="Use 96 px"):
        windows.check_tile_size(100)
    with pytest.raises(ParameterError, match="overlap of 300 px"):
        windows.check_overlap(512, 300)
