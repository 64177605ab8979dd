"""Parts of outlines that wait for the rest of their object: in memory, or in a file if too many."""

from __future__ import annotations

import tempfile
from typing import IO

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 200_000_000


class Chunk:
    """Fragments of one object from one block: all vertices in a row, and how many each has.

    ``lengths`` (int32) are negative for open fragments. 8 bytes a vertex and 4 a fragment.
    """

    __slots__ = ("_at", "_count", "_spool", "_vertices", "lengths")

    def __init__(
        self, vertices: NDArray[np.int64], lengths: NDArray[np.int32], spool: Spool
    ) -> None:
        self._vertices: NDArray[np.int64] | None = vertices
        self.lengths = lengths
        self._count = len(vertices)
        self._at = -1
        self._spool = spool
        spool.hold(self)

    @property
    def size_bytes(self) -> int:
        """What the vertices take."""
        return 8 * self._count

    def vertices(self) -> NDArray[np.int64]:
        """Return the vertices, for the last time."""
        self._spool.release(self)
        if self._vertices is None:
            return self._spool.read(self._at, self._count)
        return self._vertices

    def spill(self, file: IO[bytes]) -> None:
        """Move the vertices into a file, at its end."""
        assert self._vertices is not None
        self._at = file.seek(0, 2)
        file.write(self._vertices.tobytes())
        self._vertices = None


class Spool:
    """Counts what chunks hold in memory, and moves the oldest into a file beyond a bound.

    The file lies in the temporary folder, has no name there where the system allows that, and
    vanishes with the process. Raises OSError when the disk is full.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: dict[int, Chunk] = {}
        self.held_bytes = 0
        self._file: IO[bytes] | None = None
        self.spilled_bytes = 0

    def hold(self, chunk: Chunk) -> None:
        """Count a new chunk, and make room if there is too much."""
        self._held[id(chunk)] = chunk
        self.held_bytes += chunk.size_bytes
        if self.held_bytes > self._most_bytes:
            self._make_room()

    def release(self, chunk: Chunk) -> None:
        """Count a chunk no more."""
        if self._held.pop(id(chunk), None) is not None:
            self.held_bytes -= chunk.size_bytes

    def read(self, at: int, count: int) -> NDArray[np.int64]:
        """Return the vertices of a chunk that was moved into the file."""
        assert self._file is not None
        self._file.seek(at)
        return np.frombuffer(self._file.read(8 * count), dtype=np.int64)

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()

    def _make_room(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="deepseg-outlines-")  # noqa: SIM115
        for chunk in list(self._held.values()):
            if self.held_bytes <= self._most_bytes // 2:
                break
            chunk.spill(self._file)
            self.spilled_bytes += chunk.size_bytes
            self.release(chunk)
