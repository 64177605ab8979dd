"""Ground kept for validation: nowhere learned from, in no picture of it."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.annotations.validation_split import (
    Cell,
    choose_cells,
    split_by_area,
    split_by_cells,
    withhold_overlaps,
)
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import training_sample
from deepseg_qgis.engine.learning.training_window import TrainingWindow
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.errors import VectorError
from tests.engine.conftest import NORTH_UP

DISCS = (Category("disc", "#ff0000"),)
NOTHING = Area.of_windows([])


def test_ground_kept_for_validation_in_one_picture_is_not_learned_from_another(
    make_raster, make_layer
):
    """Two pictures of one place, the second one shifted and with other pixels."""
    image = np.full((1, 160, 160), 99, dtype=np.uint8)
    later = NORTH_UP @ Affine.translation(40, 0) @ Affine.scale(1.25)
    sources = make_raster(image, name="may.tif"), make_raster(image, later, name="june.tif")
    layer = make_layer([shapely.box(500_005, 5_499_925, 500_100, 5_499_995)], ["field"])
    with Raster(sources[0]) as may, Raster(sources[1]) as june:
        loaded = annotation_layer.load(layer, Control())
        whole = [
            LabelledRaster(
                raster,
                loaded.over(raster, loaded.categories),
                Area(box(raster.grid.window)),
                NOTHING,
            )
            for raster in (may, june)
        ]
        kept = Area.of_windows([Window(40, 40, 60, 60)])
        first = replace(whole[0], training=whole[0].training.without(kept), validation=kept)
        one, other = withhold_overlaps([first, whole[1]])
        assert one.training.size_px == first.training.size_px
        there = Window(32, 0, 48, 48)  # (40 - 40) / 1.25 and 40 / 1.25
        assert other.withheld.mask(there).all()
        assert other.withheld.size_px == pytest.approx(48 * 48)
        assert other.training.size_px == pytest.approx(160 * 160 - 48 * 48)
        assert not training_sample.read(TrainingWindow(other, there)).pixels.valid.any()


@pytest.mark.parametrize("side", [40, 90])
def test_a_few_polygons_within_one_tile_are_divided_too(labelled_discs, side):
    whole = replace(labelled_discs[0], training=Area(box(Window(8, 8, side, side))))
    split = split_by_cells([whole], 0.2, 256, DISCS, np.random.default_rng(1))[0]
    assert split.validation.size_px + split.training.size_px == side * side
    assert 0.05 < split.validation.size_px / side**2 < 0.6


def test_a_validation_area_that_leaves_nothing_is_refused(labelled_discs, make_layer):
    ground, _ = labelled_discs
    everything = make_layer([shapely.box(499_000, 5_499_000, 501_000, 5_501_000)], name="all")
    with pytest.raises(VectorError, match="leaves nothing to train on"):
        split_by_area([ground], everything, Control())
    elsewhere = make_layer([shapely.box(0, 0, 1, 1)], name="elsewhere")
    with pytest.raises(VectorError, match="does not touch any raster"):
        split_by_area([ground], elsewhere, Control())


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_category_is_on_both_sides_and_one_in_a_single_place_is_learned(seed):
    """Of 24 cells two hold the second category, a thousandth of the ground, and one the third."""
    cells = [Cell(0, Window(0, 64 * i, 64, 64), np.array([3000, 1096, 0, 0])) for i in range(24)]
    for place, counts in ((3, [3000, 1046, 50, 0]), (17, [3000, 1044, 52, 0])):
        cells[place] = replace(cells[place], counts=np.array(counts))
    cells[9] = replace(cells[9], counts=np.array([2000, 1096, 0, 1000]))
    kept = choose_cells(cells, 0.2, np.random.default_rng(seed))
    validation = np.sum([each.counts for each in kept], axis=0)
    assert validation[2] in (50, 52)
    assert validation[3] == 0
    assert validation[:2].sum() == pytest.approx(0.2 * 24 * 64**2, rel=0.3)
