"""The 4-connected components of each class inside of a block, found through its runs. No I/O.

A run is a stretch of equal pixels in a row. There are far fewer runs than pixels, so the union-find
(R. Tarjan, Efficiency of a good but not linear set union algorithm, J. ACM 22, 1975) works on
them, and no image of labels is ever made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.kernels import inlined, kernel


class Runs(NamedTuple):
    """The runs of a block, row by row; those of row i are ``rows[i]`` to ``rows[i + 1]``.

    All int32: first column, column after the last, and the component that each belongs to.
    """

    rows: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    components: NDArray[np.int32]


class Measures(NamedTuple):
    """What is known of components beside their outlines, one entry for each.

    ``classes`` (uint8), ``sizes`` in pixels, ``sums`` of probabilities in 1/255, and the row and
    column of the first pixel (int64 all).
    """

    classes: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    sums: NDArray[np.int64]
    first_rows: NDArray[np.int64]
    first_columns: NDArray[np.int64]


@kernel
def labelled(classes: NDArray[np.uint8], probabilities: NDArray[np.uint8]) -> tuple[Runs, Measures]:
    """Return the runs and components of a block, by first pixel.

    Both arrays are (rows, columns).
    """
    runs = _runs(classes)
    _unite(classes, runs)
    return runs, _components(classes, probabilities, runs)


@kernel
def _runs(classes: NDArray[np.uint8]) -> Runs:
    height, width = classes.shape
    rows = np.zeros(height + 1, dtype=np.int32)
    for i in range(height):
        count = 0
        before = np.uint8(0)
        for j in range(width):
            here = classes[i, j]
            count += (here != before) & (here != 0)
            before = here
        rows[i + 1] = rows[i] + count
    starts = np.empty(rows[height], dtype=np.int32)
    ends = np.empty(rows[height], dtype=np.int32)
    k = 0
    for i in range(height):
        if rows[i + 1] == rows[i]:
            continue
        before = np.uint8(0)
        for j in range(width):
            here = classes[i, j]
            if here != before:
                if before != 0:
                    ends[k] = j
                    k += 1
                if here != 0:
                    starts[k] = j
                before = here
        if before != 0:
            ends[k] = width
            k += 1
    return Runs(rows, starts, ends, np.arange(k, dtype=np.int32))


@inlined
def root_of(parents: NDArray[np.int32], k: int) -> int:
    """Return what stands for all that was united with ``k``, and shorten the way there."""
    while parents[k] != k:
        parents[k] = parents[parents[k]]
        k = parents[k]
    return k


@kernel
def _unite(classes: NDArray[np.uint8], runs: Runs) -> None:
    """Make ``components`` point to each run's first run; a smaller number is always the earlier."""
    rows, starts, ends, parents = runs
    for i in range(1, len(rows) - 1):
        above, here = rows[i - 1], rows[i]
        while above < rows[i] and here < rows[i + 1]:
            shared = starts[above] < ends[here] and starts[here] < ends[above]
            if shared and classes[i - 1, starts[above]] == classes[i, starts[here]]:
                one, other = root_of(parents, above), root_of(parents, here)
                if one < other:
                    parents[other] = one
                else:
                    parents[one] = other
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1


@kernel
def _components(
    classes: NDArray[np.uint8], probabilities: NDArray[np.uint8], runs: Runs
) -> Measures:
    """Return the components, and put their numbers into ``runs.components``."""
    rows, starts, ends, parents = runs
    count = 0
    for k in range(len(parents)):
        count += parents[k] == k
    found = Measures(
        np.zeros(count, dtype=np.uint8),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )
    number = 0
    for i in range(len(rows) - 1):
        for k in range(rows[i], rows[i + 1]):
            if parents[k] == k:
                component = number
                number += 1
                found.classes[component] = classes[i, starts[k]]
                found.first_rows[component] = i
                found.first_columns[component] = starts[k]
            else:
                component = parents[parents[k]]  # of the first run, which comes earlier
            parents[k] = component
            found.sizes[component] += ends[k] - starts[k]
            total = 0
            for j in range(starts[k], ends[k]):
                total += probabilities[i, j]
            found.sums[component] += total
    return found


@kernel
def component_at(runs: Runs, row: int, column: int) -> int:
    """Return the component of a pixel that belongs to one."""
    low, high = runs.rows[row], runs.rows[row + 1]
    while high - low > 1:
        middle = (low + high) // 2
        if runs.starts[middle] <= column:
            low = middle
        else:
            high = middle
    return runs.components[low]
