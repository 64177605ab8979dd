"""No raster of whatever type, layout or driver ends in anything but pixels or a sentence."""

import importlib.util
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.label_rasters.codes import count_codes
from deepseg_qgis.engine.files.raster_picture import raster_picture
from deepseg_qgis.engine.files.raster_sets import at_model_resolution
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.errors import DeepSegError, RasterError
from deepseg_qgis.jobs import RasterSource

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "raster_layouts.py"
COMPLEX = ("complex_int16", "complex64", "complex128")
PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 5e5, 0, -10, 5.5e6)}


@pytest.fixture(scope="module")
def layouts():
    spec = importlib.util.spec_from_file_location("raster_layouts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_image(raster):
    raster.read(raster.grid.window)
    raster.thumbnail(raster.grid.window, 20)
    at_model_resolution([raster], 2.0, False, Control())
    raster_picture(raster, raster.grid.window, 1000)


def as_labels(raster):
    count_codes(raster, Control())


@pytest.mark.filterwarnings("ignore")  # of GDAL and numpy, about what the files hold
@pytest.mark.parametrize("seed", range(3))
def test_pixels_or_a_sentence(layouts, tmp_path, seed):
    said, read = [], 0
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = layouts.make(random.Random(f"{seed} {number}"), folder)
        if made is None:
            continue
        what, path = made
        for use in (as_image, as_labels):
            try:
                with Raster(RasterSource(str(path), "", "odd"), stored=use is as_labels) as raster:
                    use(raster)
                read += 1
            except DeepSegError as error:
                said.append(str(error))
            except Exception as error:
                raise AssertionError(what) from error
        shutil.rmtree(folder)
    assert read > 10
    assert len(said) > 5


@pytest.mark.parametrize("kind", COMPLEX)
def test_complex_numbers_are_refused(tmp_path, kind):
    path = tmp_path / "radar.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 6, "count": 2, "dtype": kind}
    with rasterio.open(path, "w", **PLACE, **profile) as dataset:
        dataset.write(np.ones((2, 6, 8), dtype=np.complex64))
    with pytest.raises(RasterError, match=rf"bands of type '{kind}'\. Expected whole or real"):
        Raster(RasterSource(str(path), "", "radar"))


def test_a_file_of_several_rasters_names_them(tmp_path):
    path = tmp_path / "several.tif"
    profile = {"driver": "GTiff", "width": 8, "height": 6, "count": 1, "dtype": "uint8"}
    target = tmp_path / "several.nc"
    with rasterio.open(path, "w", **PLACE, **(profile | {"count": 2})) as dataset:
        dataset.write(np.ones((2, 6, 8), dtype=np.uint8))
    rasterio.shutil.copy(path, target, driver="netCDF")
    with pytest.raises(RasterError, match=r"no bands of its own\. It holds 2 rasters: 'netcdf"):
        Raster(RasterSource(str(target), "", "several"))


def test_an_empty_palette_is_none(tmp_path):
    path = tmp_path / "a.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1">'
        "<ColorInterp>Palette</ColorInterp><ColorTable/></VRTRasterBand></VRTDataset>"
    )
    with Raster(RasterSource(str(path), "", "a.vrt")) as raster:
        assert raster.bands == 1
