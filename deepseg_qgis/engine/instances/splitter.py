"""Class maps and heights in, core by core; the same out with touching objects kept apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.instances.block_clusters import block_clusters
from deepseg_qgis.engine.instances.borders import Borders
from deepseg_qgis.engine.instances.open_clusters import OpenClusters
from deepseg_qgis.engine.instances.pending_cores import PendingCore, SplitCore
from deepseg_qgis.engine.instances.slots import Slots
from deepseg_qgis.engine.instances.watershed import by_class, countable_classes
from deepseg_qgis.engine.vectorising.blocks import HaloBuffer, Pixels
from deepseg_qgis.engine.vectorising.spool import Spool
from deepseg_qgis.errors import DeepSegError

MOST_BYTES = 64_000_000
FEW_CLUSTERS = 10_000


class Splitter(AbstractContextManager["Splitter"]):
    """Keeps objects apart, in a region whose cores come row by row of a complete grid.

    What comes out are cores too, that lag by a pixel and form a complete grid over the region
    themselves. Their classes are *slots*: two instances of one category that touch, diagonally too,
    have different ones, so that the 4-connected parts of equal slots are the instances. Which
    category a slot is of is in ``categories``. The instances are those of `watershed.instances_of`
    for the whole region, whatever the grid; slots may differ with it.

    A context manager, since what waits may lie in a temporary file. Not safe to use from several
    threads at once; its heavy parts let other threads run. The region's sides may be as long as the
    vectoriser allows.

    Memory: about 20 bytes for each pixel of a core, and 17 for each pair of pixels where two of its
    basins touch. Cores wait until all their objects are settled, most of a row of cores; beyond
    ``spool_bytes`` they wait in a file. What stays in memory for each waiting core are some 20
    bytes for each of its instances and of its basins along its border. A cluster is settled once
    the blocks that hold the pixels of its objects, and of those over whose saddles it may still
    merge, have come. Objects that wind through the whole raster, or chains of objects whose
    saddles are all less than their depth below their peaks, make all cores wait that they touch and
    all after them: then the file grows with the raster, and memory by those 20 bytes.
    """

    def __init__(
        self,
        region: Window,
        depths: Sequence[int],
        spool_bytes: int = MOST_BYTES,
    ) -> None:
        """Begin with a region.

        Args:
            region: what the cores cover.
            depths: (k,), how far a category's peak must stand out above the saddle to a higher
                one; 0 for those that have no instances and stay as they are.
            spool_bytes: what waiting cores may hold in memory.
        """
        self._region, self._depths = region, by_class(depths)
        self._slots = Slots(len(depths))
        self._clusters = OpenClusters(self._depths, self._slots)
        self._halo_buffer = HaloBuffer(region, 1, 3)
        self._spool = Spool(spool_bytes)
        self._queue: deque[PendingCore] = deque()
        self._borders = Borders(region.width)

    @property
    def categories(self) -> Pixels:
        """The category of each slot, (256,); 0 for those not in use. They never change later."""
        return self._slots.categories.copy()

    @property
    def held_bytes(self) -> int:
        """What waiting cores take in memory."""
        return self._spool.held_bytes

    @property
    def spilled_bytes(self) -> int:
        """How much was moved into a temporary file, so far."""
        return self._spool.spilled_bytes

    def add(
        self,
        core: Window,
        classes: Pixels | None,
        probabilities: Pixels | None,
        heights: Pixels | None,
    ) -> Iterator[SplitCore]:
        """Take the next core; return those that are settled now, in the order of their grid.

        The last core settles all. They are unpacked one by one as the iterator is read, which need
        not be before the next core comes; what was not read stays with the waiting ones.

        Args:
            core: the next of the grid, row by row.
            classes: (rows, columns), 0 background, 1 to k; None where all is background.
            probabilities: (rows, columns), of each pixel's class, in 1/255; 0 for background.
            heights: (rows, columns), high in the middle of an object and low along its border;
                None for 0.

        Raises:
            ParameterError: objects touch so that there are not enough slots.
        """
        planes = () if classes is None else (classes, probabilities, heights)
        window, known = self._halo_buffer.window(core, planes)
        if window.height > 0 and window.width > 0:
            self._take(window, known)
        return _unpacked(self._ready())

    def check_complete(self) -> None:
        """Check, after the last core, that none waits any more.

        Raises:
            DeepSegError: one does, which would be a fault of this package.
        """
        if self._queue:
            raise DeepSegError(
                "Some of the area was not settled when all of it was known. This is a fault of "
                "DeepSeg's: please report it with the raster and the model."
            )

    def __exit__(self, *_error: object) -> None:
        self._spool.close()

    def _take(self, window: Window, known: Pixels) -> None:
        """Find the clusters of a window, link them to those before, and settle what can be."""
        at = window.row - self._region.row, window.column - self._region.column
        counted = countable_classes(known[0], self._depths)
        heights = np.ascontiguousarray(known[2])
        found = block_clusters(counted, heights, *at, self._depths)
        first = self._clusters.add(found)
        for border in self._borders.of(counted, heights, found.labels, first, at):
            self._clusters.link(border)
        self._clusters.settle()
        planes = known[0, 1:-1, 1:-1], known[1, 1:-1, 1:-1]
        mine = range(first, first + len(found.ranks))
        self._queue.append(PendingCore(window, planes, found.labels, mine, self._spool))

    def _ready(self) -> list[tuple[PendingCore, Pixels]]:
        """Take the cores that wait no more, with the slots of their clusters."""
        ready = []
        while self._queue and self._queue[0].clusters.stop <= self._clusters.first_unsettled:
            core = self._queue.popleft()
            ready.append((core, self._clusters.slots(core.clusters)))
        first = self._queue[0].clusters.start if self._queue else len(self._clusters)
        if first > max(FEW_CLUSTERS, len(self._clusters) // 2):
            less = self._clusters.forget(first, self._borders.lines)
            for core in self._queue:
                core.clusters = range(core.clusters.start - less, core.clusters.stop - less)
        return ready


def _unpacked(ready: list[tuple[PendingCore, Pixels]]) -> Iterator[SplitCore]:
    for core, slots in ready:
        yield core.split(slots)
