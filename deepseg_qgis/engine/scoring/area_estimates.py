"""What a sample tells of a map, category by category: a table, JSON and notes. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.scoring.stratified_estimation import Estimate, StratifiedSample

M2_PER_HA = 10_000.0
UNCERTAIN = 0.25
"""Of an area: a wider half of its interval is worth a note."""

NUMBER = pa.float64()
FIELDS = {
    "category": pa.string(),
    "points": pa.int64(),
    "mapped_share": NUMBER,
    "mapped_m2": NUMBER,
    **dict.fromkeys(("share", "share_se", "share_low", "share_high"), NUMBER),
    **dict.fromkeys(("area_m2", "area_se_m2", "area_low_m2", "area_high_m2"), NUMBER),
    **dict.fromkeys(("area_ha", "plus_minus_ha", "area_low_ha", "area_high_ha"), NUMBER),
    **dict.fromkeys(("users_accuracy", "users_se", "users_low", "users_high"), NUMBER),
    **dict.fromkeys(
        ("producers_accuracy", "producers_se", "producers_low", "producers_high"), NUMBER
    ),
}
"""The columns of the table."""


@dataclass(frozen=True)
class CategoryEstimate:
    """What is estimated of one category; ``mapped_m2`` is None where true sizes are not known."""

    category: Category
    points: int
    mapped_share: float
    mapped_m2: float | None
    share: Estimate
    users: Estimate
    producers: Estimate | None


@dataclass(frozen=True)
class AreaEstimates:
    """What is estimated of a map; ``total_m2`` is its ground, None where that is not known."""

    sample: StratifiedSample
    categories: tuple[CategoryEstimate, ...]
    total_m2: float | None

    @classmethod
    def of(
        cls,
        sample: StratifiedSample,
        categories: Sequence[Category],
        mapped_m2: Sequence[float | None],
    ) -> AreaEstimates:
        """Estimate everything; ``categories`` are those of the sample, in order."""
        estimates = tuple(
            CategoryEstimate(
                category,
                int(sample.sizes[number]),
                float(sample.weights[number]),
                mapped_m2[number],
                sample.area_share(number),
                sample.users_accuracy(number),
                sample.producers_accuracy(number),
            )
            for number, category in enumerate(categories)
        )
        known = [each for each in mapped_m2 if each is not None]
        return cls(sample, estimates, sum(known) if len(known) == len(mapped_m2) else None)

    def table(self) -> dict[str, list[object]]:
        """Return the columns of `FIELDS`."""
        rows = [self._row(each) for each in self.categories]
        return {name: [row[name] for row in rows] for name in FIELDS}

    def notes(self) -> list[str]:
        """Return what the reader should not overlook: areas that rest on few points."""
        return [
            f"The area of '{each.category.name}' is known to within {_percent(each)} only. Most of "
            f"that comes from where the map says '{self._least_known(number)}': draw more points "
            "there (more points for each category, or a larger sample)."
            for number, each in enumerate(self.categories)
            if each.share.high - each.share.low > 2.0 * UNCERTAIN * each.share.value
        ]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "total_m2": self.total_m2,
            "points": int(self.sample.counts.sum()),
            "overall_accuracy": _plain(self.sample.overall_accuracy),
            "categories": [self._row(each) for each in self.categories],
            "error_matrix": {
                "categories": [each.category.name for each in self.categories],
                "counts": self.sample.counts.tolist(),
                "shares": self.sample.error_matrix.tolist(),
            },
            "notes": self.notes(),
        }

    def _row(self, each: CategoryEstimate) -> dict[str, Any]:
        share = each.share
        m2 = [_times(value, self.total_m2) for value in (*share, share.half_width)]
        ha = [_times(value, 1.0 / M2_PER_HA) for value in m2]
        producers = each.producers or (None, None, None, None)
        values = [
            each.category.name,
            each.points,
            each.mapped_share,
            each.mapped_m2,
            *share,
            *m2[:4],
            *(ha[0], ha[4], ha[2], ha[3]),
            *each.users,
            *producers,
        ]
        return dict(zip(FIELDS, values, strict=True))

    def _least_known(self, number: int) -> str:
        """Return the stratum that the interval of a category owes most of its width to."""
        sample = self.sample
        # a point more of the category in each, since none may have been met there
        met = sample.counts[:, number] + 1.0
        sizes = sample.sizes + 2.0
        spread = sample.weights**2 * met * (sizes - met) / sizes**3
        return self.categories[int(np.argmax(spread))].category.name


def _plain(estimate: Estimate) -> dict[str, float]:
    return {**estimate._asdict(), "half_width": estimate.half_width}


def _times(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor


def _percent(each: CategoryEstimate) -> str:
    low, value, high = each.share.low, each.share.value, each.share.high
    if value == 0.0:
        return f"{100.0 * high:.1f} % of the ground"
    return f"−{100.0 * (value - low) / value:.0f} and +{100.0 * (high - value) / value:.0f} %"
