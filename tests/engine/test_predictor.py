"""Predicting areas of rasters: in order, alike whatever area and batch, and without torch."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import shapely
from random_model import holed_image, image, whole, write_model

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.inference.class_maps import class_map
from deepseg_qgis.engine.inference.model_predictor import PredictionSettings, model_predictor
from deepseg_qgis.engine.inference.predicted_cores import predicted_cores
from deepseg_qgis.errors import RasterError, Stopped


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def raster(make_raster):
    with Raster(make_raster(holed_image(), nodata=0)) as raster:
        yield raster


def test_the_second_time_needs_no_torch(model, make_raster):
    path = make_raster(image(100, 100), name="second.tif").path
    code = (
        "import sys\n"
        "from deepseg_qgis.engine.models import model_file\n"
        "from deepseg_qgis.engine.geometry.areas import Area, box\n"
        "from deepseg_qgis.engine.control import Control\n"
        "from deepseg_qgis.engine.inference.class_maps import class_map\n"
        "from deepseg_qgis.engine.inference import model_predictor as ready\n"
        "from deepseg_qgis.engine.files.rasters import Raster\n"
        "from deepseg_qgis.jobs import RasterSource\n"
        "raster = Raster(RasterSource(sys.argv[2], '', 'r'))\n"
        "model = model_file.read(sys.argv[1])\n"
        "predictor = ready.model_predictor(model, ready.PredictionSettings(), Control())\n"
        "found = class_map(predictor, raster, Area(box(raster.grid.window)), Control())\n"
        "assert found.known.all()\n"
        "slow = {'torch', 'segmentation_models_pytorch', 'nncf', 'lightning_fabric', 'skimage'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    model_predictor(model, PredictionSettings("cpu", "float32"), Control())
    again = subprocess.run(
        [sys.executable, "-c", code, model.path, path], capture_output=True, text=True, check=False
    )
    assert again.stdout.strip() == "[]", again.stderr


def test_classes_do_not_depend_on_what_area_was_asked_for(model, raster):
    predictor = model_predictor(model, PredictionSettings("cpu", "float32"), Control())
    everything = class_map(predictor, raster, whole(raster), Control())
    assert np.array_equal(everything.known, raster.read(raster.grid.window).valid)
    assert set(np.unique(everything.classes[~everything.known])) == {0}
    assert len(np.unique(everything.classes)) == 3
    triangle = Area(shapely.Polygon([(70, 60), (200, 60), (70, 160)]))
    part = class_map(predictor, raster, triangle, Control())
    at = part.region.within(raster.grid.window)
    assert np.array_equal(part.known, triangle.mask(part.region) & everything.known[at])
    same = part.classes == everything.classes[at]
    assert same[part.known].mean() > 0.995
    assert not part.classes[~part.known].any()


def test_cores_come_in_order_and_unwanted_ones_are_not_read(model, raster, monkeypatch):
    reads = []
    read = Raster.read
    monkeypatch.setattr(Raster, "read", lambda s, w: reads.append(w) or read(s, w))
    corners = Area.of(np.array([shapely.box(0, 0, 20, 20), shapely.box(390, 270, 410, 290)]))
    settings = PredictionSettings("cpu", "float32", tile_size_px=64, overlap_px=32, batch_size=3)
    predictor = model_predictor(model, settings, Control())
    found = list(predicted_cores(predictor, raster, corners, Control()))
    region = corners.window(raster.grid.window)
    seen = np.zeros((region.height, region.width), dtype=int)
    for each in found:
        seen[each.core.within(region)] += 1
        assert (each.classes is None) == (each.known is None) == (each.probabilities is None)
        if each.classes is None:
            assert not corners.touches(each.core)
    assert (seen == 1).all()
    places = [(each.core.row, each.core.column) for each in found]
    assert places == sorted(places)
    assert len(reads) == sum(each.classes is not None for each in found) < len(found) / 4


def test_batches_do_not_change_what_is_said(model, raster):
    maps = []
    for batch_size in (1, 4):
        settings = PredictionSettings("cpu", "float32", tile_size_px=128, batch_size=batch_size)
        predictor = model_predictor(model, settings, Control())
        maps.append(class_map(predictor, raster, whole(raster), Control()))
    assert np.mean(maps[0].classes != maps[1].classes) < 1e-4


def test_closing_early_or_failing_leaves_no_thread(model, raster, monkeypatch):
    settings = PredictionSettings("cpu", "float32", tile_size_px=64)
    predictor = model_predictor(model, settings, Control())
    cores = predicted_cores(predictor, raster, whole(raster), Control())
    next(cores)
    assert any(thread.name.startswith("reader") for thread in threading.enumerate())
    cores.close()
    control = Control()
    control.stop()
    with pytest.raises(Stopped):
        list(predicted_cores(predictor, raster, whole(raster), control))

    def broken(*_):
        raise RasterError("a block is broken")

    monkeypatch.setattr(Raster, "read", broken)
    with pytest.raises(RasterError, match="a block is broken"):
        list(predicted_cores(predictor, raster, whole(raster), Control()))
    assert not any(thread.name.startswith("reader") for thread in threading.enumerate())
