"""Where rasters lie and what they are called: two are never one, and one is never two."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deepseg_qgis.processing.layers.attribute_texts import nfc
from qgis.core import NULL

SUBDATASET = re.compile(r'[A-Za-z]\w+:(?:(\d+):)?"?(.*?)"?(?::([^:/\\"]*))?')
"""As in ``NETCDF:"file.nc":band`` and ``GTIFF_DIR:2:file.tif``."""
RASTER_FILE = re.compile(
    r".+\.(tiff?|vrt|img|jp2|jpe?g|png|webp|bmp|gif|ecw|sid|asc|bil|nc|hdf|h5|gpkg|mbtiles)"
    r"(:[^:]*)?( \(\d+\))?",
    re.IGNORECASE,
)
SEPARATORS = re.compile(r"[/\\]+")


class Address(NamedTuple):
    """What GDAL opens (``uri``), the ``file`` on this disk, and the place inside of it.

    ``inside`` is a path within an archive, ``part`` a subdataset; '' where there is none, and so is
    ``file`` where nothing of the address is on this disk. ``title`` is the layer's name in QGIS.
    """

    uri: str
    file: str
    inside: str
    part: str
    title: str

    @classmethod
    def of(cls, uri: str, decoded: Mapping[str, Any], title: str) -> Address:
        """Return the address that QGIS ``decoded``, with its path made absolute.

        The engine has another working directory.
        """
        path, part = decoded["path"], _text(decoded.get("layerName"))
        match = None if os.path.exists(path) else SUBDATASET.fullmatch(path)
        if match and os.path.exists(match[2]):
            path, part = match[2], match[1] or match[3] or ""
        if not os.path.exists(path):
            return cls(uri, "", "", "", title)
        whole = os.path.abspath(path)
        absolute = uri if os.path.isabs(path) else uri.replace(path, whole, 1)
        return cls(absolute, whole, _text(decoded.get("vsiSuffix")), part, title)

    @property
    def identity(self) -> tuple[object, ...]:
        """What two addresses of one raster have in common, however they are spelt or linked."""
        if not self.file:
            return (self.uri,)
        status = os.stat(self.file)
        return (status.st_dev, status.st_ino, os.path.normpath(self.inside), self.part)

    @property
    def steps(self) -> list[str]:
        """The folders on the way to the raster, and its own name."""
        if not self.file:
            return [self.title]
        *folders, name = [step for step in SEPARATORS.split(self.file + self.inside) if step]
        return [*folders, f"{name}:{self.part}" if self.part else name]


def distinct_names(addresses: Sequence[Address]) -> list[str]:
    """Return the file name of each, with as many of its folders as tell it from the others."""
    paths = [address.steps for address in addresses]
    lengths = [1] * len(paths)
    while True:
        names = ["/".join(path[-length:]) for path, length in zip(paths, lengths)]
        counts = Counter(map(nfc, names))
        alike = [
            number
            for number, path in enumerate(paths)
            if counts[nfc(names[number])] > 1 and lengths[number] < len(path)
        ]
        if not alike:
            return _numbered(names)
        for number in alike:
            lengths[number] += 1


def could_name_raster(text: str) -> bool:
    """Whether a text looks like a name that a raster file gets here."""
    return RASTER_FILE.fullmatch(text) is not None


def _numbered(names: Sequence[str]) -> list[str]:
    """Return names with a number where they differ in nothing that a reader sees."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[nfc(name)] += 1
        number = seen[nfc(name)]
        result.append(name if number == 1 else f"{name} ({number})")
    return result


def _text(value: Any) -> str:
    return "" if value is None or value == NULL else str(value)
