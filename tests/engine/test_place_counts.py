"""What is right and wrong at each place adds up to what is right and wrong."""

import numpy as np
import shapely

from deepseg_qgis.engine.evaluating.model_evaluation import ComparedRaster
from deepseg_qgis.engine.evaluating.place_counts import aligned, object_counts, pixel_counts
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.objects import Objects


def objects(boxes, categories):
    count = len(boxes)
    shapes = np.array([shapely.box(*each) for each in boxes], dtype=object)
    flags = np.zeros(count, dtype=bool)
    return Objects(shapes, np.array(categories, dtype=np.int64), np.ones(count), flags)


def test_objects_count_where_they_lie():
    reference = objects([(0, 0, 8, 8), (40, 0, 48, 8), (40, 40, 48, 48)], [0, 0, 1])
    predicted = objects([(0, 0, 8, 7), (90, 40, 98, 48), (40, 40, 48, 48)], [0, 0, 1])
    found = object_counts(match(predicted, reference, 2), [0, 1], raster=3, side_px=32)
    assert {place: counts.tolist() for place, counts in found.items()} == {
        (3, 0, 0): [[1, 0, 0], [0, 0, 0]],
        (3, 0, 1): [[0, 0, 1], [0, 0, 0]],
        (3, 1, 1): [[0, 0, 0], [1, 0, 0]],
        (3, 1, 2): [[0, 1, 0], [0, 0, 0]],
    }


def test_pixels_count_where_they_lie():
    rng = np.random.default_rng(2)
    predicted, reference = rng.integers(0, 3, (2, 20, 30), dtype=np.uint8)
    counted = rng.random((20, 30)) < 0.8
    compared = ComparedRaster(Window(5, 9, 20, 30), predicted, reference, counted)
    found = pixel_counts(compared, [0, 1], raster=0, side_px=10)
    assert set(found) <= {(0, row, column) for row in range(3) for column in range(4)}
    right, false, missed = sum(found.values())[1]
    assert right == ((predicted == 2) & (reference == 2) & counted).sum()
    assert false == ((predicted == 2) & (reference != 2) & counted).sum()
    assert missed == ((predicted != 2) & (reference == 2) & counted).sum()


def test_places_of_all_trainings_stand_in_one_order():
    one = {(0, 0, 1): np.array([[1, 2, 3]])}
    other = {(0, 0, 0): np.array([[4, 5, 6]]), (0, 0, 1): np.array([[7, 8, 9]])}
    first, second = aligned([one, other], 1)
    assert first.tolist() == [[[0, 0, 0]], [[1, 2, 3]]]
    assert second.tolist() == [[[4, 5, 6]], [[7, 8, 9]]]
    assert aligned([{}, {}], 2)[0].shape == (1, 2, 3)
