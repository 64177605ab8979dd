"""Distances to the edges of objects."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepseg_qgis.engine.learning.edge_distances import FAR, contacts_of, edge_distances


def slowly(objects):
    """By looking at every pair of pixels."""
    rows, columns = np.indices(objects.shape).reshape(2, -1)
    flat = objects.ravel()
    square = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    away = np.where(flat[:, None] != flat, square, np.inf).min(axis=1)
    return (np.sqrt(away) - 0.5).reshape(objects.shape)


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)
    )
)
def test_equals_the_nearest_other_pixel(objects):
    found, right = edge_distances(objects), slowly(objects)
    known = np.isfinite(right)
    np.testing.assert_allclose(found[known], right[known], rtol=1e-6)
    assert (found[~known] > FAR / 2).all()


def test_two_objects_that_share_an_edge_are_two():
    objects = np.ones((9, 12), dtype=np.int32)
    objects[:, 6:] = 2
    found = edge_distances(objects)
    assert found[4].tolist() == [5.5, 4.5, 3.5, 2.5, 1.5, 0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
    ),
    st.integers(0, 3),
)
def test_contacts_are_near_two_objects(objects, reach):
    found = contacts_of(objects, reach)
    for i, j in np.ndindex(objects.shape):
        near = objects[max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
        assert found[i, j] == (len(set(near.ravel().tolist()) - {0}) > 1)
