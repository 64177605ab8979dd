"""Rasters that are written window by window."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine

from deepseg_qgis.engine.files.raster_output import TILE_PX, RasterOutput
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import OutputError

GRID = Grid(1300, 700, Affine(0.5, 0.1, 4e5, 0.1, -0.5, 5e6), pyproj.CRS.from_epsg(32633))


@pytest.mark.parametrize(
    ("dtype", "bands", "nodata"), [("uint8", 3, None), ("int16", 1, -1), ("float32", 2, None)]
)
def test_what_is_written_is_read(tmp_path, dtype, bands, nodata):
    path = str(tmp_path / "out.tif")
    values = np.random.default_rng(0).normal(60, 20, (bands, 700, 1300)).astype(dtype)
    with RasterOutput(path, GRID, bands, dtype, nodata) as raster:
        for row in range(0, 700, TILE_PX):
            for column in range(0, 1300, TILE_PX):
                window = Window(row, column, TILE_PX, TILE_PX).intersection(GRID.window)
                raster.write(window, values[(slice(None), *window.slices)])
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.transform.almost_equals(GRID.transform)
        assert dataset.crs.to_epsg() == 32633
        assert dataset.nodata == nodata
        assert dataset.block_shapes == [(TILE_PX, TILE_PX)] * bands


def test_unwritable_place(tmp_path):
    with pytest.raises(OutputError, match="choose another place"):
        RasterOutput(str(tmp_path / "missing" / "out.tif"), GRID, 1, "uint8")


def test_what_went_wrong_first_is_told(tmp_path):
    def fail() -> None:
        with RasterOutput(str(tmp_path / "out.tif"), GRID, 1, "uint8") as raster:
            raster.write(Window(0, 0, 5, 5), np.zeros((1, 5, 5), np.uint8))
            raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        fail()
