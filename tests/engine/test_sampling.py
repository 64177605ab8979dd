"""What the network learns from: image and mask together, and nothing of the validation areas."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.annotations import annotation_layer
from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.annotations.validation_split import (
    split_by_area,
    split_by_cells,
    withhold_overlaps,
)
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import Area, box
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import sampling
from deepseg_qgis.engine.learning.augmentation import TURNS, Light, View, turned
from deepseg_qgis.engine.learning.losses import segmentation_loss
from deepseg_qgis.engine.learning.sampling import FEWEST_WINDOWS, Sampler
from deepseg_qgis.errors import RasterError, VectorError
from tests.engine.conftest import NORTH_UP

NOTHING = Area.of_windows([])


@pytest.fixture
def labelled(discs):
    raster_source, layer = discs
    loaded = annotation_layer.load(layer, Control())
    with Raster(raster_source) as raster:
        over = loaded.over(raster, loaded.categories)
        yield (
            LabelledRaster(raster, over, Area(box(raster.grid.window)), NOTHING),
            loaded.categories,
        )


@given(st.integers(0, TURNS - 1), st.integers(1, 6))
def test_image_and_mask_move_together(turn, size):
    mask = np.random.default_rng(size).integers(0, 9, (size, size))
    image = np.stack([mask * 10, mask * 100])
    assert np.array_equal(turned(image, turn)[0], turned(mask, turn) * 10)
    assert np.array_equal(turned(image, turn)[1], turned(mask, turn) * 100)


def test_the_eight_ways_differ():
    square = np.arange(9).reshape(3, 3)
    assert len({turned(square, turn).tobytes() for turn in range(TURNS)}) == 8


@given(st.integers(0, TURNS - 1), st.floats(-np.pi, np.pi), st.floats(0.5, 2.0))
def test_a_view_is_the_ground_turned_and_enlarged(turn, angle, zoom):
    """A plane of brightness stays one: as steep as the zoom says, and in the same direction."""
    view, size = View(turn, angle, zoom), 32
    side = size + 2 * view.margin_px(size)
    rows, columns = np.indices((side, side)) - (side - 1) / 2.0
    sight = view.sight(side, size)
    seen = sight.of(np.stack([rows, columns]))
    down, right = (np.diff(seen, axis=1)[:, :, :-1], np.diff(seen, axis=2)[:, :-1])
    lengths = np.hypot(*down), np.hypot(*right)
    np.testing.assert_allclose(lengths, zoom, rtol=2e-3)
    np.testing.assert_allclose((down * right).sum(axis=0), 0.0, atol=5e-3)
    assert sight.of_whole(np.ones((side, side), dtype=bool)).all()
    middle = seen[:, size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1]
    np.testing.assert_allclose(middle.mean(axis=(1, 2)), 0.0, atol=1e-3)


def test_views_that_do_not_blend_keep_kinds_and_types():
    rng = np.random.default_rng(0)
    for dtype in (bool, np.uint8, np.int32):
        ground = rng.integers(0, 2, (60, 60)).astype(dtype) * dtype(7)
        view = View.random(rng)
        side = 30 + 2 * view.margin_px(30)
        seen = view.sight(side, 30).of_kinds(ground[:side, :side])
        assert seen.dtype == dtype
        assert seen.shape == (30, 30)
        assert set(np.unique(seen)) <= set(np.unique(ground))


@given(st.integers(0, 9999))
def test_light_keeps_colours_and_lies_evenly(seed):
    light = Light.random(np.random.default_rng(seed))
    colours = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    seen = light.on(np.broadcast_to(colours[:, None, None], (3, 17, 33)))
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[:, 8, 16], colours * light.gain + light.haze, atol=1e-5)
    np.testing.assert_allclose(seen[0] - seen[1], 1.5 * light.gain, atol=1e-5)
    np.testing.assert_allclose(seen[:, -1] - seen[:, 0], 2 * light.down, atol=1e-5)
    np.testing.assert_allclose(seen[:, :, -1] - seen[:, :, 0], 2 * light.right, atol=1e-5)


def test_plain_light_changes_nothing():
    values = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    assert np.array_equal(Light().on(values), values)


def test_no_data_is_dark_in_any_light(labelled):
    ground, _ = labelled
    rng = np.random.default_rng(2)
    normal = sampling.Normalisation(np.full(3, 90, np.float32), np.full(3, 30, np.float32))
    outside = Window(-40, -40, 64, 64)
    samples = [
        sampling.read(sampling.Draw(ground, outside, View.random(rng), Light.random(rng)))
        for _ in range(8)
    ]
    batch = sampling.batch(samples, normal)
    valid = np.stack([each.pixels.valid for each in samples])
    assert (~valid).any()
    assert (batch.values[:, 0][~valid] == 0).all()
    assert (batch.values[:, 0][valid] != 0).any()


def test_what_blends_with_the_unknown_is_unknown(labelled):
    """No data is far from any value: not a trace of it may be seen."""
    ground, _ = labelled
    rng = np.random.default_rng(1)
    for _ in range(20):
        sample = sampling.read(sampling.Draw(ground, Window(-20, -20, 64, 64), View.random(rng)))
        assert not sample.known.all()
        assert (
            sample.pixels.values[:, sample.pixels.valid].min()
            >= ground.raster.read(ground.raster.grid.window).values.min() - 1e-3
        )


def test_turned_samples_still_fit_their_masks(labelled):
    ground, _ = labelled
    seen = set()
    sampler = Sampler([ground], 64, np.random.default_rng(0))
    for _ in range(60):
        draw = sampler.draw()
        sample = sampling.read(draw)
        seen.add(draw.view.turn)
        bright = sample.pixels.values[0].astype(float) > 110
        inside = sample.known
        agreement = (bright == (sample.classes == 1))[inside].mean()
        assert agreement > 0.97
    assert seen == set(range(TURNS))


def test_chosen_validation_is_apart_balanced_and_never_sampled(labelled):
    ground, categories = labelled
    rng = np.random.default_rng(3)
    (split,) = split_by_cells([ground], 0.25, 32, categories, rng)
    assert split.training.within(split.validation).size_px == 0
    assert split.training.size_px + split.validation.size_px == pytest.approx(160 * 160)
    assert split.validation.size_px == pytest.approx(0.25 * 160 * 160, rel=0.35)
    kept = split.validation.mask(Window(0, 0, 160, 160))
    sampler = Sampler([split], 32, rng)
    for _ in range(200):
        draw = sampler.draw()
        sample = sampling.read(sampling.Draw(draw.labelled, draw.window))
        inside = draw.window.intersection(Window(0, 0, 160, 160))
        overlap = kept[inside.slices] & sample.pixels.valid[inside.within(draw.window)]
        assert not overlap.any()
        assert not (kept[inside.slices] & sample.known[inside.within(draw.window)]).any()


def test_nothing_of_validation_is_seen_from_any_angle(labelled):
    """What lies in the validation areas is painted white here, and no sample shows any of it."""
    ground, categories = labelled
    rng = np.random.default_rng(3)
    (split,) = split_by_cells([ground], 0.25, 32, categories, rng)
    sampler = Sampler([split], 32, rng)
    whole, read = ground.raster.grid.window, ground.raster.read
    kept = split.validation.mask(whole)

    def painted(window):
        pixels = read(window)
        inside = window.intersection(whole)
        here = (slice(None), *inside.within(window))
        pixels.values[here][:, kept[inside.slices]] = 255
        return pixels

    brightest = int(read(whole).values.max())
    assert brightest < 250
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ground.raster, "read", painted)
        for _ in range(200):
            values = sampling.read(sampler.draw()).pixels.values
            assert values.max(initial=0) <= brightest


def test_most_windows_keep_clear_of_validation(labelled):
    ground, categories = labelled
    rng = np.random.default_rng(5)
    (split,) = split_by_cells([ground], 0.2, 32, categories, rng)
    sampler = Sampler([split], 32, rng)
    shared = [split.validation.shared_px(sampler.draw().window) for _ in range(200)]
    assert np.mean(np.array(shared) == 0.0) > 0.8
    assert np.mean(shared) < 0.05 * 32**2


def test_ground_between_validation_areas_is_seen_as_often_as_other_ground(labelled):
    """A gap as wide as a window has no room for one that is clear, but for a single place."""
    ground, _ = labelled
    kept = Area.of_windows([Window(0, 64, 160, 16), Window(0, 112, 160, 16)])
    split = replace(ground, training=ground.training.without(kept), validation=kept)
    sampler = Sampler([split], 32, np.random.default_rng(0))
    seen = np.zeros((160, 160))
    for _ in range(3000):
        window = sampler.draw().window
        seen[window.slices] += 1
    inside = slice(32, 128)  # a raster's margins are seen less: fewer windows reach them
    gap, open_ground = seen[inside, 80:112].mean(), seen[inside, 16:48].mean()
    assert 0.6 < gap / open_ground < 1.7
    assert seen[split.training.mask(Window(0, 0, 160, 160))].min() > 0


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
        assert not sampling.read(sampling.Draw(other, there)).pixels.valid.any()


@pytest.mark.parametrize("shape", ["square", "diagonal", "scattered"])
def test_pixels_are_drawn_evenly_from_areas_of_any_shape(shape):
    """Scattered squares lie on 200,000² px, where a guess would hit one once in 10⁶ times."""
    far = 200_000 - 12
    area = {
        "square": Area.of_windows([Window(3, 4, 12, 12)]),
        "diagonal": Area(shapely.LineString([(0, 0), (60, 60)]).buffer(2.0)),
        "scattered": Area.of_windows([Window(r, c, 12, 6) for r in (0, far) for c in (9, far)]),
    }[shape]
    source = sampling._PointSource(area)
    rng = np.random.default_rng(0)
    drawn = Counter(source.pixel(rng) for _ in range(6000))
    window = area.window(Window(0, 0, 2**31, 2**31))
    inside = int(area.row_counts(window).sum())
    hit = [area.mask(Window(row, column, 1, 1)).any() for row, column in drawn]
    if shape != "square":  # by rejection pixels count that touch the edge
        assert all(hit)
        assert len(drawn) == inside
        times = np.array(list(drawn.values()))
        expected = 6000 / inside
        assert ((times - expected) ** 2 / expected).sum() < inside + 5 * np.sqrt(2 * inside)
    else:
        assert sum(hit) == inside


def test_an_area_between_the_centres_of_pixels_is_drawn_from_all_the_same(make_raster):
    area = Area(
        shapely.union_all([shapely.box(2.6, 2.6, 2.9, 2.9), shapely.box(40, 40, 40.1, 40.1)])
    )
    row, column = sampling._PointSource(area).pixel(np.random.default_rng(0))
    assert 2 <= row <= 40
    assert 2 <= column <= 40


def test_the_normalisation_is_summed_up_window_by_window():
    rng = np.random.default_rng(0)
    pieces = [rng.normal(1e4, 3.0, (2, count)) for count in (1, 0, 500, 37)]
    moments = sampling._Moments()
    for piece in pieces:
        moments.add(piece)
    every = np.concatenate(pieces, axis=1)
    np.testing.assert_allclose(moments.mean, every.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(moments.std, every.std(axis=1), rtol=1e-12)


def test_an_epoch_has_full_batches_and_enough_windows(labelled):
    ground, _ = labelled
    batches = list(Sampler([ground], 64, np.random.default_rng(0)).epoch(10))
    assert {len(batch) for batch in batches} == {10}
    assert sum(len(batch) for batch in batches) >= FEWEST_WINDOWS


def test_a_validation_area_that_leaves_nothing_is_refused(labelled, make_layer):
    ground, _ = labelled
    everything = make_layer([shapely.box(499_000, 5_499_000, 501_000, 5_501_000)], name="all")
    with pytest.raises(VectorError, match="leaves nothing to train on"):
        split_by_area([ground], everything, Control())
    elsewhere = make_layer([shapely.box(0, 0, 1, 1)], name="elsewhere")
    with pytest.raises(VectorError, match="does not touch any raster"):
        split_by_area([ground], elsewhere, Control())


def test_normalisation_is_that_of_known_pixels_alone(make_raster):
    image = np.full((1, 64, 64), 1000, dtype=np.uint16)
    image[:, :, 32:] = 0
    source = make_raster(image, nodata=0)
    with Raster(source) as raster:
        area = Area(box(raster.grid.window))
        none = annotation_layer.AnnotatedArea(
            np.array([], dtype=object), np.array([], dtype=np.uint8)
        )
        sampler = Sampler(
            [LabelledRaster(raster, none, area, NOTHING)], 32, np.random.default_rng(0)
        )
        found = sampling.measure(sampler)
        assert found.mean[0] == pytest.approx(1000)
        assert found.std[0] > 0


def test_an_area_without_data_is_refused(make_raster):
    source = make_raster(np.zeros((1, 64, 64), dtype=np.uint8), nodata=0)
    with Raster(source) as raster:
        area = Area(box(raster.grid.window))
        none = annotation_layer.AnnotatedArea(
            np.array([], dtype=object), np.array([], dtype=np.uint8)
        )
        sampler = Sampler(
            [LabelledRaster(raster, none, area, NOTHING)], 32, np.random.default_rng(0)
        )
        with pytest.raises(RasterError, match="holds no data"):
            sampling.measure(sampler)


@pytest.mark.parametrize("channels", [1, 4])
def test_unknown_pixels_have_no_say_in_the_loss(channels):
    torch.manual_seed(0)
    logits = torch.randn(2, channels, 8, 8, requires_grad=True)
    classes = torch.randint(0, max(2, channels), (2, 8, 8))
    known = torch.rand(2, 8, 8) < 0.5
    loss = segmentation_loss(logits, classes, known)
    loss.backward()
    gradient = logits.grad.abs().sum(dim=1)
    assert (gradient[~known] == 0).all()
    assert (gradient[known] > 0).all()
    other = torch.where(known, classes, (classes + 1) % max(2, channels))
    assert segmentation_loss(logits, other, known).item() == pytest.approx(loss.item())


def test_a_perfect_answer_costs_nothing():
    classes = torch.randint(0, 3, (1, 8, 8))
    logits = torch.nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2).float() * 40 - 20
    known = torch.ones(1, 8, 8, dtype=torch.bool)
    assert segmentation_loss(logits, classes, known).item() == pytest.approx(0.0, abs=1e-3)
