"""Cores that wait until all their objects are settled: packed, in memory or in a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.kernels import kernel
from deepseg_qgis.engine.vectorising.blocks import Pixels
from deepseg_qgis.engine.vectorising.spool import Spool, StoredBytes

Numbers = NDArray[np.int32]

NOTHING = -1


@dataclass(frozen=True)
class SplitCore:
    """The slots of a core, and the probabilities.

    (rows, columns) uint8 both, 0 for background; None where all is background.
    """

    core: Window
    classes: Pixels | None
    probabilities: Pixels | None


class PendingCore:
    """A core as runs of equal pixels, row after row, and the probabilities of what is found.

    8 bytes a run and 1 a pixel of any class; counted, and moved into a file, by a spool.
    ``clusters`` are the numbers of its own among all.
    """

    def __init__(
        self,
        window: Window,
        planes: tuple[Pixels, Pixels],
        labels: Numbers,
        clusters: range,
        spool: Spool,
    ) -> None:
        """Pack a core.

        Args:
            window: the core.
            planes: classes and probabilities, (rows, columns).
            labels: (rows + 2, columns + 2), clusters of the core from 0; −1 where there is none.
            clusters: the numbers of these among all.
            spool: what counts it.
        """
        self.window, self.clusters = window, clusters
        self._parts: tuple[Numbers, Numbers, Pixels] | None
        self._parts = _packed(*planes, labels)
        self._lengths = [each.nbytes for each in self._parts]
        self._stored: StoredBytes | None = None
        self._spool = spool
        spool.hold(self)

    @property
    def size_bytes(self) -> int:
        """What it takes, packed."""
        return sum(self._lengths)

    def spill(self) -> None:
        """Move it into a file."""
        assert self._parts is not None
        self._stored = self._spool.write(b"".join(each.tobytes() for each in self._parts))
        self._parts = None

    def split(self, slots: Pixels) -> SplitCore:
        """Return it unpacked, for the last time; ``slots`` are those of its clusters."""
        ends, values, found = self._read()
        if len(found) == 0:
            return SplitCore(self.window, None, None)
        shape = (self.window.height, self.window.width)
        classes = np.zeros(shape, dtype=np.uint8)
        probabilities = np.zeros(shape, dtype=np.uint8)
        _unpack(ends, values, found, slots, classes.ravel(), probabilities.ravel())
        return SplitCore(self.window, classes, probabilities)

    def _read(self) -> tuple[Numbers, Numbers, Pixels]:
        if self._stored is None:
            self._spool.release(self)
            assert self._parts is not None
            parts, self._parts = self._parts, None
            return parts
        # a copy, since numba compiles again for arrays that cannot be written
        data = bytearray(self._spool.read(self._stored))
        bounds = np.cumsum(self._lengths[:2])
        ends = np.frombuffer(data[: bounds[0]], dtype=np.int32)
        values = np.frombuffer(data[bounds[0] : bounds[1]], dtype=np.int32)
        return ends, values, np.frombuffer(data[bounds[1] :], dtype=np.uint8)


@kernel
def _packed(
    classes: Pixels, probabilities: Pixels, labels: Numbers
) -> tuple[Numbers, Numbers, Pixels]:
    """Return where runs end in the flat core, their values, and the probabilities found.

    A value is a cluster, `NOTHING`, or for other classes the class below that.
    """
    rows, columns = classes.shape
    ends = np.empty(1024, dtype=np.int32)
    values = np.empty(1024, dtype=np.int32)
    found = np.empty(rows * columns + 1, dtype=np.uint8)  # the last is written to before it counts
    runs = pixels = 0
    last = np.int32(NOTHING)
    for i in range(rows):
        if runs + columns + 1 > len(ends):
            ends = np.append(ends, np.empty(len(ends) + columns, dtype=np.int32))
            values = np.append(values, np.empty(len(values) + columns, dtype=np.int32))
        for j in range(columns):
            found[pixels] = probabilities[i, j]
            pixels += classes[i, j] > 0
        for j in range(columns):
            label = labels[i + 1, j + 1]
            value = label if label >= 0 else np.int32(NOTHING) - np.int32(classes[i, j])
            if value != last:
                ends[runs], values[runs] = i * columns + j, last
                runs += 1
                last = value
    ends[runs], values[runs] = rows * columns, last
    return ends[: runs + 1].copy(), values[: runs + 1].copy(), found[:pixels].copy()


@kernel
def _unpack(
    ends: Numbers,
    values: Numbers,
    found: Pixels,
    slots: Pixels,
    classes: Pixels,
    probabilities: Pixels,
) -> None:
    start = pixels = 0
    for k in range(len(ends)):
        length = ends[k] - start
        value = values[k]
        if value != NOTHING:
            slot = slots[value] if value >= 0 else np.uint8(NOTHING - value)
            classes[start : ends[k]] = slot
            probabilities[start : ends[k]] = found[pixels : pixels + length]
            pixels += length
        start = ends[k]
