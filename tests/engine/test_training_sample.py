"""What the network learns from: image and mask together, and nothing of the validation areas."""

import numpy as np
import pytest

from deepseg_qgis.engine.annotations.validation_split import split_by_cells
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import training_sample
from deepseg_qgis.engine.learning.augmentation import (
    ORIENTATIONS,
    GeometricTransform,
    PhotometricTransform,
)
from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.learning.training_window import TrainingWindow, WindowSampler


def test_no_data_is_dark_in_any_light(labelled_discs):
    ground, _ = labelled_discs
    rng = np.random.default_rng(2)
    normal = Normalisation(np.full(3, 90, np.float32), np.full(3, 30, np.float32))
    outside = Window(-40, -40, 64, 64)
    samples = [
        training_sample.read(
            TrainingWindow(
                ground, outside, GeometricTransform.random(rng), PhotometricTransform.random(rng)
            )
        )
        for _ in range(8)
    ]
    batch = training_sample.collate(samples, normal)
    valid = np.stack([each.pixels.valid for each in samples])
    assert (~valid).any()
    assert (batch.values[:, 0][~valid] == 0).all()
    assert (batch.values[:, 0][valid] != 0).any()


def test_what_blends_with_the_unknown_is_unknown(labelled_discs):
    """No data is far from any value: not a trace of it may be seen."""
    ground, _ = labelled_discs
    rng = np.random.default_rng(1)
    for _ in range(20):
        sample = training_sample.read(
            TrainingWindow(ground, Window(-20, -20, 64, 64), GeometricTransform.random(rng))
        )
        assert not sample.known.all()
        assert (
            sample.pixels.values[:, sample.pixels.valid].min()
            >= ground.raster.read(ground.raster.grid.window).values.min() - 1e-3
        )


def test_turned_samples_still_fit_their_masks(labelled_discs):
    ground, _ = labelled_discs
    seen, rng = set(), np.random.default_rng(0)
    sampler = WindowSampler([ground], 64)
    for _ in range(60):
        window = sampler.draw(rng)
        sample = training_sample.read(window)
        seen.add(window.geometry.orientation)
        bright = sample.pixels.values[0].astype(float) > 110
        inside = sample.known
        agreement = (bright == (sample.classes == 1))[inside].mean()
        assert agreement > 0.97
    assert seen == set(range(ORIENTATIONS))


def test_chosen_validation_is_apart_balanced_and_never_sampled(labelled_discs):
    ground, categories = labelled_discs
    rng = np.random.default_rng(3)
    (split,) = split_by_cells([ground], 0.25, 32, categories, rng)
    assert split.training.within(split.validation).size_px == 0
    assert split.training.size_px + split.validation.size_px == pytest.approx(160 * 160)
    assert split.validation.size_px == pytest.approx(0.25 * 160 * 160, rel=0.35)
    kept = split.validation.mask(Window(0, 0, 160, 160))
    sampler = WindowSampler([split], 32)
    for _ in range(200):
        window = sampler.draw(rng)
        sample = training_sample.read(TrainingWindow(window.labelled, window.window))
        inside = window.window.intersection(Window(0, 0, 160, 160))
        overlap = kept[inside.slices] & sample.pixels.valid[inside.within(window.window)]
        assert not overlap.any()
        assert not (kept[inside.slices] & sample.known[inside.within(window.window)]).any()


def test_nothing_of_validation_is_seen_from_any_angle(labelled_discs):
    """What lies in the validation areas is painted white here, and no sample shows any of it."""
    ground, categories = labelled_discs
    rng = np.random.default_rng(3)
    (split,) = split_by_cells([ground], 0.25, 32, categories, rng)
    sampler = WindowSampler([split], 32)
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
            values = training_sample.read(sampler.draw(rng)).pixels.values
            assert values.max(initial=0) <= brightest
