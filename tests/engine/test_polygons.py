"""Polygons from classes: exact areas, valid, disjoint, and the classes again when rasterised."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepseg_qgis.engine.areas import burnt
from deepseg_qgis.engine.polygons import components
from deepseg_qgis.engine.tiling import Window

maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)
)
masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 1)
)


def traced(classes):
    region = Window(5, 7, *classes.shape)
    return components(classes, np.full_like(classes, 51), region), region


@given(maps | masks)
def test_areas_are_pixel_counts_and_polygons_are_valid(classes):
    found, _ = traced(classes)
    assert (shapely.area(found.geometries) == found.sizes_px).all()
    assert shapely.is_valid(found.geometries).all()
    assert (shapely.get_type_id(found.geometries) == shapely.GeometryType.POLYGON).all()
    for category in range(1, 4):
        assert found.sizes_px[found.classes == category].sum() == (classes == category).sum()


@given(maps | masks)
def test_rasterised_polygons_are_the_classes_again(classes):
    found, region = traced(classes)
    assert np.array_equal(burnt(found.geometries, found.classes, region), classes)


@given(maps | masks)
def test_first_pixels_are_in_their_objects_and_in_order(classes):
    found, region = traced(classes)
    rows, columns = found.first_rows - region.row, found.first_columns - region.column
    assert (classes[rows, columns] == found.classes).all()
    assert (np.diff(rows * region.width + columns) > 0).all()


@given(masks)
def test_diagonal_neighbours_are_two_objects(mask):
    found, _ = traced(mask)
    for one in range(len(found)):
        for other in range(one):
            shared = shapely.intersection(found.geometries[one], found.geometries[other])
            assert shapely.length(shared) == 0.0


def test_scores_are_mean_probabilities():
    classes = np.array([[1, 1, 0, 2]], dtype=np.uint8)
    probabilities = np.array([[255, 51, 9, 102]], dtype=np.uint8)
    found = components(classes, probabilities, Window(0, 0, 1, 4))
    assert np.allclose(found.scores, [0.6, 0.4])


def test_nothing_gives_nothing():
    found, _ = traced(np.zeros((4, 4), dtype=np.uint8))
    assert len(found) == 0
