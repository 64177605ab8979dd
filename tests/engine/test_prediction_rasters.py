"""Rasters of predictions are whole, or there are none."""

import os
import resource

import numpy as np
import pytest
import rasterio

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.prediction.prediction_rasters import PredictionRasters, RasterDestinations
from deepseg_qgis.engine.prediction.prediction_tags import PredictionTags
from deepseg_qgis.errors import OutputError

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
SIDE, CORE = 900, 400
CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("a", "#00aa11"), Category("b", "#aabbcc"), Category("c", "#112233")),
    band_names=("1",),
    dtype="uint8",
    resolution_m=None,
    mean=(0.0,),
    std=(1.0,),
    tile_size_px=64,
    thresholds=(0.5, 0.5, 0.5),
)


@pytest.fixture
def predicted():
    """Return probabilities, what is known, and classes."""
    rng = np.random.default_rng(0)
    known = rng.random((SIDE, SIDE)) < 0.9
    every = rng.integers(0, 30, (3, SIDE, SIDE), dtype=np.uint8) * known
    return every, known, (every[0] > 25).astype(np.uint8)


def written(folder, predicted):
    every, known, classes = predicted
    paths = RasterDestinations(str(folder / "c.tif"), str(folder / "p.tif"))
    grid = Grid(SIDE, SIDE, UNREFERENCED, None)
    tags = PredictionTags(CARD, CARD.legend, "r")
    with Outputs(Control()) as outputs, PredictionRasters(paths, outputs, grid, tags) as files:
        for row in range(0, SIDE, CORE):
            for column in range(0, SIDE, CORE):
                core = Window(row, column, CORE, CORE).intersection(grid.window)
                part = core.slices
                inside = every[(slice(None), *part)]
                files.add(PredictedCore(core, classes[part], inside[0], known[part], planes=inside))
        files.finish(None, Control())
    return paths


def assert_whole(paths, predicted):
    every, known, classes = predicted
    with rasterio.open(paths.probabilities) as dataset:
        assert dataset.colorinterp[1].name == "undefined"  # three bands, and yet no colours
        assert np.array_equal(dataset.read(), every)
        assert np.array_equal(dataset.dataset_mask() > 0, known)
    with rasterio.open(paths.classes) as dataset:
        assert np.array_equal(dataset.read(1), np.where(known, classes, 255))


def test_nothing_is_lost_where_a_file_may_not_grow_further(tmp_path, predicted):
    paths = written(tmp_path, predicted)
    assert_whole(paths, predicted)
    size = os.path.getsize(paths.probabilities)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    errors = 0
    for share in (0.01, 0.5, 0.9, 0.93, 0.95, 0.97, 0.99, 1.1):
        for name in os.listdir(tmp_path):
            os.remove(tmp_path / name)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), usual[1]))
        try:
            written(tmp_path, predicted)
        except OutputError:
            errors += 1
            assert not os.listdir(tmp_path)
        else:
            assert_whole(paths, predicted)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert 3 < errors < 8


def test_what_no_core_told_of_is_not_known(tmp_path, predicted):
    every, known, classes = predicted
    known[:, 600:] = False
    paths = written(tmp_path, (every * known, known, classes))
    with rasterio.open(paths.probabilities) as dataset:
        assert not dataset.dataset_mask()[:, 600:].any()
    with rasterio.open(paths.classes) as dataset:
        assert (dataset.read(1)[:, 600:] == 255).all()
