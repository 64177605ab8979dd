"""How many polygons of each category there are, and how large. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

FIELDS: Mapping[str, pa.DataType] = {
    "source": pa.string(),
    "category": pa.string(),
    "count": pa.int64(),
    "area_m2": pa.float64(),
    "perimeter_m": pa.float64(),
    "smallest_m2": pa.float64(),
    "mean_m2": pa.float64(),
    "largest_m2": pa.float64(),
    "share_of_aoi": pa.float64(),
}
"""The columns of a table of statistics; the share is from 0 to 1."""

Table = dict[str, list[object]]


def summarise(
    sources: Sequence[str | None],
    categories: Sequence[str | None],
    areas_m2: np.ndarray,
    perimeters_m: np.ndarray,
    aoi_m2: float | None,
) -> Table:
    """Return one row per source and category, in the columns of `FIELDS`.

    Areas that are unknown (NaN) leave the sizes of their row empty (None), never the count.
    ``share_of_aoi`` is a category's area over ``aoi_m2``, None without it.
    """
    frame = pd.DataFrame(
        {
            "source": [each or "" for each in sources],
            "category": [each or "" for each in categories],
            "area": areas_m2,
            "perimeter": perimeters_m,
        }
    )
    rows = frame.groupby(["source", "category"], sort=True).agg(
        count=("area", "size"),
        area_m2=("area", lambda each: each.sum(skipna=False)),
        perimeter_m=("perimeter", lambda each: each.sum(skipna=False)),
        smallest_m2=("area", lambda each: each.min(skipna=False)),
        mean_m2=("area", lambda each: each.mean(skipna=False)),
        largest_m2=("area", lambda each: each.max(skipna=False)),
    )
    table = rows.reset_index()
    table["share_of_aoi"] = table["area_m2"] / aoi_m2 if aoi_m2 else np.nan
    return {name: _plain(table[name]) for name in FIELDS}


def _plain(column: pd.Series) -> list[object]:
    return [None if pd.isna(value) else value for value in column.tolist()]
