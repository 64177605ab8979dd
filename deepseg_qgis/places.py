"""Files on disk: which are the same, and which belong together.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping

from deepseg_qgis.formats import BESIDE_NAME, BESIDE_STEM

Identity = tuple[object, ...]

MARKS = re.compile(r'[:"|?{]|/vsisubfile/[^,/]*,|/vsi[a-z0-9]+/|file=')
"""Behind these a path may begin in an address."""
MOST_PARTS = 12
"""So many colons, bars and quotation marks of an address are looked at."""


def identity(path: str) -> Identity:
    """Return what is equal for two spellings of one file: links, case, Unicode forms and all.

    What does not exist yet is known by its nearest folder that does, and its name without case.
    """
    place, rest = os.path.realpath(path), ""
    while True:
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(place)
            if found.st_ino:  # some network drives have no numbers
                return (found.st_dev, found.st_ino, _folded(rest))
        above, name = os.path.split(place)
        if above == place or not name:
            return (_folded(os.path.join(place, rest)),)
        place, rest = above, os.path.join(name, rest) if rest else name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def sidecars(path: str) -> list[str]:
    """Return the files that are there and belong to ``path`` alone, whether that is there or not.

    Nobody but it can use them, and what they say of an older file is wrong of a newer one.
    """
    return [each for each, other in _beside(path).items() if other is None]


def shared_sidecars(path: str) -> dict[str, str]:
    """Return the files that would belong to ``path``, and belong to another file that is there."""
    return {each: other for each, other in _beside(path).items() if other is not None}


def _beside(path: str) -> dict[str, str | None]:
    """Return the files that could belong to ``path``, and what else each of them belongs to."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    kind = ending.lower()
    try:
        names = sorted(os.listdir(folder or os.curdir))
    except OSError:
        return {}
    found = [
        each
        for each in names
        if _follows(each, name, BESIDE_NAME[""] + BESIDE_NAME.get(kind, ()))
        or _follows(each, stem, BESIDE_STEM.get(kind, ()))
    ]
    others = {each.lower(): each for each in names if each not in (name, *found)}
    return {os.path.join(folder, each): _other_owner(each, others) for each in found}


def _other_owner(name: str, others: Mapping[str, str]) -> str | None:
    return next(
        (others[each.lower()] for each in sidecar_owners(name) if each.lower() in others), None
    )


def _follows(name: str, start: str, endings: tuple[str, ...]) -> bool:
    return name.startswith(start) and name[len(start) :].lower() in endings


def sidecar_owners(path: str) -> Iterator[str]:
    """Yield the files that ``path`` would belong to, there or not; of styles none."""
    lower = path.lower()
    for kind, endings in BESIDE_NAME.items():
        for ending in endings:
            owner = path[: -len(ending)]
            if lower.endswith(kind + ending) and os.path.basename(owner):
                yield owner
    for kind, endings in BESIDE_STEM.items():
        for ending in endings:
            if lower.endswith(ending):
                yield path[: -len(ending)] + kind


def named_files(address: str) -> list[str]:
    """Return the files and folders on disk that an address of GDAL or QGIS names.

    Such as ``NETCDF:"/a/b.nc":v``, ``/vsizip//a/b.zip/c.tif`` or ``/a/b.gpkg|layername=c``.
    """
    if os.path.exists(address):
        return [address]
    marks = [0, *(each.end() for each in MARKS.finditer(address))]
    ends = [*(each.start() for each in re.finditer(r'[:"|?}]', address)), len(address)]
    found = []
    for start in marks[:MOST_PARTS]:
        for end in reversed(ends[-MOST_PARTS:]):
            place = _on_disk(address[start:end]) if end > start else None
            if place is not None:
                found.append(place)
                break
    return list(dict.fromkeys(found))


def _on_disk(path: str) -> str | None:
    """Return the absolute path, or the file above it that is an archive."""
    while os.path.isabs(path) and os.path.basename(path):
        if os.path.exists(path):
            return path
        above = os.path.dirname(path)
        if os.path.isdir(above):  # only a file can hold what is not on the disk
            return None
        path = above
    return None
