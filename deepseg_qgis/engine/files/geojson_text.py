"""GeoJSON as text, batch by batch (RFC 7946). No I/O.

GDAL writes about 14,000 polygons a second here, this some twenty times as many; a long prediction
would wait for its own output otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.polygon_arrays import PolygonArrays
from deepseg_qgis.engine.kernels import kernel

DECIMALS = 9
"""A tenth of a millimetre in degrees."""
LARGEST = 9e8
"""The largest number that is written as a coordinate: beyond, whole numbers of 64 bits end."""
TAIL = b"\n]\n}\n"
_UNIT = 10**DECIMALS
_POSITION, _FRAME = 48, 48
"""The most characters of a position (two numbers of up to 20), and of what is around a level."""


def head(name: str) -> bytes:
    """Return what stands before the features."""
    return (
        f'{{\n"type": "FeatureCollection",\n"name": {json.dumps(name)},\n"features": [\n'.encode()
    )


def features(polygons: PolygonArrays, columns: Mapping[str, pa.Array]) -> memoryview:
    """Return the text of features, each with a comma and a new line before it.

    Rings are wound by the right-hand rule. Geometries that are empty or have coordinates that are
    not numbers become null, as do numbers that JSON does not have. Memory: about 2 KB a polygon.
    """
    pieces: list[pa.Array | str] = [',\n{"type":"Feature","properties":{']
    for number, (name, values) in enumerate(columns.items()):
        pieces[-1] = f"{pieces[-1]}{',' if number else ''}{json.dumps(name)}:"
        pieces += [_as_json(values), ""]
    pieces[-1] = f'{pieces[-1]}}},"geometry":'
    pieces += [geometries(polygons), "}"]
    texts = [
        pa.scalar(each, pa.large_string()) if isinstance(each, str) else each for each in pieces
    ]
    lines = pc.binary_join_element_wise(*texts, pa.scalar("", pa.large_string()))
    ends = np.frombuffer(lines.buffers()[1], dtype=np.int64, count=len(lines) + 1)
    return memoryview(lines.buffers()[2])[ends[0] : ends[-1]]


def geometries(polygons: PolygonArrays) -> pa.Array:
    """Return (m,) the geometries as JSON text."""
    members = polygons.features
    if members is None:
        members = np.arange(len(polygons.parts))
    fine = np.max(np.abs(polygons.coordinates), axis=1) < LARGEST  # not where it is NaN
    whole = np.rint(np.where(fine[:, None], polygons.coordinates, 0.0) * _UNIT).astype(np.int64)
    known = np.diff(polygons.parts[members]) > 0
    if not fine.all():
        starts = polygons.rings[polygons.parts[members]]
        known[np.searchsorted(starts, np.flatnonzero(~fine), side="right") - 1] = False
    levels = len(polygons.rings) + len(polygons.parts) + len(members)
    text = np.empty(_POSITION * len(whole) + _FRAME * levels, dtype=np.uint8)
    ends = np.zeros(len(known) + 1, dtype=np.int64)
    _write(_Shapes(whole, polygons.rings, polygons.parts, members), known, text, ends)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(text[: ends[-1]])]
    return pa.Array.from_buffers(pa.large_string(), len(known), buffers)


def _as_json(values: pa.Array) -> pa.Array:
    """Return a column as JSON texts."""
    text = pa.large_string()
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))
        texts = pc.cast(values, text)
        # 1 instead of 1.0 would make readers take the field for whole numbers
        bare = pc.invert(pc.match_substring_regex(texts, "[.e]"))
        texts = pc.if_else(
            bare,
            pc.binary_join_element_wise(texts, pa.scalar(".0", text), pa.scalar("", text)),
            texts,
        )
    elif pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        texts = pc.cast(values, text)
    else:
        coded = pc.dictionary_encode(pc.cast(values, text))
        names = [json.dumps(each, ensure_ascii=False) for each in coded.dictionary.to_pylist()]
        texts = pc.take(pa.array(names, type=text), coded.indices)
    return pc.fill_null(texts, "null")


def _characters(text: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(text, dtype=np.uint8)


_NULL = _characters(b"null")
_POLYGON = _characters(b'{"type":"Polygon","coordinates":')
_MULTIPOLYGON = _characters(b'{"type":"MultiPolygon","coordinates":[')
_OPEN, _CLOSE, _COMMA, _MINUS, _POINT, _ZERO, _END = b"[],-.0}"


class _Shapes(NamedTuple):
    """Geometries as flat arrays: which parts, rings and vertices each of them has.

    ``whole`` are coordinates in units of the last decimal; each other array tells where what it
    counts starts in the one before it, and has one entry more than there are.
    """

    whole: NDArray[np.int64]
    rings: NDArray[np.int64]
    parts: NDArray[np.int64]
    members: NDArray[np.int64]


@kernel
def _write(
    shapes: _Shapes,
    known: NDArray[np.bool_],
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Write each geometry into ``text``, and where it ends into ``ends``."""
    whole, rings, parts, members = shapes
    at = 0
    for i in range(len(members) - 1):
        if known[i]:
            several = members[i + 1] - members[i] > 1
            at = _put(text, at, _MULTIPOLYGON if several else _POLYGON)
            for part in range(members[i], members[i + 1]):
                if part > members[i]:
                    text[at] = _COMMA
                    at += 1
                at = _polygon(whole, rings, parts[part], parts[part + 1], text, at)
            if several:
                text[at] = _CLOSE
                at += 1
            text[at] = _END
            at += 1
        else:
            at = _put(text, at, _NULL)
        ends[i + 1] = at


@kernel
def _polygon(
    whole: NDArray[np.int64],
    rings: NDArray[np.int64],
    first: int,
    last: int,
    text: NDArray[np.uint8],
    at: int,
) -> int:
    """Write the rings of one polygon."""
    text[at] = _OPEN
    at += 1
    for ring in range(first, last):
        if ring > first:
            text[at] = _COMMA
            at += 1
        start, end = rings[ring], rings[ring + 1]
        step = 1
        if _counterclockwise(whole, start, end) != (ring == first):
            start, end, step = end - 1, start - 1, -1
        text[at] = _OPEN
        at += 1
        for i in range(start, end, step):
            if i != start:
                text[at] = _COMMA
                at += 1
            text[at] = _OPEN
            at = _number(whole[i, 0], text, at + 1)
            text[at] = _COMMA
            at = _number(whole[i, 1], text, at + 1)
            text[at] = _CLOSE
            at += 1
        text[at] = _CLOSE
        at += 1
    text[at] = _CLOSE
    return at + 1


@kernel
def _counterclockwise(whole: NDArray[np.int64], start: int, end: int) -> bool:
    """Return whether a ring turns left: its doubled area, from its first vertex, is positive."""
    doubled = 0.0
    for i in range(start + 1, end - 1):
        x, y = whole[i, 0] - whole[start, 0], whole[i, 1] - whole[start, 1]
        next_x, next_y = whole[i + 1, 0] - whole[start, 0], whole[i + 1, 1] - whole[start, 1]
        doubled += float(x) * float(next_y) - float(next_x) * float(y)
    return doubled > 0.0


@kernel
def _number(value: int, text: NDArray[np.uint8], at: int) -> int:
    """Write a number of units of the last decimal, without zeros at its end."""
    if value < 0:
        text[at] = _MINUS
        at += 1
        value = -value
    before = value // _UNIT
    after = value - before * _UNIT
    digits = 1
    while before >= 10**digits:
        digits += 1
    for i in range(digits - 1, -1, -1):
        text[at + i] = _ZERO + before % 10
        before //= 10
    at += digits
    if after:
        text[at] = _POINT
        digits = DECIMALS
        while after % 10 == 0:
            after //= 10
            digits -= 1
        for i in range(digits, 0, -1):
            text[at + i] = _ZERO + after % 10
            after //= 10
        at += digits + 1
    return at


@kernel
def _put(text: NDArray[np.uint8], at: int, characters: NDArray[np.uint8]) -> int:
    """Write some characters."""
    text[at : at + len(characters)] = characters
    return at + len(characters)
