"""How many polygons of each category there are, and how large. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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

StatisticsTable = dict[str, list[object]]
Names = Sequence[str | None] | NDArray[np.object_]


class CategoryStatistics:
    """Sums per source and category over any number of batches; the polygons are not kept."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _CategorySums] = {}

    def add(
        self,
        sources: Names,
        categories: Names,
        areas_m2: NDArray[np.float64],
        perimeters_m: NDArray[np.float64],
    ) -> None:
        """Count polygons, one in each place of the arrays; sizes that are unknown are NaN."""
        if len(areas_m2) == 0:
            return
        first, second = _dictionary_encoded(sources), _dictionary_encoded(categories)
        group = first.codes * len(second.names) + second.codes
        order = np.argsort(group, kind="stable")
        keys, starts = np.unique(group[order], return_index=True)
        areas, perimeters = areas_m2[order], perimeters_m[order]
        columns = zip(
            keys.tolist(),
            np.diff(np.append(starts, len(order))).tolist(),
            np.add.reduceat(areas, starts).tolist(),
            np.add.reduceat(perimeters, starts).tolist(),
            np.minimum.reduceat(areas, starts).tolist(),
            np.maximum.reduceat(areas, starts).tolist(),
            strict=True,
        )
        for key, *values in columns:
            source, category = divmod(key, len(second.names))
            name = first.names[source], second.names[category]
            row = _CategorySums(*values)
            self._rows[name] = self._rows[name].with_more(row) if name in self._rows else row

    @property
    def count(self) -> int:
        """The number of polygons."""
        return sum(row.count for row in self._rows.values())

    @property
    def area_m2(self) -> float | None:
        """The area of all polygons; None where one is unknown."""
        return _known(sum(row.area for row in self._rows.values()))

    def table(self, aoi_m2: float | None) -> StatisticsTable:
        """Return one row per source and category, sorted by them, in the columns of `FIELDS`.

        Areas that are unknown leave the sizes of their row empty (None), never the count.
        ``share_of_aoi`` is a category's area over ``aoi_m2``, None without it.
        """
        table: StatisticsTable = {name: [] for name in FIELDS}
        for (source, category), row in sorted(self._rows.items()):
            values = (
                source,
                category,
                row.count,
                _known(row.area),
                _known(row.perimeter),
                _known(row.smallest),
                _known(row.area / row.count),
                _known(row.largest),
                _known(row.area / aoi_m2) if aoi_m2 else None,
            )
            for name, value in zip(FIELDS, values, strict=True):
                table[name].append(value)
        return table


@dataclass(frozen=True)
class _CategorySums:
    """Sums and extremes of a category's polygons; NaN where one of them is unknown."""

    count: int
    area: float
    perimeter: float
    smallest: float
    largest: float

    def with_more(self, other: _CategorySums) -> _CategorySums:
        return _CategorySums(
            self.count + other.count,
            self.area + other.area,
            self.perimeter + other.perimeter,
            float(np.minimum(self.smallest, other.smallest)),  # NaN stays, unlike with min()
            float(np.maximum(self.largest, other.largest)),
        )


@dataclass(frozen=True)
class _DictionaryEncoded:
    """Names as numbers."""

    names: list[str]
    codes: NDArray[np.int64]


def _dictionary_encoded(names: Names) -> _DictionaryEncoded:
    """Return names, None as the empty one, as numbers of the different ones."""
    coded = pa.array(names, type=pa.string()).fill_null("").dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return _DictionaryEncoded(coded.dictionary.to_pylist(), codes)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
