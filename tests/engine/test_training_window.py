"""Where training windows lie: over all of the training areas, clear of validation."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import shapely

from deepseg_qgis.engine.annotations.validation_split import split_by_cells
from deepseg_qgis.engine.geometry.areas import Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.training_window import WindowSampler, _PixelSampler


def test_most_windows_keep_clear_of_validation(labelled_discs):
    ground, categories = labelled_discs
    rng = np.random.default_rng(5)
    (split,) = split_by_cells([ground], 0.2, 32, categories, rng)
    sampler = WindowSampler([split], 32)
    shared = [split.validation.shared_px(sampler.draw(rng).window) for _ in range(200)]
    assert np.mean(np.array(shared) == 0.0) > 0.7
    assert np.mean(shared) < 0.05 * 32**2


def test_ground_between_validation_areas_is_seen_as_often_as_other_ground(labelled_discs):
    """A gap as wide as a window has no room for one that is clear, but for a single place."""
    ground, _ = labelled_discs
    kept = Area.of_windows([Window(0, 64, 160, 16), Window(0, 112, 160, 16)])
    split = replace(ground, training=ground.training.without(kept), validation=kept)
    sampler, rng = WindowSampler([split], 32), np.random.default_rng(0)
    seen = np.zeros((160, 160))
    for _ in range(3000):
        window = sampler.draw(rng).window
        seen[window.slices] += 1
    inside = slice(32, 128)  # a raster's margins are seen less: fewer windows reach them
    gap, open_ground = seen[inside, 80:112].mean(), seen[inside, 16:48].mean()
    assert 0.6 < gap / open_ground < 1.7
    assert seen[split.training.mask(Window(0, 0, 160, 160))].min() > 0


@pytest.mark.parametrize("shape", ["square", "diagonal", "scattered"])
def test_pixels_are_drawn_evenly_from_areas_of_any_shape(shape):
    """Scattered squares lie on 200,000² px, where a guess would hit one once in 10⁶ times."""
    far = 200_000 - 12
    area = {
        "square": Area.of_windows([Window(3, 4, 12, 12)]),
        "diagonal": Area(shapely.LineString([(0, 0), (60, 60)]).buffer(2.0)),
        "scattered": Area.of_windows([Window(r, c, 12, 6) for r in (0, far) for c in (9, far)]),
    }[shape]
    source = _PixelSampler(area)
    rng = np.random.default_rng(0)
    drawn = Counter(source.draw(rng) for _ in range(6000))
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
    row, column = _PixelSampler(area).draw(np.random.default_rng(0))
    assert 2 <= row <= 40
    assert 2 <= column <= 40
