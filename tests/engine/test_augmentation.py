"""Augmentation: image and mask together, from any side and in any light."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.learning.augmentation import (
    ORIENTATIONS,
    GeometricTransform,
    PhotometricTransform,
    oriented,
)


@given(st.integers(0, ORIENTATIONS - 1), st.integers(1, 6))
def test_image_and_mask_move_together(turn, size):
    mask = np.random.default_rng(size).integers(0, 9, (size, size))
    image = np.stack([mask * 10, mask * 100])
    assert np.array_equal(oriented(image, turn)[0], oriented(mask, turn) * 10)
    assert np.array_equal(oriented(image, turn)[1], oriented(mask, turn) * 100)


def test_the_eight_ways_differ():
    square = np.arange(9).reshape(3, 3)
    assert len({oriented(square, turn).tobytes() for turn in range(ORIENTATIONS)}) == 8


@given(st.integers(0, ORIENTATIONS - 1), st.floats(-np.pi, np.pi), st.floats(0.5, 2.0))
def test_a_view_is_the_ground_turned_and_enlarged(turn, angle, zoom):
    """A plane of brightness stays one: as steep as the zoom says, and in the same direction."""
    view, size = GeometricTransform(turn, angle, zoom), 32
    side = size + 2 * view.margin_px(size)
    rows, columns = np.indices((side, side)) - (side - 1) / 2.0
    warp = view.warp(side, size)
    seen = warp.bilinear(np.stack([rows, columns]))
    down, right = (np.diff(seen, axis=1)[:, :, :-1], np.diff(seen, axis=2)[:, :-1])
    lengths = np.hypot(*down), np.hypot(*right)
    np.testing.assert_allclose(lengths, zoom, rtol=2e-3)
    np.testing.assert_allclose((down * right).sum(axis=0), 0.0, atol=5e-3)
    assert warp.all_true(np.ones((side, side), dtype=bool)).all()
    middle = seen[:, size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1]
    np.testing.assert_allclose(middle.mean(axis=(1, 2)), 0.0, atol=1e-3)


def test_views_that_do_not_blend_keep_kinds_and_types():
    rng = np.random.default_rng(0)
    for dtype in (bool, np.uint8, np.int32):
        ground = rng.integers(0, 2, (60, 60)).astype(dtype) * dtype(7)
        view = GeometricTransform.random(rng)
        side = 30 + 2 * view.margin_px(30)
        seen = view.warp(side, 30).nearest(ground[:side, :side])
        assert seen.dtype == dtype
        assert seen.shape == (30, 30)
        assert set(np.unique(seen)) <= set(np.unique(ground))


@given(st.integers(0, 9999))
def test_light_keeps_colours_and_lies_evenly(seed):
    light = PhotometricTransform.random(np.random.default_rng(seed))
    colours = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    seen = light.apply(np.broadcast_to(colours[:, None, None], (3, 17, 33)))
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[:, 8, 16], colours * light.gain + light.offset, atol=1e-5)
    np.testing.assert_allclose(seen[0] - seen[1], 1.5 * light.gain, atol=1e-5)
    np.testing.assert_allclose(seen[:, -1] - seen[:, 0], 2 * light.slope_down, atol=1e-5)
    np.testing.assert_allclose(seen[:, :, -1] - seen[:, :, 0], 2 * light.slope_right, atol=1e-5)


def test_plain_light_changes_nothing():
    values = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    assert np.array_equal(PhotometricTransform().apply(values), values)
