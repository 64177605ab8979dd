"""What can be repaired is; the ground of what cannot is neither annotated nor background."""

import math

import numpy as np
import pytest
import shapely
from example_jobs import Watched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster, labelled_area
from deepseg_qgis.engine.annotations.validation_split import split_by_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry import repair as repair_module
from deepseg_qgis.engine.geometry.repair import PLAIN_VERTICES, hulls, repair, united

RNG = np.random.default_rng(0)
PLACES = RNG.permutation(40 * 40)[:1000]
CENTRES = np.column_stack([PLACES % 40, PLACES // 40]) * 10.0
FRAME = shapely.box(-10, -10, 410, 410)


def bow_tie(x, y):
    return shapely.Polygon([(x, y), (x + 2, y + 2), (x + 2, y), (x, y + 2)])


def disc(x, y):
    return shapely.Point(x, y).buffer(3.0)


def as_array(*shapes):
    result = np.empty(len(shapes), dtype=object)
    result[:] = shapes
    return result


TANGLE = shapely.Polygon(RNG.random((2_000, 2)) * 20.0)
BOW_TIES = shapely.MultiPolygon([bow_tie(*centre) for centre in CENTRES])
ONE_BOW_TIE = shapely.MultiPolygon(
    [*(disc(*centre) for centre in CENTRES[1:]), bow_tie(*CENTRES[0])]
)
HOLES = shapely.Polygon(FRAME.exterior, [bow_tie(*centre).exterior for centre in CENTRES])
COPIES = shapely.MultiPolygon([disc(0, 0)] * 1000)
SHIFTED = shapely.MultiPolygon([disc(i / 200, 0) for i in range(200)])


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (BOW_TIES, 1000 * 2.0),
        (ONE_BOW_TIE, 999 * disc(0, 0).area + 2.0),
        (HOLES, FRAME.area - 1000 * 2.0),
        (COPIES, disc(0, 0).area),
        (SHIFTED, shapely.union(disc(0, 0), disc(0.995, 0)).convex_hull.area),
        (shapely.GeometryCollection([COPIES, shapely.Point(9, 9)]), disc(0, 0).area),
    ],
    ids=["bow ties", "one bow tie", "holes", "copies", "shifted", "collection"],
)
def test_many_parts_are_no_tangle(shape, area):
    assert shapely.get_num_coordinates(shape) > PLAIN_VERTICES
    made, usable, _ = repair(as_array(shape))
    assert usable.all()
    assert made[0].is_valid
    assert made[0].area == pytest.approx(area, rel=1e-4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=30))
def test_parts_united_two_by_two_are_the_same_ground(monkeypatch, corners):
    parts = as_array(*(repair(as_array(bow_tie(*corner)))[0][0] for corner in corners))
    whole = united(parts)
    with monkeypatch.context() as patch:
        patch.setattr(repair_module, "_is_tangled", lambda shapes: len(shapes) > 2)
        twos = united(parts)
    assert whole.symmetric_difference(twos).area == pytest.approx(0.0, abs=1e-9)


def test_copies_of_a_part_are_one(monkeypatch):
    monkeypatch.setattr(repair_module, "MOST_CROSSINGS", 1000)
    around = shapely.Point(0, 0).buffer(10, quad_segs=400)
    copies = [around, shapely.reverse(around), around]
    whole, usable, repaired = repair(np.array([shapely.MultiPolygon(copies)], dtype=object))
    assert usable[0]
    assert repaired == 1
    assert whole[0].equals(around)


def test_one_tangled_part_is_not_dropped_in_silence():
    both = shapely.MultiPolygon([TANGLE, disc(100, 100)])
    mixed = shapely.GeometryCollection([TANGLE, disc(100, 100)])
    assert repair(as_array(both, mixed))[1].tolist() == [False, False]


@pytest.fixture
def tangled(make_raster, make_layer):
    """Return (raster, layer): a tangle in the upper left corner of 80 m, and two squares."""
    raster = make_raster(np.ones((1, 160, 160), dtype=np.uint8))
    tangle = shapely.affinity.translate(TANGLE, 500_000, 5_499_980)
    square, other = shapely.box(500_040, 5_499_940, 500_050, 5_499_950), None
    layer = make_layer([tangle, square, other], ["a", "a", "b"], name="drawn")
    return raster, layer


@pytest.mark.parametrize("drawn", [True, False])
def test_the_ground_of_a_tangle_is_unknown(drawn, tangled, make_layer):
    source, layer = tangled
    aoi = make_layer([shapely.box(500_000, 5_499_920, 500_080, 5_500_000)], name="area")
    control = Watched()
    found = annotation_layer.load(layer, control)
    with Raster(source) as raster:
        area = labelled_area(found, aoi if drawn else None, raster, control)
        window = raster.grid.window
        mask = area.mask(window)
        assert not mask[2:38, 2:38].any()
        if drawn:
            assert mask[:, 42:].all()
            assert mask[42:].all()
        else:
            assert mask[100:120, 80:100].all()
    said = " ".join(control.texts)
    assert "2 features without a usable geometry left out" in said
    assert "unknown" in said


def test_the_ground_of_a_tangle_does_not_validate(tangled, make_layer):
    source, layer = tangled
    whole = make_layer([shapely.box(500_000, 5_499_920, 500_080, 5_500_000)], name="area")
    kept = make_layer([shapely.box(500_000, 5_499_920, 500_040, 5_500_000)], name="kept")
    found = annotation_layer.load(layer, Control())
    with Raster(source) as raster:
        area = labelled_area(found, whole, raster, Control())
        annotated = found.over(raster, found.categories)
        labelled = LabelledRaster(
            raster, annotated, area, area.without(area), unknown=found.unknown_on(raster)
        )
        (split,) = split_by_area([labelled], kept, Control())
        assert not split.validation.mask(raster.grid.window)[2:38, 2:38].any()
        assert split.validation.mask(raster.grid.window)[45:, :78].all()


@pytest.mark.parametrize("odd", [math.nan, math.inf, -1e300])
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_a_vertex_that_is_nowhere_leaves_the_others(odd):
    shape = shapely.Polygon([(0, 0), (4, 0), (odd, 2), (4, 4), (0, 4)])
    found = hulls(as_array(shape, None, shapely.Point(1, 1), shapely.Polygon()))
    assert shapely.area(found).tolist() == [16.0]


@pytest.mark.parametrize("kind", [shapely.MultiPolygon, shapely.GeometryCollection])
def test_each_part_lies_in_a_hull_of_its_own(kind):
    whole = kind([TANGLE, disc(100, 100)])
    found = hulls(as_array(whole))
    assert len(found) == 2
    assert shapely.area(found).sum() < 500.0


def test_a_layer_without_faults_leaves_nothing_unknown(make_layer, make_raster):
    found = annotation_layer.load(make_layer([shapely.box(0, 0, 1, 1)], ["a"]), Control())
    with Raster(make_raster(np.ones((1, 9, 9), dtype=np.uint8))) as raster:
        assert found.unknown_on(raster).size_px == 0
