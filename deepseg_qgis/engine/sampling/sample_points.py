"""The points of a sample layer that somebody filled in, checked and counted. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from deepseg_qgis.engine.legend.legend import PLAIN_COLOUR, Category
from deepseg_qgis.engine.sampling.strata import BACKGROUND, Stratum
from deepseg_qgis.engine.scoring.stratified_estimation import FEWEST_POINTS, Counts
from deepseg_qgis.errors import VectorError, counted, listed
from deepseg_qgis.jobs import SHARE_FIELD, SamplePoint, SampleSource

WHOLE_WITHIN = 1e-3
"""The shares of all strata may differ from 1 by so much: attributes lose digits in some formats."""
ALIKE_WITHIN = 1e-6


def check_filled(sample: SampleSource) -> None:
    """Check that each point has both categories.

    Raises:
        VectorError: there is no point, or one is not filled in.
    """
    count = len(sample.points)
    if not count:
        raise VectorError(
            f"The sample '{sample.name}' has no points. Choose the layer that 'Sampling design' "
            "wrote, filled in."
        )
    empty = sum(point.reference_category is None for point in sample.points)
    if empty:
        raise VectorError(
            f"{counted(empty, 'point')} of {count:,} in '{sample.name}' {_have(empty)} no value in "
            f"'{sample.reference_field}'. Fill in what is there on the ground, then run it again. "
            "Points that you leave out would bias the areas."
        )
    unmapped = sum(point.map_category is None for point in sample.points)
    if unmapped:
        raise VectorError(
            f"{counted(unmapped, 'point')} of {count:,} in '{sample.name}' {_have(unmapped)} no "
            "category of the map. Delete points that you added by hand: they are not random."
        )


def strata_of_points(sample: SampleSource) -> tuple[Stratum, ...]:
    """Return the strata as the points have them: the background first, then by name.

    Raises:
        VectorError: the points do not say the shares, contradict each other, or lack a stratum.
    """
    points: dict[str, list[SamplePoint]] = {}
    for each in sample.points:
        points.setdefault(str(each.map_category), []).append(each)
    names = sorted(points, key=lambda name: (name != BACKGROUND.name, name))
    if any(each.share is None for each in sample.points):
        raise VectorError(
            f"The points of '{sample.name}' do not say how much of the ground each category of the "
            f"map has (field '{SHARE_FIELD}'). Choose the map that they were drawn from."
        )
    shares = [_agreed((each.share for each in points[name]), name) for name in names]
    areas = [_agreed((each.area_m2 for each in points[name]), name) for name in names]
    whole = math.fsum(share or 0.0 for share in shares)
    if abs(whole - 1.0) > WHOLE_WITHIN:
        raise VectorError(
            f"The categories of the map in '{sample.name}' have {100.0 * whole:.1f} % of its "
            "ground together, where 100 % were expected. Are all points of a category missing, or "
            "is a category renamed? Restore them, or choose the map that they were drawn from."
        )
    known = all(area is not None for area in areas)
    return tuple(
        Stratum(_category(name), (share or 0.0) / whole, area if known else None)
        for name, share, area in zip(names, shares, areas, strict=True)
    )


def counted_points(sample: SampleSource, strata: Sequence[Stratum]) -> Counts:
    """Return (strata, categories) how many points of each stratum are of each category.

    Raises:
        VectorError: a category is unknown, or a stratum has fewer than two points.
    """
    numbers = {each.name: number for number, each in enumerate(strata)}
    _check_known(sample, (str(each.map_category) for each in sample.points), numbers, "the map")
    _check_known(
        sample,
        (str(each.reference_category) for each in sample.points),
        numbers,
        f"'{sample.reference_field}'",
    )
    counts = np.zeros((len(strata), len(strata)), dtype=np.int64)
    for each in sample.points:
        counts[numbers[str(each.map_category)], numbers[str(each.reference_category)]] += 1
    for stratum, size in zip(strata, counts.sum(axis=1).tolist(), strict=True):
        if size < FEWEST_POINTS:
            raise VectorError(
                f"'{sample.name}' has {counted(size, 'point')} where the map says "
                f"'{stratum.name}'; at least {FEWEST_POINTS} are needed, and some 50 for useful "
                "figures. Make a larger sample with 'Sampling design'."
            )
    return counts


def _check_known(
    sample: SampleSource, names: Iterable[str], known: dict[str, int], where: str
) -> None:
    unknown = Counter(name for name in names if name not in known)
    if not unknown:
        return
    folded = {name.casefold(): name for name in known}
    meant = [folded[name.casefold()] for name in unknown if name.casefold() in folded]
    hint = f" Did you mean {listed(meant)}?" if meant else ""
    raise VectorError(
        f"{counted(unknown.total(), 'point')} of '{sample.name}' {_have(unknown.total())} a "
        f"category in {where} that the map does not have: {listed(sorted(unknown))}. Expected one "
        f"of {listed(sorted(known))}.{hint} Correct these points."
    )


def _agreed(values: Iterable[float | None], name: str) -> float | None:
    """Return the one value that all points of a stratum have."""
    given = list(values)
    known = [value for value in given if value is not None]
    if len(known) < len(given):
        return None
    if max(known) - min(known) > ALIKE_WITHIN * max(map(abs, known)):
        raise VectorError(
            f"The points in '{name}' give its ground as {min(known):g} and as {max(known):g}. Do "
            "not put samples of several maps together; choose the map that all were drawn from."
        )
    return known[0]


def _category(name: str) -> Category:
    return BACKGROUND if name == BACKGROUND.name else Category(name, PLAIN_COLOUR)


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
