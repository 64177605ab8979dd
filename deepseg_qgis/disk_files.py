"""Files on disk: which are the same, what is in them, and which of them an address names.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import unicodedata

FileIdentity = tuple[object, ...]

MARKS = re.compile(r'[:"|?{]|/vsisubfile/[^,/]*,|/vsi[a-z0-9]+/|file=')
"""Behind these a path may begin in an address."""
MOST_PARTS = 12
"""So many colons, bars and quotation marks of an address are looked at."""


def file_identity(path: str) -> FileIdentity:
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


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files_in_uri(address: str) -> list[str]:
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
