"""The journal of a prediction: its decided cores, in order, as they were found.

A process may be killed at any moment, so the file only grows at its end, and each record carries
checksums: what is whole is read again, a broken end is cut off. Whoever has the journal open holds
a lock on it. Nothing of it is executed, and nothing believed: sizes are checked against the grid.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore
from deepseg_qgis.locks import open_locked

HEAD = b"DeepSeg journal 2\n"
RECORD = struct.Struct("<IIQI")
"""Number of the core, length of what describes its arrays, length of the arrays, checksum of both;
four bytes with the checksum of these follow."""
CHECKSUM = struct.Struct("<I")
RECORD_BYTES = RECORD.size + CHECKSUM.size
CODEC = "lz4"
"""Packs maps of classes some hundred times faster than a network makes them."""
ARRAYS = {
    "classes": "classes",
    "probabilities": "probabilities",
    "known": "known",
    "heights": "heights",
    "planes": "every",
}
"""The arrays of a `PredictedCore`, and what a journal calls them."""
TYPES = ("uint8", "bool")
MOST_DESCRIPTION_BYTES = 10_000


class BrokenRecord(Exception):  # noqa: N818 - ends in a shorter journal, never seen by anybody
    """A record is not whole."""


class Journal:
    """The decided cores of one area of one raster; a file, locked while it is open.

    Memory: one core.

    Raises:
        BlockingIOError: another process has it open.
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        file = open_locked(path)
        if file is None:
            raise BlockingIOError(path)
        self._file = os.fdopen(file, "r+b", buffering=0)
        try:
            self._starts = self._whole_records()
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        """Return how many cores it holds."""
        return len(self._starts) - 1

    def replay(self, cores: Sequence[Window]) -> Iterator[PredictedCore]:
        """Yield what is known of the first of these cores; what turns out broken is cut off."""
        for number, core in enumerate(cores[: len(self)]):
            try:
                found = self._read(number, core)
            except BrokenRecord:
                self._cut(number)
                return
            yield found

    def add(self, found: PredictedCore) -> None:
        """Append what is known of the next core.

        Raises:
            OSError: the disk is full; the journal then ends with the core before.
        """
        described, packed = {}, []
        for field, name in ARRAYS.items():
            array = getattr(found, field)
            if array is not None:
                data = pa.compress(np.ascontiguousarray(array), codec=CODEC, asbytes=True)
                described[name] = [str(array.dtype), array.shape, len(data)]
                packed.append(data)
        description = json.dumps(described).encode()
        body = b"".join([description, *packed])
        head = RECORD.pack(
            len(self), len(description), len(body) - len(description), zlib.crc32(body)
        )
        try:
            self._append(head + CHECKSUM.pack(zlib.crc32(head)) + body)
        except OSError:
            with contextlib.suppress(OSError):
                self._cut(len(self))
            raise

    def delete(self) -> None:
        """Remove the file and let go of it; on Windows in the opposite order."""
        if os.name == "nt":
            self.close()
        with contextlib.suppress(OSError):
            os.remove(self.path)
        self.close()

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._file.close()

    def _append(self, data: bytes) -> None:
        end = self._starts[-1]
        self._file.seek(end)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._starts.append(end + len(data))

    def _cut(self, records: int) -> None:
        del self._starts[records + 1 :]
        self._file.truncate(self._starts[-1])

    def _whole_records(self) -> list[int]:
        """Return where each record starts, and where the next one will; the rest is cut off."""
        size = os.fstat(self._file.fileno()).st_size
        starts = [len(HEAD)]
        if self._at(0, len(HEAD)) != HEAD:
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(HEAD)
            return starts
        while True:
            try:
                _, described, packed, _ = self._head(len(starts) - 1, starts[-1])
            except BrokenRecord:
                break
            end = starts[-1] + RECORD_BYTES + described + packed
            if end > size:
                break
            starts.append(end)
        self._file.truncate(starts[-1])
        return starts

    def _head(self, number: int, start: int) -> tuple[int, int, int, int]:
        data = self._at(start, RECORD_BYTES)
        if len(data) < RECORD_BYTES:
            raise BrokenRecord
        head, (checksum,) = data[: RECORD.size], CHECKSUM.unpack(data[RECORD.size :])
        found, described, packed, body = RECORD.unpack(head)
        if zlib.crc32(head) != checksum or found != number or described > MOST_DESCRIPTION_BYTES:
            raise BrokenRecord
        return found, described, packed, body

    def _read(self, number: int, core: Window) -> PredictedCore:
        start = self._starts[number]
        _, described, _, checksum = self._head(number, start)
        body = self._at(start + RECORD_BYTES, self._starts[number + 1] - start - RECORD_BYTES)
        if zlib.crc32(body) != checksum:
            raise BrokenRecord
        try:
            description = dict(json.loads(body[:described]))
            return PredictedCore(core, **_arrays(description, memoryview(body)[described:], core))
        except (ValueError, TypeError, KeyError, pa.ArrowException) as error:
            raise BrokenRecord from error

    def _at(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        parts = []
        while length and (part := self._file.read(length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def _arrays(
    description: dict[str, Any], packed: memoryview, core: Window
) -> dict[str, NDArray[Any] | None]:
    """Return each array of a core by its name, None for those that were not there."""
    fields = {name: field for field, name in ARRAYS.items()}
    arrays: dict[str, NDArray[Any] | None] = dict.fromkeys(ARRAYS)
    for name, (dtype, shape, length) in description.items():
        if name not in fields or dtype not in TYPES or len(shape) > 3:
            raise ValueError(name)
        if tuple(shape[-2:]) != (core.height, core.width):
            raise ValueError(shape)
        size = int(np.prod(shape))
        data = pa.decompress(packed[:length], decompressed_size=size, codec=CODEC)
        # a copy, since what is compiled for outlines takes arrays that can be written to
        arrays[fields[name]] = np.frombuffer(data, dtype=np.uint8).view(dtype).reshape(shape).copy()
        packed = packed[length:]
    return arrays
