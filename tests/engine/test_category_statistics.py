"""Sums over batches are those over all, and equal pandas's."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis.engine.scoring.category_statistics import FIELDS, CategoryStatistics

POLYGON = st.tuples(
    st.sampled_from(["a.tif", "b.tif", None]),
    st.sampled_from(["roof", "tree", "", None]),
    st.one_of(st.just(math.nan), st.floats(0, 1e6)),
    st.floats(0, 1e4),
)


def added(summary, polygons):
    sources, categories, areas, perimeters = zip(*polygons, strict=True) if polygons else [()] * 4
    summary.add(list(sources), list(categories), np.array(areas), np.array(perimeters))


def by_pandas(polygons):
    frame = pd.DataFrame(polygons, columns=["source", "category", "area", "perimeter"])
    frame[["source", "category"]] = frame[["source", "category"]].fillna("")
    rows = []
    for key, group in frame.groupby(["source", "category"]):
        area = group["area"].to_numpy()
        perimeter = group["perimeter"].sum()
        rows.append((*key, len(area), area.sum(), perimeter, area.min(), area.mean(), area.max()))
    return rows


@given(st.lists(POLYGON, max_size=30), st.integers(0, 30))
def test_batches_give_the_table_of_all(polygons, cut):
    summary = CategoryStatistics()
    added(summary, polygons[:cut])
    added(summary, polygons[cut:])
    table = summary.table(None)
    assert list(table) == list(FIELDS)
    found = [tuple(row)[:-1] for row in zip(*table.values(), strict=True)]
    assert len(found) == len(by_pandas(polygons))
    for row, expected in zip(found, by_pandas(polygons), strict=True):
        assert row[:3] == expected[:3]
        for value, wanted in zip(row[3:], expected[3:], strict=True):
            assert value == (None if math.isnan(wanted) else pytest.approx(wanted))
    assert summary.count == len(polygons)


def test_shares_are_of_the_area_of_interest():
    summary = CategoryStatistics()
    added(summary, [("r", "roof", 25.0, 20.0), ("r", "tree", 50.0, 30.0)])
    assert summary.table(200.0)["share_of_aoi"] == [0.125, 0.25]
    assert summary.table(None)["share_of_aoi"] == [None, None]
    assert summary.area_m2 == 75.0


def test_an_unknown_area_leaves_sizes_empty_and_counts():
    summary = CategoryStatistics()
    added(summary, [("r", "roof", 25.0, 20.0)])
    added(summary, [("r", "roof", math.nan, 20.0)])
    table = summary.table(10.0)
    assert table["count"] == [2]
    assert table["smallest_m2"] == table["largest_m2"] == table["share_of_aoi"] == [None]
    assert summary.area_m2 is None
