"""Predicting with what is no network: a threshold of a band, decided by a legend of its own."""

import itertools

import numpy as np
import pytest

from deepseg_qgis.engine.backends.backend import CompilationError, PlaneSource
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.inference.class_maps import class_map
from deepseg_qgis.engine.inference.predicted_cores import predicted_cores
from deepseg_qgis.engine.inference.predictor import Predictor
from deepseg_qgis.engine.legend.legend import Category, Legend
from deepseg_qgis.engine.resuming.journal_folder import JournalFolder
from deepseg_qgis.engine.resuming.resumable import ResumablePrediction

LEGEND = Legend((Category("water", "#0000ff"), Category("shore", "#ffff00")), (0.5, 0.5))


class DarkWater(PlaneSource):
    """Water is dark, its shore less so; source, backend and session in one."""

    fingerprint = "dark water"
    tile_size_px = 64
    description = "thresholds of band 1"
    most_window_px = 256**2
    sees_whole_window = False
    batch_size, in_flight = 2, 1

    def __init__(self):
        self.windows = 0

    def backend(self, _raster, _area):
        return self

    def session(self, _height, _width):
        return self

    def start(self, pixels):
        self.windows += len(pixels)
        values = np.stack([each.values[0] for each in pixels])
        planes = np.stack([values < 100, (values >= 100) & (values < 150)], axis=1)
        return lambda: planes.astype(np.uint8) * 255


@pytest.fixture
def raster(make_raster):
    values = np.random.default_rng(0).integers(1, 255, (1, 192, 256)).astype(np.uint8)
    values[:, 20:40] = 0
    with Raster(make_raster(values, nodata=0)) as raster:
        yield raster


def classes_of(raster):
    values = raster.read(raster.grid.window).values[0]
    return np.where(values == 0, 0, np.where(values < 100, 1, np.where(values < 150, 2, 0)))


def whole(raster):
    return Area(box(raster.grid.window))


def test_a_class_map_needs_no_network(raster):
    found = class_map(Predictor(LEGEND, DarkWater(), Control()), raster, whole(raster), Control())
    assert np.array_equal(found.classes, classes_of(raster))
    assert np.array_equal(found.probabilities, np.where(found.classes > 0, 255, 0))
    assert found.heights is None


def test_its_cores_carry_its_planes(raster):
    predictor = Predictor(LEGEND, DarkWater(), Control(), tile_size_px=64, overlap_px=32)
    cores = predicted_cores(predictor, raster, whole(raster), Control(), with_planes=True)
    for core in cores:
        classes = classes_of(raster)[core.core.within(raster.grid.window)]
        assert np.array_equal(core.classes, classes)
        assert np.array_equal(core.planes, [255 * (classes == 1), 255 * (classes == 2)])


def test_it_continues_where_it_was_interrupted(raster, tmp_path):
    sources = DarkWater(), DarkWater()
    found = []
    for source, most in zip(sources, (5, None), strict=True):
        predictor = Predictor(LEGEND, source, Control(), tile_size_px=64, overlap_px=0)
        with JournalFolder(Control(), str(tmp_path / "journals")) as journals:
            prediction = ResumablePrediction(predictor, [raster], journals, Control())
            cores = prediction.predicted_cores(raster, whole(raster), Control())
            found.append(list(itertools.islice(cores, most)))
            cores.close()
    first, second = found
    assert (len(first), len(second)) == (5, 12)
    assert sources[1].windows == 12 - 5
    for core in second:
        part = core.core.within(raster.grid.window)
        assert np.array_equal(core.classes, classes_of(raster)[part])


def test_it_has_nothing_to_fall_back_on():
    with pytest.raises(CompilationError, match="no memory"):
        DarkWater().fallback(CompilationError("no memory"))
