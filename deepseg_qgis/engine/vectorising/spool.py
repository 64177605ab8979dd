"""What waits for later blocks, such as parts of outlines: in memory, or in a file if too much."""

from __future__ import annotations

import tempfile
from typing import IO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 200_000_000
SMALLEST_SEGMENT_BYTES = 64_000_000


class Spillable(Protocol):
    """Something that a spool can move out of memory."""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""

    def spill(self) -> None:
        """Move it out of memory, by `Spool.write`."""


class Chunk:
    """Fragments of one object from one block: all vertices in a row, and how many each has.

    ``lengths`` (int32) are negative for open fragments. 8 bytes a vertex and 4 a fragment.
    """

    __slots__ = ("_count", "_spool", "_stored", "_vertices", "lengths")

    def __init__(
        self, vertices: NDArray[np.int64], lengths: NDArray[np.int32], spool: Spool
    ) -> None:
        self._vertices: NDArray[np.int64] | None = vertices
        self.lengths = lengths
        self._count = len(vertices)
        self._stored: StoredBytes | None = None
        self._spool = spool
        spool.hold(self)

    @property
    def size_bytes(self) -> int:
        """What the vertices take."""
        return 8 * self._count

    def vertices(self) -> NDArray[np.int64]:
        """Return the vertices, for the last time."""
        if self._stored is not None:
            return np.frombuffer(self._spool.read(self._stored), dtype=np.int64)
        self._spool.release(self)
        assert self._vertices is not None
        return self._vertices

    def spill(self) -> None:
        """Move the vertices into a file."""
        assert self._vertices is not None
        self._stored = self._spool.write(self._vertices.tobytes())
        self._vertices = None


class Segment:
    """A temporary file: its size, and how many parts (and bytes) of it are still to be read."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="deepseg-waiting-")  # noqa: SIM115
        self.size_bytes = 0
        self.unread = 0
        self.unread_bytes = 0


class StoredBytes(NamedTuple):
    """Where bytes lie: the segment, where in it they begin, and how many."""

    segment: Segment
    offset: int
    size_bytes: int


class Spool:
    """Counts what waits in memory, and moves the oldest into a file beyond a bound.

    The file lies in the job's folder, has no name there where the system allows that, and
    vanishes with the process. It is a few files in truth, the segments: each goes when all of it
    was read, so that the disk holds little more than what waits. Raises OSError when the disk is
    full.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: dict[int, Spillable] = {}
        self.held_bytes = 0
        self._segments: list[Segment] = []
        self.spilled_bytes = 0

    def hold(self, item: Spillable) -> None:
        """Count what is new, and make room if there is too much."""
        self._held[id(item)] = item
        self.held_bytes += item.size_bytes
        if self.held_bytes > self._most_bytes:
            self._make_room()

    def release(self, item: Spillable) -> None:
        """Count no more what is in memory."""
        if self._held.pop(id(item), None) is not None:
            self.held_bytes -= item.size_bytes

    def write(self, data: bytes) -> StoredBytes:
        """Write into the file; return where it lies."""
        if not self._segments or self._segments[-1].size_bytes > self._segment_bytes():
            self._segments.append(Segment())
        segment = self._segments[-1]
        offset = segment.file.seek(0, 2)
        segment.file.write(data)
        segment.size_bytes += len(data)
        segment.unread += 1
        segment.unread_bytes += len(data)
        return StoredBytes(segment, offset, len(data))

    def read(self, stored: StoredBytes) -> bytes:
        """Return what was written, for the last time."""
        segment, offset, size = stored
        segment.file.seek(offset)
        data = segment.file.read(size)
        segment.unread -= 1
        segment.unread_bytes -= size
        if segment.unread == 0:
            segment.file.close()
            self._segments.remove(segment)
        return data

    def close(self) -> None:
        """Remove the file."""
        for segment in self._segments:
            segment.file.close()
        self._segments = []

    def _segment_bytes(self) -> int:
        """Return how long a segment may be: the more waits, the longer, so that they stay few."""
        waiting = sum(each.unread_bytes for each in self._segments)
        return max(SMALLEST_SEGMENT_BYTES, waiting // 8)

    def _make_room(self) -> None:
        for item in list(self._held.values()):
            if self.held_bytes <= self._most_bytes // 2:
                break
            size = item.size_bytes
            item.spill()
            self.spilled_bytes += size
            del self._held[id(item)]
            self.held_bytes -= size
