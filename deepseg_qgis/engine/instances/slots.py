"""Slots: numbers for instances, different wherever two of one category touch. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import Ints, kernel
from deepseg_qgis.engine.vectorising.blocks import Pixels
from deepseg_qgis.errors import ParameterError

Numbers = NDArray[np.int32]

MOST_SLOTS = 255
FEWEST_EACH, USUAL_EACH = 2, 7
"""So many slots a category with touching instances takes at least, and at most in all that was
tried, white noise included."""


class Slots:
    """Which category each slot is of.

    Category c has slot c; more are taken as they are needed.
    """

    def __init__(self, categories: int) -> None:
        self.categories = np.zeros(MOST_SLOTS + 1, dtype=np.uint8)
        self.categories[1 : categories + 1] = np.arange(1, categories + 1)
        self._used = categories

    def assign(
        self,
        clusters: Numbers,
        pairs: Numbers,
        categories: Pixels,
        assigned: Pixels,
    ) -> None:
        """Give each cluster the lowest slot of its category that none of its neighbours has.

        Args:
            clusters: numbers of those who get one, in order.
            pairs: (pairs, 2), clusters that touch.
            categories: of all clusters.
            assigned: slots of all clusters, 0 for none yet. Changed.

        Raises:
            ParameterError: there are not enough slots.
        """
        used = _assign(clusters, pairs, categories, assigned, self.categories, self._used)
        if used > MOST_SLOTS:
            count = len(set(self.categories.tolist()) - {0})
            raise ParameterError(
                f"Keeping the touching objects of {count} categories apart takes more than "
                f"{MOST_SLOTS} numbers, and there are no more. Use a model with fewer categories "
                f"that have instances, or make more of them stuff categories."
            )
        self._used = used


def slots_needed(countable: Sequence[bool], each: int) -> int:
    """Return how many slots categories take, if every countable one takes ``each``."""
    return sum(each if counted else 1 for counted in countable)


@kernel
def _assign(
    clusters: Numbers,
    pairs: Numbers,
    categories: Pixels,
    assigned: Pixels,
    owners: Pixels,
    used: int,
) -> int:
    """Assign slots; return how many are in use, too many if there were not enough."""
    starts, neighbours = _neighbours(pairs, len(assigned))
    taken = np.full(MOST_SLOTS + 1, -1, dtype=np.int64)
    for k in range(len(clusters)):
        cluster = clusters[k]
        for n in range(starts[cluster], starts[cluster + 1]):
            taken[assigned[neighbours[n]]] = k
        slot = 1
        while slot <= used and (owners[slot] != categories[cluster] or taken[slot] == k):
            slot += 1
        if slot > MOST_SLOTS:
            return slot
        if slot > used:
            used = slot
            owners[slot] = categories[cluster]
        assigned[cluster] = slot
    return used


@kernel
def _neighbours(pairs: Numbers, count: int) -> tuple[Ints, Numbers]:
    """Return the neighbours of cluster i as ``neighbours[starts[i]:starts[i + 1]]``."""
    starts = np.zeros(count + 2, dtype=np.int64)
    for number in pairs.ravel():
        starts[number + 2] += 1
    starts = np.cumsum(starts)
    neighbours = np.empty(2 * len(pairs), dtype=np.int32)
    for k in range(len(pairs)):
        one, other = pairs[k, 0], pairs[k, 1]
        neighbours[starts[one + 1]] = other
        starts[one + 1] += 1
        neighbours[starts[other + 1]] = one
        starts[other + 1] += 1
    return starts[:-1], neighbours
