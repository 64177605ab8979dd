"""Whether more epochs would help, told from the validation scores so far. No I/O."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

FEWEST_EPOCHS = 4
LEAST_GAIN = 0.01
"""Less is no gain that a mapper would see on the map."""


def outlook(scores: Sequence[float | None]) -> str | None:
    """Return a sentence about the scores of all epochs so far, None where they are too few.

    The mean of the last third is compared with that of the third before; a gain counts if it is
    larger than what single epochs differ by.
    """
    known = [score or 0.0 for score in scores]
    if len(known) < FEWEST_EPOCHS:
        return None
    third = max(2, len(known) // 3)
    before, last = known[-2 * third : -third], known[-third:]
    gain = statistics.fmean(last) - statistics.fmean(before)
    differences = [abs(one - other) for one, other in itertools.pairwise(known[-2 * third :])]
    chance = statistics.median(differences) / third**0.5
    said = f"After {len(known)} epochs: the validation score "
    if gain > max(LEAST_GAIN, chance):
        return (
            f"{said}still rises ({statistics.fmean(before):.2f} to {statistics.fmean(last):.2f} "
            f"in the last {third} epochs). More epochs will probably help."
        )
    return (
        f"{said}hardly rises any more ({statistics.fmean(last):.2f} in the last {third} epochs). "
        "More epochs will probably help little."
    )
