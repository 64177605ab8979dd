"""Random pixels of objects: of rare categories often enough, inside the polygon and the area."""

from collections import Counter

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.object_sampler import TEMPER, ObjectSampler
from deepseg_qgis.engine.learning.training_window import WindowSampler

SIDE_PX = 400
WHOLE = Window(0, 0, SIDE_PX, SIDE_PX)


@pytest.fixture
def labelled(make_raster):
    """Return a factory: polygons and their classes → a labelled raster, its west for training."""
    source = make_raster(np.zeros((1, SIDE_PX, SIDE_PX), np.uint8))
    with Raster(source) as raster:

        def make(polygons, classes):
            annotated = AnnotatedArea(
                np.array(polygons, dtype=object), np.array(classes, dtype=np.uint8)
            )
            area = Area.of_windows([Window(0, 0, SIDE_PX, 300)])
            return LabelledRaster(raster, annotated, area, Area(box(WHOLE)).without(area))

        yield make


def pixels_of(sampler, count, seed=0):
    rng = np.random.default_rng(seed)
    return [sampler.draw(rng) for _ in range(count)]


def test_a_rare_category_is_drawn_by_its_tempered_share_and_each_object_as_often(labelled):
    """1:100 of ground in objects of two sizes; what lies outside the training area is not drawn."""
    common, rare = shapely.box(0, 0, 200, 200), shapely.box(250, 0, 260, 19)
    tiny, outside = shapely.box(250, 100, 260, 121), shapely.box(310, 0, 400, 400)
    ground = labelled([common, rare, tiny, outside], [1, 2, 2, 2])
    drawn = pixels_of(ObjectSampler([ground]), 3000)
    found = Counter(int(ground.annotated.mask(Window(r, c, 1, 1))[0, 0]) for _, r, c in drawn)
    expected = np.array([200.0**2, 400.0]) ** TEMPER
    assert found[1] + found[2] == 3000
    assert found[2] / 3000 == pytest.approx(expected[1] / expected.sum(), rel=0.2)
    rows = [row for _, row, column in drawn if column >= 250]
    assert np.mean(np.array(rows) >= 100) == pytest.approx(0.5, abs=0.1)
    assert max(column for _, _, column in drawn) < 300


def test_pixels_of_a_crossing_or_thin_polygon_lie_on_training_ground(labelled):
    crossing = shapely.box(290, 0, 390, 50)
    thin = shapely.LineString([(5, 100), (280, 395)]).buffer(0.02)
    empty = labelled([shapely.box(310, 0, 320, 9)], [1])
    drawn = pixels_of(ObjectSampler([empty, labelled([crossing, thin], [1, 1])]), 400)
    assert {raster for raster, _, _ in drawn} == {1}
    crossed = [(row, column) for _, row, column in drawn if row < 50]
    assert 100 < len(crossed) < 300
    assert {290} <= {column for _, column in crossed} <= set(range(290, 301))
    others = [abs((row - 100) - (column - 5) * 295 / 275) for _, row, column in drawn if row >= 50]
    assert max(others) < 3.0


def test_half_of_the_windows_lie_around_objects_and_the_others_everywhere(labelled):
    """One object of 1:3000 of the ground."""
    ground = labelled([shapely.box(20, 20, 27, 26)], [1])
    rng = np.random.default_rng(0)
    sampler = WindowSampler([ground], 32)
    seen = [ground.annotated.mask(sampler.draw(rng).window).any() for _ in range(400)]
    assert np.mean(seen) == pytest.approx(0.5, abs=0.1)


def test_ground_without_any_object_is_learned_from(labelled):
    """A raster on which nothing was drawn, beside one with objects, and both with none at all."""
    empty = labelled([], [])
    full = labelled([shapely.box(20, 20, 60, 60)], [1])
    rng = np.random.default_rng(0)
    sampler = WindowSampler([empty, full], 32)
    assert ObjectSampler([empty]).count == 0
    shares = Counter(sampler.draw(rng).labelled is empty for _ in range(400))
    assert shares[True] == pytest.approx(100, abs=40)
    assert WindowSampler([empty], 32).draw(rng).labelled is empty
