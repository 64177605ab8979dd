"""A polygon that reaches around the world still covers a raster that no cylinder maps."""

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from deepseg_qgis.engine.annotations.annotation_layer import placed
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.neighbourhood import near
from deepseg_qgis.engine.verbs import statistics
from deepseg_qgis.jobs import StatisticsJob

DEGREES, MERCATOR, UTM = (pyproj.CRS.from_epsg(code) for code in (4326, 3857, 32633))
WORLD = shapely.box(-180, -90, 180, 90)
GRIDS = {
    "utm": Grid(1000, 1000, Affine(1, 0, 5e5, 0, -1, 5.5e6), UTM),
    "zone 60": Grid(1000, 1000, Affine(1, 0, 7e5, 0, -1, 5.5e6), pyproj.CRS.from_epsg(32660)),
    "alaska": Grid(900, 900, Affine(10, 0, 3e5, 0, -10, 1.2e6), pyproj.CRS.from_epsg(3338)),
    "europe": Grid(100, 100, Affine(9e3, 0, 4e6, 0, -9e3, 3e6), pyproj.CRS.from_epsg(3035)),
    "pole": Grid(100, 100, Affine(9e3, 0, -4.5e5, 0, -9e3, 4.5e5), pyproj.CRS.from_epsg(3413)),
}


def as_array(*shapes):
    result = np.empty(len(shapes), dtype=object)
    result[:] = shapes
    return result


@pytest.mark.parametrize("name", [each for each in GRIDS if each != "pole"])
@pytest.mark.parametrize(
    ("shape", "crs"),
    [
        (WORLD, DEGREES),
        (shapely.box(-180, 0, 180, 85), DEGREES),
        (shapely.box(-20_037_508, -2e7, 20_037_508, 2e7), MERCATOR),
    ],
)
def test_the_world_covers_every_raster(name, shape, crs):
    grid = GRIDS[name]
    (found,) = placed(as_array(shape), crs, grid)
    whole = shapely.box(0, 0, grid.width, grid.height)
    assert found.intersection(whole).area == pytest.approx(whole.area, rel=1e-6)


def test_a_border_through_the_raster_stays_where_it_is():
    grid = GRIDS["utm"]
    small, large = shapely.box(15.0, 40, 20, 60), shapely.box(15.0, -80, 179, 89)
    whole = shapely.box(0, 0, 1000, 1000)
    one, other = placed(as_array(small, large), DEGREES, grid)
    assert one.intersection(whole).symmetric_difference(other.intersection(whole)).area < 1e-3


def test_what_lies_near_is_not_touched():
    shapes = as_array(shapely.box(14, 48, 16, 50), shapely.Point(15, 49).buffer(0.1))
    place = np.array([5e5, 5.4e6, 5.1e5, 5.5e6])
    assert near(shapes, DEGREES, place, UTM) is shapes


def test_statistics_within_the_world(make_layer, tmp_path):
    square = make_layer([shapely.box(500_000, 5_500_000, 500_010, 5_500_010)])
    world = make_layer([WORLD], name="world", crs=DEGREES)
    job = StatisticsJob(square, world, str(tmp_path / "s.csv"), None)
    found = statistics.run(job, Control())
    assert found["count"] == 1
    assert found["area_m2"] == pytest.approx(100, rel=2e-3)
