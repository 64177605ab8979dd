"""Vectors as nobody should draw them: the right answer or a clear message, in bounded memory."""

import struct
import time

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.annotation_layer import placed
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.repair import FARTHEST, repair
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.errors import VectorError

pytestmark = [
    pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning"),
]
"""Shapely's, when it makes such shapes."""

NAN, INFINITE = float("nan"), float("inf")
ODD = st.sampled_from([NAN, INFINITE, -INFINITE, 1e308, -1e308, 5e-324, 0.0])
NUMBERS = st.one_of(st.integers(-6, 6).map(float), st.floats(-10, 10), ODD)
FIRST = st.tuples(st.integers(-6, 6).map(float), st.integers(-6, 6).map(float))
"""Shapely makes no ring that begins with NaN: it would not be closed."""
RINGS = st.tuples(FIRST, st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=8)).map(
    lambda both: [both[0], *both[1]]
)


def as_array(shapes):
    result = np.empty(len(shapes), dtype=object)
    result[:] = shapes
    return result


def polygon(rings):
    return shapely.Polygon(rings[0], rings[1:])


POLYGONS = st.lists(RINGS, min_size=1, max_size=3).map(polygon)
SHAPES = st.one_of(
    st.none(),
    st.just(shapely.Polygon()),
    POLYGONS,
    st.lists(POLYGONS, max_size=3).map(shapely.MultiPolygon),
    RINGS.map(shapely.LineString),
    st.tuples(NUMBERS, NUMBERS).map(shapely.Point),
    st.lists(st.one_of(POLYGONS, RINGS.map(shapely.LineString)), max_size=3).map(
        shapely.GeometryCollection
    ),
)


@given(st.lists(SHAPES, max_size=5))
def test_what_is_usable_is_a_valid_polygon(shapes):
    given_shapes = as_array(shapes)
    made, usable, repaired = repair(given_shapes)
    assert 0 <= repaired <= usable.sum()
    for shape, good, before in zip(made, usable, shapes, strict=True):
        if good:
            assert shape.geom_type in ("Polygon", "MultiPolygon")
            assert shape.is_valid
            assert 0 < shape.area < np.inf
            assert np.isfinite(shapely.get_coordinates(shape)).all()
        elif before is not None and before.geom_type == "Polygon" and before.is_valid:
            far = np.abs(shapely.get_coordinates(before)).max(initial=0) > FARTHEST
            assert far or not 0 < before.area < np.inf


@given(RINGS)
def test_a_repaired_outline_keeps_what_it_goes_around(ring):
    whole = shapely.Polygon(ring)
    made, usable, _ = repair(as_array([whole]))
    if usable[0] and np.abs(shapely.get_coordinates(whole)).max() < 100:
        faces = shapely.polygonize([shapely.node(shapely.LineString([*ring, ring[0]]))])
        odd = [face for face in faces.geoms if _turns(ring, face.representative_point()) % 2]
        missing = shapely.union_all(odd).difference(made[0].buffer(1e-6))
        assert missing.area < 1e-6


def _turns(ring, point):
    """Return how often the ring crosses the ray from a point to the right."""
    count = 0
    for (x1, y1), (x2, y2) in zip(ring, ring[1:] + ring[:1], strict=True):
        if (y1 > point.y) != (y2 > point.y):
            count += point.x < x1 + (point.y - y1) / (y2 - y1) * (x2 - x1)
    return count


def test_parts_that_overlap_are_united():
    parts = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)])
    mixed = shapely.GeometryCollection([*parts.geoms, shapely.Point(9, 9)])
    made, usable, _ = repair(as_array([parts, mixed]))
    assert usable.all()
    assert shapely.area(made).tolist() == [7, 7]


def test_a_million_vertices():
    turn = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    circle = np.column_stack([np.cos(turn), np.sin(turn)])
    made, usable, repaired = repair(as_array([shapely.Polygon(circle)]))
    assert (usable.tolist(), repaired) == ([True], 0)
    assert made[0].area == pytest.approx(np.pi)


def test_a_long_outline_with_some_crossings_is_repaired():
    turn = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    circle = np.column_stack([np.cos(turn), np.sin(turn)])
    circle[[100, 101, 5000, 5001]] = circle[[101, 100, 5001, 5000]]
    made, usable, repaired = repair(as_array([shapely.Polygon(circle)]))
    assert (usable.tolist(), repaired) == ([True], 1)
    assert made[0].area == pytest.approx(np.pi, rel=1e-5)


def test_a_tangle_is_left_out_soon():
    rng = np.random.default_rng(0)
    tangle = shapely.Polygon(rng.random((20_000, 2)))
    started = time.monotonic()
    _, usable, repaired = repair(as_array([tangle, shapely.box(0, 0, 1, 1)]))
    assert (usable.tolist(), repaired) == ([False, True], 0)
    assert time.monotonic() - started < 20


def test_what_rounding_breaks_is_repaired_again(monkeypatch):
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    whole = shapely.make_valid
    rounds = []

    def rounded(shape, **how):
        rounds.append(shape)
        return whole(shape, **how) if len(rounds) > 1 else bow_tie

    monkeypatch.setattr(shapely, "make_valid", rounded)
    made, usable, repaired = repair(as_array([bow_tie]))
    assert (usable.tolist(), repaired, made[0].is_valid) == ([True], 1, True)
    monkeypatch.setattr(shapely, "make_valid", lambda shape, **how: bow_tie)
    assert repair(as_array([bow_tie]))[1].tolist() == [False]


def test_a_layer_of_all_sorts_is_counted(make_layer):
    shapes = [
        shapely.box(0, 0, 1, 1),
        shapely.Polygon([(0, 0), (1, 0), (NAN, 1)]),
        shapely.Polygon(),
        None,
        shapely.Point(1, 1),
        shapely.GeometryCollection([shapely.box(5, 5, 6, 6), shapely.Point(0, 0)]),
    ]
    said = []
    source = make_layer(shapes, ["a"] * len(shapes))
    found = annotation_layer.load(source, Control(lambda event: said.append(event.text)))
    assert sorted(shapely.area(found.geometries)) == [1, 1]
    assert "4 features without a usable geometry left out" in said[0]


def test_an_outline_that_begins_with_nan_does_not_hide_the_others(make_layer):
    source = make_layer([shapely.box(0, 0, 1, 1)] * 2, ["a", "b"])
    nothing = struct.pack("<BIII8d", 1, 3, 1, 4, NAN, 0, 1, 0, 1, 1, NAN, 0)
    whole = shapely.to_wkb(shapely.box(0, 0, 1, 1))
    table = pa.table({"category": ["a", "b"], "geometry": pa.array([nothing, whole])})
    pyogrio.write_arrow(
        table,
        source.path,
        layer=source.layer,
        driver="GPKG",
        geometry_name="geometry",
        geometry_type="Polygon",
        crs="EPSG:32633",
    )
    said = []
    found = annotation_layer.load(source, Control(lambda event: said.append(event.text)))
    assert found.names.tolist() == ["b"]
    assert "1 feature without a usable geometry left out" in said[0]


def test_nothing_but_points_is_refused(make_layer, make_raster):
    source = make_layer([shapely.Point(1, 1)], ["a"])
    with pytest.raises(VectorError, match="none of them is a polygon"):
        annotation_layer.load(source, Control())
    with (
        Raster(make_raster(np.ones((1, 5, 5), np.uint8))) as raster,
        pytest.raises(VectorError, match="has no polygon"),
    ):
        annotation_layer.load_area(source, raster, Control())


@given(
    RINGS,
    st.sampled_from([3857, 4326, 2193, 3031]),
)
def test_coordinates_that_a_projection_cannot_take_are_empty(grid_factory, ring, epsg):
    shapes, usable, _ = repair(as_array([shapely.Polygon(ring)]))
    if usable[0]:
        found = placed(shapes, pyproj.CRS.from_epsg(epsg), grid_factory)
        assert shapely.is_valid(found).all()
        assert np.isfinite(shapely.get_coordinates(found)).all()


@pytest.fixture(scope="module")
def grid_factory():
    return Grid(50, 50, Affine(0.5, 0, 5e5, 0, -0.5, 5.5e6), pyproj.CRS.from_epsg(32633))


def test_annotations_are_projected_once_for_each_raster(make_layer, make_raster, monkeypatch):
    ground = shapely.box(500_001, 5_499_990, 500_004, 5_499_995)
    layer = annotation_layer.load(make_layer([ground], ["a"]), Control())
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return placed(*arguments)

    monkeypatch.setattr(annotation_layer, "placed", counted)
    for name in ("a.tif", "b.tif"):
        with Raster(make_raster(np.ones((1, 40, 40 + len(calls)), np.uint8), name=name)) as raster:
            for _ in range(3):
                geometries, names = layer.on(raster)
                assert geometries[0].area == pytest.approx(60)
                assert names.tolist() == ["a"]
    assert len(calls) == 2


UTM60 = shapely.box(827_000, 0, 840_000, 10_000)
"""Around 180°, which is at 833,978 m in UTM zone 60."""
BEYOND = shapely.box(179.95, 0.0, 180.05, 0.09)
SPLIT = shapely.MultiPolygon(
    [shapely.box(179.95, 0.0, 180.0, 0.09), shapely.box(-180.0, 0.0, -179.95, 0.09)]
)
WORLD = shapely.box(-20_037_508, -2e7, 20_037_508, 2e7)


@pytest.mark.parametrize("west", [179.9, -180.1])
@pytest.mark.parametrize(
    ("shape", "epsg", "area"),
    [
        (UTM60, 32660, 1_050_003),
        (BEYOND, 4326, 900_000),
        (SPLIT, 4326, 900_000),
        (WORLD, 3857, 2_000_000),
    ],
)
def test_the_antimeridian_tears_nothing(west, shape, epsg, area):
    grid = Grid(2000, 1000, Affine(1e-4, 0, west, 0, -1e-4, 0.09), pyproj.CRS.from_epsg(4326))
    (found,) = placed(as_array([shape]), pyproj.CRS.from_epsg(epsg), grid)
    on_raster = found.intersection(shapely.box(0, 0, 2000, 1000))
    assert on_raster.area == pytest.approx(area, rel=1e-4)


def test_on_a_raster_of_the_world_both_ends_are_one_place():
    grid = Grid(3600, 1800, Affine(0.1, 0, -180, 0, -0.1, 90), pyproj.CRS.from_epsg(4326))
    for shape, epsg in ((UTM60, 32660), (BEYOND, 4326), (SPLIT, 4326)):
        (found,) = placed(as_array([shape]), pyproj.CRS.from_epsg(epsg), grid)
        on_raster = found.intersection(shapely.box(0, 0, 3600, 1800))
        left, _, right, _ = on_raster.bounds
        assert (left, right) == (0.0, 3600.0)
        assert on_raster.area < 1.1
    (found,) = placed(as_array([WORLD]), pyproj.CRS.from_epsg(3857), grid)
    assert found.bounds[0] == pytest.approx(0, abs=1e-3)
    assert found.bounds[2] == pytest.approx(3600, abs=1e-3)
    assert found.intersection(shapely.box(0, 0, 3600, 1800)).area > 6_000_000


@pytest.mark.parametrize("far", [1e16, 2e306])
def test_what_is_nowhere_is_left_out(far):
    shapes = [shapely.Polygon([(45, 35), (far, -far), (46, 36)]), shapely.box(0, 0, 1e15, 1)]
    assert repair(as_array(shapes))[1].tolist() == [False, True]


@pytest.mark.parametrize("far", [1e6, 1e10, 1e200])
def test_what_reaches_far_out_is_in_the_mask(far):
    shapes = [
        shapely.box(-far, 10, far, 20),
        shapely.Polygon([(30, -far), (50, -far), (50, far), (30, far)]),
    ]
    classes = np.array([1, 2], dtype=np.uint8)
    mask = AnnotatedArea(as_array(shapes), classes).mask(Window(0, 0, 40, 60))
    assert (mask > 0).sum() == 10 * 60 + 20 * 40 - 10 * 20
    assert mask[15, 5] == 1
    assert mask[5, 35] == 2


@pytest.mark.parametrize("epsg", [4326, 2154, 32633])
def test_what_a_projection_takes_to_infinity_is_empty_on_any_raster(epsg):
    crs = pyproj.CRS.from_epsg(epsg)
    grids = [
        Grid(90, 70, Affine(4, 0, -180, 0, -2.5, 90), pyproj.CRS.from_epsg(4326)),
        Grid(90, 70, Affine(0.4, 0.3, 5e5, 0.2, -0.5, 5.5e6), pyproj.CRS.from_epsg(32633)),
        Grid(90, 70, Affine(0.2, 0, 7e5, 0, -0.2, 6.6e6), pyproj.CRS.from_epsg(2154)),
    ]
    rings = [
        [(-1e200, -1e200), (1, 0), (1, 1)],
        [(1e308, -1e308), (1e308, 1e308), (-1e308, 1)],
        [(-180, -90), (180, -90), (180, 80), (-180, 80)],
    ]
    for grid in grids:
        found = placed(as_array([shapely.Polygon(ring) for ring in rings]), crs, grid)
        assert shapely.is_valid(found).all()
        assert np.isfinite(shapely.get_coordinates(found)).all()
