"""Scores on the validation areas, with a backend that says what it is told to."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.instance_rule_search import ScoredInstanceRule
from deepseg_qgis.engine.learning.validation import Validation, _collectors, validate
from deepseg_qgis.engine.legend.legend import OBJECT_PLANES

ALL, NONE = np.array([True]), np.array([False])
NOTHING = Area.of_windows([])
SIDE, HOUSE = 96, 12
PLANES = 1 + len(OBJECT_PLANES)
EVERYWHERE = np.ones((SIDE, SIDE), dtype=bool)
FIRST_ALONE = (np.arange(PLANES) == 0).astype(np.uint8)[:, None, None]


class Echo:
    """A backend and session: a raster's bands are what the network says."""

    description, most_window_px, sees_whole_window = "echo", 10**6, False
    batch_size, in_flight = 1, 1

    def session(self, _height, _width):
        return self

    def start(self, pixels):
        return lambda: np.stack([each.values for each in pixels])


@pytest.fixture
def labelled(make_raster, make_layer):
    """Return a factory: validation area → ground truth of houses wall to wall, well told."""
    stack = contextlib.ExitStack()

    def make(validation, first=(0, 0), name="town"):
        image = np.full((PLANES, SIDE, SIDE), 10, dtype=np.uint8)
        polygons = []
        for row in range(first[0], 60, 3 * HOUSE):
            for column in range(first[1], 60, HOUSE):
                inside = np.s_[row : row + HOUSE, column : column + HOUSE]
                image[0][inside] = 220
                away = np.abs(np.arange(HOUSE) - (HOUSE - 1) / 2)
                image[1][inside] = 250 - 20 * (away[:, None] + away)
                polygons.append(shapely.box(column, row, column + HOUSE, row + HOUSE))
        layer = make_layer(
            [shapely.affinity.scale(each, 1, -1, origin=(0, 0)) for each in polygons],
            ["house"] * len(polygons),
            crs=None,
            name=name,
        )
        source = make_raster(image, transform=None, crs=None, name=f"{name}.tif")
        loaded = annotation_layer.load(layer, Control())
        raster = stack.enter_context(Raster(source))
        training = Area(box(raster.grid.window)).without(validation)
        return LabelledRaster(raster, loaded.over(raster, loaded.categories), training, validation)

    with stack:
        yield make


def area(row, column, height, width):
    return Area(box(Window(row, column, height, width)))


def test_well_told_objects_have_the_full_score(labelled):
    found = validate(Echo(), ALL, [labelled(area(0, 0, SIDE, SIDE))], 64)
    assert found.category_iou == (1.0,)
    assert found.instance_rule.qualities == (1.0,)
    assert found.score == 1.0


def test_without_heights_houses_in_a_row_are_one(labelled):
    ground = labelled(area(0, 0, SIDE, SIDE))
    flat = Echo()
    flat.start = lambda pixels: lambda: np.stack([each.values * FIRST_ALONE for each in pixels])
    found = validate(flat, ALL, [ground], 64)
    assert found.category_iou == (1.0,)
    assert found.instance_rule.qualities == (0.0,)
    assert found.score == 0.0


def test_where_nothing_is_counted_the_score_is_the_iou(labelled):
    found = validate(Echo(), NONE, [labelled(area(0, 0, SIDE, SIDE))], 64)
    assert found.instance_rule is None
    assert found.score == 1.0


def test_objects_outside_of_the_validation_area_do_not_count(labelled):
    ground = labelled(area(0, 0, HOUSE, 3 * HOUSE))
    found = validate(Echo(), ALL, [ground], 64)
    assert found.instance_rule.qualities == (1.0,)
    assert found.loss == pytest.approx(-np.log(220 / 255), rel=1e-3)


def test_an_object_at_the_areas_edge_counts_with_half_of_it_inside(labelled):
    """As in `evaluate`; the rest of a cut one is no object, and what was found there neither."""
    for width, columns in ((2.6, 3), (2.4, 2)):
        ground = labelled(area(0, 0, HOUSE, round(width * HOUSE)))
        (collector,) = _collectors(ground, ALL)
        collector.add(
            Window(0, 0, SIDE, SIDE), np.zeros((PLANES, SIDE, SIDE), np.uint8), EVERYWHERE
        )
        there = collector.region.objects[collector.region.known]
        assert len(np.unique(there[there > 0])) == columns
        (stuff,) = _collectors(ground, NONE)
        stuff.add(Window(0, 0, SIDE, SIDE), np.zeros((PLANES, SIDE, SIDE), np.uint8), EVERYWHERE)
        assert stuff.region.known.all()
        assert validate(Echo(), ALL, [ground], 64).instance_rule.qualities == (1.0,)


def test_areas_that_lie_apart_take_no_room_between_them(labelled):
    corners = Area.of_windows([Window(0, 0, HOUSE, HOUSE), Window(72, 48, HOUSE, HOUSE)])
    collectors = _collectors(labelled(corners), ALL)
    assert [collector.region.known.size for collector in collectors] == [HOUSE**2] * 2
    assert validate(Echo(), ALL, [labelled(corners)], 64).instance_rule.qualities == (1.0,)


def test_objects_over_the_border_of_tiles_are_whole(labelled, monkeypatch):
    ground = labelled(area(0, 0, SIDE, SIDE), first=(4, 4))
    monkeypatch.setattr(
        "deepseg_qgis.engine.learning.validation.windows.default_tile_size", lambda _: 32
    )
    found = validate(Echo(), ALL, [ground], 32)
    assert found.instance_rule.qualities == (1.0,)


@pytest.mark.parametrize("first", [(0, 0), (5, 5)])
def test_a_raster_without_validation_area_is_passed_over(labelled, first):
    kept = labelled(area(0, 0, SIDE, SIDE), name="kept")
    other = labelled(NOTHING, first, name="other")
    alone = validate(Echo(), ALL, [kept], 64)
    assert validate(Echo(), ALL, [other, kept], 64) == alone
    assert validate(Echo(), ALL, [kept, other], 64) == alone


def test_the_score_is_of_quality_where_objects_are_told_apart_else_of_iou():
    halves = (0.5,) * 3
    rule = ScoredInstanceRule((3, 0, 0), (0, 0, 0), (0.5, None, None))
    assert Validation(1.0, halves, (0.9, 0.7, None), rule).score == pytest.approx(0.6)
    assert Validation(1.0, halves, (0.9, 0.7, None)).score == pytest.approx(0.8)
    nothing = replace(rule, qualities=(None,))
    assert Validation(1.0, (0.5,), (None,), nothing).score is None
