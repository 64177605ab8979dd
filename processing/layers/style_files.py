"""Style files beside layers: ours are written and written again, the user's never.

QGIS has one ``.qml`` for all files of a stem: scene.tif and scene.geojson share scene.qml. So one
is written only where no other layer would take it for its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re

from qgis.core import QgsMapLayer, QgsProviderRegistry, QgsReadWriteContext, QgsVectorLayer
from qgis.PyQt.QtXml import QDomDocument

from deepseg_qgis.overwriting import OWN_STYLE
from deepseg_qgis.sidecars import sidecars

MARK = re.compile(rb"<!-- DeepSeg ([0-9a-f]{64}) -->\n$")
"""The last line of a style of ours: a hash of the layer's name and of all before this line."""
NO_MAPS = ("csv", "tsv", "txt", "json", "xml", "xlsx", "xls", "ods", "dbf", "pdf", "zip")
"""Endings that QGIS opens, and that are mostly tables and texts, which have no style."""

POINT_CLOUDS = {"las", "laz"}
"""Endings that QGIS opens where it is built with PDAL, and styles by name like all others."""


def save_beside(path: str, layer: QgsMapLayer, parts: QgsMapLayer.StyleCategory) -> None:
    """Save the style of ``layer`` as that of the file at ``path``, where that harms no other.

    In a GeoPackage it is saved where it cannot stand beside it.
    """
    place = f"{os.path.splitext(path)[0]}.qml"
    if _is_free(place, path):
        layer.saveNamedStyle(place, parts)
        _sign(place, path)
    elif path.lower().endswith(".gpkg") and isinstance(layer, QgsVectorLayer):
        inside = QgsVectorLayer(path, "style", "ogr")
        if inside.isValid():
            style = QDomDocument("qgis")
            layer.exportNamedStyle(style, QgsReadWriteContext(), parts)
            inside.importNamedStyle(style, parts)
            inside.saveStyleToDatabase("DeepSeg", OWN_STYLE, True, "")


def _is_free(place: str, path: str) -> bool:
    """Whether a style can be written: there is none but ours, and no other layer of that stem."""
    if os.path.exists(place):
        with contextlib.suppress(OSError), open(place, "rb") as file:
            text = file.read()
            mark = MARK.search(text)
            if mark and mark[1] == _digest(text[: mark.start()], path):
                return not _others(path)
        return False
    return not _others(path)


def _others(path: str) -> list[str]:
    """Return the other layers in the folder that are called like this one."""
    folder, name = os.path.split(path)
    own = {name, *map(os.path.basename, sidecars(path))}
    stem = os.path.splitext(name)[0].casefold()
    endings = _map_endings()
    with contextlib.suppress(OSError):
        return [
            each
            for each in os.listdir(folder)
            if os.path.splitext(each)[0].casefold() == stem
            and os.path.splitext(each)[1][1:].lower() in endings
            and each not in own
        ]
    return []


def _map_endings() -> set[str]:
    registry = QgsProviderRegistry.instance()
    kinds = ("Vector", "Raster", "Mesh", "PointCloud")  # the last since QGIS 3.18
    filters = " ".join(getattr(registry, f"file{kind}Filters")() for kind in kinds)
    known = {each.lower() for each in re.findall(r"\*\.(\w+)", filters)}
    return (known | POINT_CLOUDS) - set(NO_MAPS)


def _sign(place: str, path: str) -> None:
    with contextlib.suppress(OSError), open(place, "rb+") as file:
        digest = _digest(file.read(), path)
        file.write(b"<!-- DeepSeg " + digest + b" -->\n")


def _digest(text: bytes, path: str) -> bytes:
    name = os.path.basename(path).encode("utf-8", "surrogateescape")
    return hashlib.sha256(name + b"\0" + text).hexdigest().encode()
