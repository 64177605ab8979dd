"""What a network is to learn: which categories, which of them are counted, and what is said."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from example_jobs import Watched, train_job

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_sets import open_rasters
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.training_dataset import training_dataset
from deepseg_qgis.engine.learning.training_set import TrainingSet, load_training_set
from deepseg_qgis.errors import ParameterError
from tests.engine.conftest import NORTH_UP


def ground(left, top, right, bottom):
    """Return a box in pixels, on the ground."""
    (west, north), (east, south) = NORTH_UP @ (left, top), NORTH_UP @ (right, bottom)
    return shapely.box(west, south, east, north)


ROW = [ground(10 * k, 10, 10 * k + 10, 20) for k in range(1, 8)]
"""Seven houses, wall to wall."""
LOWER_ROW = [ground(10 * k, 30, 10 * k + 10, 40) for k in range(1, 8)]
WELL = ground(70, 70, 74, 74)
FIELD = ground(10, 60, 60, 120)
POND = ground(100, 100, 120, 120)
WEST = ground(0, 0, 96, 128)


@pytest.fixture
def taught(make_raster, make_layer, tmp_path):
    """Return a function: polygons, categories, AOI, changes of the job → (training_set, texts)."""
    source = make_raster(np.full((1, 128, 128), 7, dtype=np.uint8))

    def teach(polygons, categories, area=WEST, validation=None, **changes):
        layer = make_layer(polygons, categories)
        aoi = make_layer([area], name="aoi")
        kept = make_layer([validation], name="kept") if validation else None
        job = train_job(source, layer, tmp_path, aoi=aoi, validation_aoi=kept, **changes)
        control = Watched()
        with open_rasters((source,), Control()) as rasters:
            found = load_training_set(job, rasters, control, np.random.default_rng(1))
        return found, control.texts

    return teach


def test_what_lies_outside_of_the_area_may_be_named_all_the_same(taught):
    found, _ = taught([*ROW, POND], ["house"] * 7 + ["pond"], stuff_categories=("Pond",))
    assert [each.name for each in found.categories] == ["house"]
    assert found.countable == (True,)
    with pytest.raises(ParameterError, match=r"there is no 'lake'.*'house', 'pond'"):
        taught([*ROW, POND], ["house"] * 7 + ["pond"], stuff_categories=("lake",))


def test_features_in_several_parts_are_warned_of(taught):
    two = shapely.MultiPolygon([ground(10, 40, 20, 50), ground(40, 40, 50, 50)])
    _, texts = taught([*ROW, two], ["house"] * 8)
    (warning,) = [text for text in texts if "several parts" in text]
    assert warning.startswith("Polygons of 'house' in several parts: 1. Each")
    assert "Multipart to singleparts" in warning


def test_polygons_smaller_than_a_pixel_are_warned_of(taught):
    _, texts = taught([*ROW, ground(10, 40, 10.4, 40.9)], ["house"] * 8)
    (warning,) = [text for text in texts if "smaller than a pixel" in text]
    assert warning.startswith("Polygons of 'house' smaller than a pixel: 1 of 8.")
    _, texts = taught(ROW, ["house"] * 7)
    assert not any("smaller than a pixel" in text for text in texts)


def test_what_lies_in_the_validation_area_alone_is_named(taught):
    corner = ground(60, 60, 96, 128)
    _, texts = taught([*ROW, WELL], ["house"] * 7 + ["well"], validation=corner)
    (warning,) = [text for text in texts if "cannot be learned" in text]
    assert warning.startswith("All ground of 'well' lies in the validation area")


@pytest.mark.parametrize(
    ("polygons", "categories", "few"),
    [
        ([*ROW[:2]], ["house"] * 2, "2 of 'house'"),
        ([ROW[0], POND], ["house", "pond"], "1 of 'house', 1 of 'pond'"),
        ([*ROW, *LOWER_ROW, WELL], ["house"] * 14 + ["well"], "1 of 'well'"),
        ([*ROW, *LOWER_ROW], ["house"] * 14, ""),
        ([*ROW, *LOWER_ROW, FIELD], ["house"] * 14 + ["field"], ""),
    ],
    ids=["two polygons", "one each", "a rare category", "enough", "one large field"],
)
def test_training_on_few_polygons_is_warned_of(taught, polygons, categories, few):
    _, texts = taught(polygons, categories, area=ground(0, 0, 128, 128), tile_size_px=32)
    warnings = [text for text in texts if "few polygons" in text]
    assert len(warnings) == bool(few)
    assert few in "".join(warnings)


def test_a_raster_without_any_polygon_is_background_inside_the_area_and_else_nothing(
    make_raster, make_layer, tmp_path
):
    """Two rasters side by side, polygons on the western one alone."""
    pixels = np.full((1, 128, 128), 7, dtype=np.uint8)
    east = NORTH_UP @ Affine.translation(128, 0)
    sources = make_raster(pixels, name="west.tif"), make_raster(pixels, east, name="east.tif")
    layer = make_layer(ROW, ["house"] * len(ROW))
    both = make_layer([ground(0, 0, 256, 128)], name="aoi")
    control, rng = Watched(), np.random.default_rng(1)
    with open_rasters(sources, Control()) as rasters:
        for aoi in (both, None):
            job = train_job(sources[0], layer, tmp_path, aoi=aoi, tile_size_px=32)
            found = load_training_set(job, rasters, control, rng)
            dataset = training_dataset(found.labelled_rasters, found.countable, 32, 8, seed=0)
            drawn = Counter(
                dataset.window(number).labelled.raster.name for number in range(len(dataset))
            )
            samples = [dataset[number] for number in range(16)]
            assert any(each.classes.any() for each in samples)
            if aoi is None:
                assert drawn["east.tif"] == 0
                (text,) = [each for each in control.texts if "Nothing is learned from" in each]
                assert "'east.tif'" in text
            else:
                assert 0.1 < drawn["east.tif"] / len(dataset) < 0.4
                assert not any("Nothing is learned from" in each for each in control.texts)


def test_the_amount_counts_what_lies_in_the_training_areas(labelled_discs):
    labelled, categories = labelled_discs
    left = Area.of_windows([Window(0, 0, 160, 84)])
    half = replace(labelled, training=left)
    assert TrainingSet(categories, (False,), (labelled,)).amount == {
        "training_polygons": 16,
        "training_px": 160 * 160,
    }
    assert TrainingSet(categories, (False,), (half, labelled)).amount == {
        "training_polygons": 8 + 16,
        "training_px": 160 * 84 + 160 * 160,
    }
