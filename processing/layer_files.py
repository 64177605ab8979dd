"""The files on disk that a vector layer comes from, which no output may replace."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from xml.etree import ElementTree

from qgis.core import (
    QgsDataSourceUri,
    QgsProject,
    QgsProviderRegistry,
    QgsVectorLayer,
    QgsVirtualLayerDefinition,
)
from qgis.PyQt.QtCore import QUrl

from deepseg_qgis.places import Identity, identity, named_files

OGR_VRT = b"<OGRVRTDataSource"
MOST_BYTES = 16 * 2**20
"""Of an OGR VRT, which names its sources."""


def files_of(layer: QgsVectorLayer) -> tuple[str, ...]:
    """Return the files and folders that a layer, its joins and its sources come from."""
    found: dict[str, None] = {}
    for provider, source in _sources(layer, set()):
        for file in _files(provider, source):
            found.update(dict.fromkeys(_with_members(os.path.abspath(file))))
    return tuple(found)


def files_being_edited(project: QgsProject | None) -> dict[Identity, str]:
    """Return the files of all layers in edit mode, and the name of a layer of each."""
    layers = (project or QgsProject.instance()).mapLayers().values()
    edited = [each for each in layers if isinstance(each, QgsVectorLayer) and each.isEditable()]
    return {identity(file): layer.name() for layer in edited for file in files_of(layer)}


def _sources(layer: QgsVectorLayer, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the provider and address of a layer, and those of the layers in it."""
    if layer.id() in seen:
        return
    seen.add(layer.id())
    yield layer.providerType(), layer.source()
    inner = [join.joinLayer() for join in layer.vectorJoins()]
    if layer.providerType() == "virtual":
        url = QUrl.fromEncoded(layer.source().encode())
        for each in QgsVirtualLayerDefinition.fromUrl(url).sourceLayers():
            if each.isReferenced():
                inner.append(QgsProject.instance().mapLayer(each.reference()))
            else:
                yield each.provider(), each.source()
    for each in inner:
        if isinstance(each, QgsVectorLayer):
            yield from _sources(each, seen)


def _files(provider: str, source: str) -> list[str]:
    """Return the files that the address of a layer names, however its provider writes it."""
    decoded = QgsProviderRegistry.instance().decodeUri(provider, source)
    spellings = [
        source.partition("|")[0],
        str(decoded.get("path") or ""),
        QUrl(source).toLocalFile(),
        QgsDataSourceUri(source).database(),
    ]
    return [file for each in spellings if each for file in named_files(each)]


def _with_members(path: str) -> Iterator[str]:
    """Yield a file, and the sources of an OGR VRT."""
    yield path
    with contextlib.suppress(OSError, ElementTree.ParseError), open(path, "rb") as file:
        text = file.read(MOST_BYTES)
        if OGR_VRT not in text[:4096] or b"<!" in text.replace(b"<!--", b""):
            return
        tree = ElementTree.fromstring(text)  # noqa: S314 - without entities nothing can grow
        for element in tree.iter("SrcDataSource"):
            member = (element.text or "").strip()
            if element.get("relativeToVRT") == "1":
                member = os.path.join(os.path.dirname(path), member)
            for each in named_files(member):
                if each != path:
                    yield from _with_members(each)
