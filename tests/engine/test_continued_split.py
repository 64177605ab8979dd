"""A model that goes on learning is never tested on what it has seen, nor shown its test."""

from functools import partial

import numpy as np
import pytest
import shapely
from example_jobs import Watched

from deepseg_qgis.engine.annotations.continued_split import (
    EarlierGround,
    keep_validated,
    split_beside,
)
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.annotations.validation_split import split_by_cells, withhold_overlaps
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.earlier_training import EarlierTraining
from deepseg_qgis.engine.learning.footprint import footprint, validation_footprint
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.errors import VectorError

TILE, SIDE = 16, 160


def strip(first, last):
    """Return columns of the raster as an area."""
    return Area.of_windows([Window(0, first, SIDE, last - first)])


NOTHING = strip(0, 0)


@pytest.fixture
def labelled(make_raster):
    """Return a function: area → the raster with objects all over it, annotated in the area."""
    columns, rows = (each.ravel() for each in np.meshgrid(np.arange(4, SIDE, 16), [40, 90, 140]))
    squares = shapely.box(columns, rows, columns + 8, rows + 8)
    annotated = AnnotatedArea(squares, np.ones(len(squares), dtype=np.uint8))
    with Raster(make_raster(np.ones((1, SIDE, SIDE), dtype=np.uint8))) as raster:
        yield lambda area: LabelledRaster(raster, annotated, area, NOTHING)


def by_cells(given):
    return split_by_cells(given, 0.25, TILE, (Category("a", "#111111"),), np.random.default_rng(1))


def again(labelled, trained, validated, control=None):
    """Return the raster split in a second round."""
    ground = [EarlierGround(trained, validated)]
    split = partial(split_beside, split=by_cells, least_px=2 * TILE**2)
    (found,) = withhold_overlaps(split([labelled], ground, control=control or Control()))
    return found


def share(area, other):
    """Return which share of an area lies in another."""
    return area.within(other).size_px / area.size_px


def test_what_was_validated_stays_and_a_part_of_the_new_ground_comes_in(labelled):
    trained, validated = strip(0, 60), strip(60, 80)
    found = again(labelled(strip(0, 160)), trained, validated)
    assert share(validated, found.validation) == pytest.approx(1.0)
    assert share(found.validation, trained) == 0.0
    new = found.validation.within(strip(80, 160)).size_px
    assert new == pytest.approx(0.25 * 80 * SIDE, rel=0.3)
    assert found.training.size_px + found.validation.size_px == pytest.approx(SIDE**2)
    assert share(trained, found.training) == pytest.approx(1.0)


def test_the_same_ground_is_split_as_before(labelled):
    found = again(labelled(strip(0, 80)), strip(0, 60), strip(60, 80))
    assert found.validation.size_px == pytest.approx(20 * SIDE)
    assert found.training.size_px == pytest.approx(60 * SIDE)


def test_new_ground_alone_is_divided_and_the_old_stays_withheld(labelled):
    found = again(labelled(strip(80, 160)), strip(0, 60), strip(60, 80))
    assert found.validation.within(strip(60, 80)).size_px == 0.0
    assert found.validation.size_px > 0.0
    assert share(strip(60, 80), found.withheld) == pytest.approx(1.0)


def test_ground_that_was_all_trained_on_is_warned_of(labelled):
    control = Watched()
    found = again(labelled(strip(0, 60)), strip(0, 60), strip(120, 160), control)
    assert any("flatters" in text for text in control.texts)
    assert found.validation.size_px > 0.0


def test_ground_that_was_all_validated_on_is_refused(labelled):
    with pytest.raises(VectorError, match="keeps all of the annotated ground"):
        again(labelled(strip(60, 80)), strip(0, 60), strip(60, 80))
    with pytest.raises(VectorError, match="keeps all of the annotated ground"):
        keep_validated([labelled(strip(60, 80))], [EarlierGround(NOTHING, strip(60, 80))], list)


def test_three_rounds_never_train_on_what_was_validated(labelled):
    earlier, validated = EarlierTraining(), NOTHING
    for last in (60, 110, 160):
        one = labelled(strip(last - 60, last))
        ground = earlier.ground(one.raster)
        (found,) = by_cells([one]) if last == 60 else [again(one, ground.trained, ground.validated)]
        assert found.training.within(validated).size_px < 1e-6
        earlier = EarlierTraining(
            trained=footprint([found], earlier.trained),
            validated=validation_footprint([found], earlier.validated),
        )
        both = shapely.union(validated.geometry, found.validation.geometry)
        validated = Area(both)
        kept = earlier.ground(found.raster)
        assert share(validated, kept.validated) == pytest.approx(1.0)
        assert share(found.training, kept.trained) == pytest.approx(1.0)
    assert len(earlier.trained) == len(earlier.validated) == 1
