"""Mean and standard deviation of known training pixels."""

import numpy as np
import pytest

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box
from deepseg_qgis.engine.learning.normalisation import RunningMoments
from deepseg_qgis.engine.learning.training_dataset import training_dataset
from deepseg_qgis.errors import RasterError


def dataset_without_annotations(raster):
    """Return the training data of a whole raster on which nothing is annotated."""
    none = AnnotatedArea(np.array([], dtype=object), np.array([], dtype=np.uint8))
    whole, nothing = Area(box(raster.grid.window)), Area.of_windows([])
    labelled = LabelledRaster(raster, none, whole, nothing)
    return training_dataset([labelled], [False], 32, 8, seed=0)


def test_the_normalisation_is_summed_up_window_by_window():
    rng = np.random.default_rng(0)
    pieces = [rng.normal(1e4, 3.0, (2, count)) for count in (1, 0, 500, 37)]
    moments = RunningMoments()
    for piece in pieces:
        moments.add(piece)
    every = np.concatenate(pieces, axis=1)
    np.testing.assert_allclose(moments.mean, every.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(moments.std, every.std(axis=1), rtol=1e-12)


def test_normalisation_is_that_of_known_pixels_alone(make_raster):
    image = np.full((1, 64, 64), 1000, dtype=np.uint16)
    image[:, :, 32:] = 0
    with Raster(make_raster(image, nodata=0)) as raster:
        found = dataset_without_annotations(raster).normalisation()
        assert found.mean[0] == pytest.approx(1000)
        assert found.std[0] > 0


def test_an_area_without_data_is_refused(make_raster):
    with Raster(make_raster(np.zeros((1, 64, 64), dtype=np.uint8), nodata=0)) as raster:
        dataset = dataset_without_annotations(raster)
        with pytest.raises(RasterError, match="holds no data"):
            dataset.normalisation()
