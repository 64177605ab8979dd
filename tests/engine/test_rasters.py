"""Rasters: what is data and what is not, and a clear word on what cannot be read."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.georeference import UNREFERENCED
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import RasterError
from deepseg_qgis.jobs import RasterSource


def read(source, window=None):
    with Raster(source) as raster:
        return raster.read(window or raster.grid.window)


def test_a_window_that_sticks_out_is_padded_with_no_data(make_raster):
    image = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4)
    pixels = read(make_raster(image), Window(-1, -2, 5, 8))
    assert pixels.valid.sum() == 12
    assert np.array_equal(pixels.values[0, 1:4, 2:6], image[0])
    assert not pixels.valid[0].any()


def test_nodata_nan_and_mask_are_not_data(make_raster):
    image = np.ones((2, 3, 3), dtype=np.float32)
    image[:, 0, 0] = -9999
    image[0, 1, 1] = np.nan
    image[1, 2, 2] = np.inf
    valid = read(make_raster(image, nodata=-9999)).valid
    assert [tuple(place) for place in np.argwhere(~valid)] == [(0, 0), (1, 1), (2, 2)]
    mask = np.array([[255, 0], [0, 255]], dtype=np.uint8)
    masked = make_raster(np.ones((1, 2, 2), dtype=np.uint8), mask=mask, name="masked.tif")
    assert np.array_equal(read(masked).valid, mask > 0)


def test_alpha_is_a_mask_and_not_a_band(make_raster):
    image = np.full((4, 8, 8), 90, dtype=np.uint8)
    image[3] = 255
    image[3, :3] = 0
    source = make_raster(image, photometric="RGB", alpha="YES")
    with Raster(source) as raster:
        assert raster.bands == 3
    assert read(source).valid.sum() == 5 * 8


def test_near_infrared_flagged_as_alpha_is_data(make_raster):
    image = np.random.default_rng(0).integers(0, 255, (4, 64, 64)).astype(np.uint8)
    with Raster(make_raster(image, photometric="RGB", alpha="YES")) as raster:
        assert raster.bands == 4
        assert raster.read(raster.grid.window).valid.all()


def test_without_georeference_y_grows_upwards(make_raster):
    with Raster(make_raster(np.ones((1, 4, 4), dtype=np.uint8), None, None)) as raster:
        assert raster.grid.transform == UNREFERENCED
        assert raster.grid.crs is None


def test_the_crs_of_the_layer_comes_before_that_of_the_file(make_raster):
    import pyproj

    file = make_raster(np.ones((1, 4, 4), dtype=np.uint8))
    assigned = RasterSource(file.path, pyproj.CRS(25833).to_wkt(), file.name)
    with Raster(assigned) as raster:
        assert raster.grid.crs.to_epsg() == 25833


@pytest.mark.parametrize("content", [b"", b"no raster", b"II*\x00\x08\x00\x00\x00"])
def test_what_is_no_raster_gets_one_sentence(tmp_path, content):
    path = tmp_path / "broken.tif"
    path.write_bytes(content)
    with pytest.raises(RasterError, match=r"could not be read as a raster") as error:
        Raster(RasterSource(str(path), "", "broken.tif"))
    assert "Traceback" not in str(error.value)


UNLIKE_GDAL = {
    "corrupt.tif": "GDAL gives up at a broken block",
    "naip_nir_flagged_alpha_nonsquare_px.tif": "GDAL takes the last band for alpha",
}
SAID = {
    "truncated.jp2": "could not be read as a raster",
    "corrupt.tif": "rows 512 to 1023, columns 512 to 1023",
    "cog_gcps.tif": "210 ground control points",
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_odd_rasters_are_read_as_gdal_reads_them(shared_data, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    odd_rasters = importlib.import_module("odd_rasters")
    found = {row.name: row for row in odd_rasters.rows(shared_data / "odd_rasters")}
    assert len(found) >= 19
    for name, row in found.items():
        differs, said = " ".join(row.differs), " ".join(row.said)
        assert differs.startswith(UNLIKE_GDAL.get(name, "")), name
        assert bool(differs) == (name in UNLIKE_GDAL), (name, differs)
        assert SAID.get(name, "") in said, name
        assert bool(said) == (name in SAID), (name, said)


def test_a_format_that_only_qgis_knows_is_told(tmp_path):
    path = tmp_path / "photo.ecw"
    path.write_bytes(b"a format that needs a driver")
    with pytest.raises(RasterError, match=r"does not know its format.*QGIS has a driver.*GeoTIFF"):
        Raster(RasterSource(str(path), "", "photo.ecw"))
