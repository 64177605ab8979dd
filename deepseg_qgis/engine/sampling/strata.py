"""What a map of categories is to a sample: strata with their ground, and random places in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyproj
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.geometry.polygon_arrays import Coordinates
from deepseg_qgis.engine.legend.legend import Category

BACKGROUND = Category("background", "#ffffff")
"""The ground of a map that is of no category."""


@dataclass(frozen=True)
class Stratum:
    """The ground of one category of a map.

    ``share`` is of the whole map's ground; ``area_m2`` is None where true sizes are not known;
    ``most_points`` is how many places it has, None where any number can be drawn.
    """

    category: Category
    share: float
    area_m2: float | None
    most_points: int | None = None

    @property
    def name(self) -> str:
        """The name of its category."""
        return self.category.name


class CategoryMap(Protocol):
    """A map whose every place is of one stratum."""

    @property
    def strata(self) -> tuple[Stratum, ...]:
        """The strata."""

    @property
    def crs(self) -> pyproj.CRS | None:
        """The CRS of the places."""

    def draw(self, sizes: Sequence[int], rng: np.random.Generator) -> list[Coordinates]:
        """Return (n, 2) random places of each stratum, by true ground, as coordinates in `crs`."""


def strata_of(
    categories: Sequence[Category],
    sizes: NDArray[np.float64],
    *,
    in_m2: bool,
    most_points: Sequence[int] | None = None,
) -> tuple[Stratum, ...]:
    """Return strata of categories with these ``sizes``, in square metres or in what else."""
    total = math.fsum(sizes)
    return tuple(
        Stratum(
            category,
            float(size) / total,
            float(size) if in_m2 else None,
            None if most_points is None else most_points[number],
        )
        for number, (category, size) in enumerate(zip(categories, sizes, strict=True))
    )


def tell(strata: Sequence[Stratum], control: Control) -> None:
    """Write the strata into the log."""
    for each in strata:
        size = "" if each.area_m2 is None else f", {each.area_m2 / 1e4:,.2f} ha"
        control.log(f"{each.name}: {100.0 * each.share:.2f} % of the map{size}")
