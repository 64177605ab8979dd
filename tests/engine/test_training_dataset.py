"""The training data by index: the same window whoever reads it, and in whatever order."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning import training_dataset as training_dataset_module
from deepseg_qgis.engine.learning.training_dataset import FEWEST_WINDOWS, training_dataset
from deepseg_qgis.engine.learning.training_sample import collate

SIDE_PX, BATCH = 32, 8


def dataset_of(labelled, seed=3, batch_size=BATCH):
    return training_dataset([labelled], [True], SIDE_PX, batch_size, seed)


def bytes_of(sample):
    """Return all that a sample holds, as bytes."""
    arrays = (
        *(sample.pixels.values, sample.pixels.valid, sample.classes, sample.known),
        *sample.targets,
    )
    return (
        b"".join(np.ascontiguousarray(each).tobytes() for each in arrays)
        + repr(sample.light).encode()
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, FEWEST_WINDOWS - 1)), min_size=1, max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_a_window_hangs_on_seed_epoch_and_index_alone(labelled_discs, places, order):
    """In any order, by several threads, from another data set, a later epoch first."""
    labelled, _ = labelled_discs
    dataset = dataset_of(labelled)

    def read(place, source=dataset):
        epoch, index = place
        return bytes_of(replace(source, epoch=epoch)[index])

    plain = {place: read(place) for place in sorted(places)}
    order.shuffle(places)
    other = dataset_of(labelled)
    assert [read(place, other) for place in places] == [plain[place] for place in places]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, places)) == [plain[place] for place in places]


def test_windows_epochs_and_seeds_differ(labelled_discs):
    labelled, _ = labelled_discs
    dataset = dataset_of(labelled)
    samples = [
        *(replace(dataset, epoch=epoch)[index] for epoch in range(4) for index in range(8)),
        *(dataset_of(labelled, seed)[0] for seed in range(4, 12)),
    ]
    assert len({bytes_of(each) for each in samples}) == 4 * 8 + 8


def test_an_epoch_has_full_batches_and_enough_windows(labelled_discs):
    dataset = dataset_of(labelled_discs[0], batch_size=10)
    assert len(dataset) == 260
    assert len(dataset) >= FEWEST_WINDOWS
    assert len(list(zip(range(300), dataset, strict=False))) == len(dataset)
    for index in (-1, len(dataset)):
        with pytest.raises(IndexError, match=f"from 0 to 259, got {index}"):
            dataset[index]


def test_magnified_an_epoch_takes_as_long(labelled_discs, monkeypatch):
    monkeypatch.setattr(training_dataset_module, "FEWEST_WINDOWS", 4)
    labelled, _ = labelled_discs
    plain = training_dataset([labelled], [True], 64, 4, seed=0)
    magnified = training_dataset([labelled], [True], 64, 4, seed=0, magnification=2)
    assert len(plain) == len(magnified) > 4
    assert magnified[0].classes.shape == (32, 32)


def test_the_normalisation_is_that_of_the_seed(labelled_discs):
    labelled, _ = labelled_discs
    first, again = (dataset_of(labelled).normalisation() for _ in range(2))
    later = replace(dataset_of(labelled), epoch=7).normalisation()
    for found in (again, later):
        assert np.array_equal(found.mean, first.mean)
        assert np.array_equal(found.std, first.std)
    other = dataset_of(labelled, seed=4).normalisation()
    assert not np.array_equal(other.mean, first.mean)
    np.testing.assert_allclose(other.mean, first.mean, rtol=0.1)


def test_samples_of_weighted_data_weigh_pixels_by_their_class(make_raster):
    """Two categories, whose ground is 1:100."""
    common, rare = shapely.box(0, 0, 100, 100), shapely.box(180, 180, 190, 190)
    annotated = AnnotatedArea(np.array([common, rare]), np.array([1, 2], dtype=np.uint8))
    with Raster(make_raster(np.ones((1, 200, 200), np.uint8))) as raster:
        whole = Area.of_windows([Window(0, 0, 200, 200)])
        labelled = LabelledRaster(raster, annotated, whole, Area.of_windows([]))
        plain = training_dataset([labelled], [False, False], SIDE_PX, BATCH, seed=0)
        weights = plain.weighted().class_weights
        assert weights[2] > 1.5 * weights[1]
        seen = set()
        for index in range(40):
            for dataset, expected in ((plain, np.ones(3)), (plain.weighted(), weights)):
                sample = dataset[index]
                batch = collate([sample], plain.normalisation())
                known = batch.weight[0] > 0.0
                assert np.array_equal(known, sample.known)
                assert np.allclose(batch.weight[0][known], expected[sample.classes][known])
                seen.update(sample.classes[known].tolist())
        assert seen == {0, 1, 2}
