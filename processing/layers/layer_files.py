"""The files on disk that a vector layer comes from, which no output may replace."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from qgis.core import (
    QgsDataSourceUri,
    QgsMapLayer,
    QgsProject,
    QgsProviderRegistry,
    QgsVectorLayer,
    QgsVirtualLayerDefinition,
)
from qgis.PyQt.QtCore import QUrl

from deepseg_qgis.disk_files import FileIdentity, file_identity, files_in_uri

OGR_VRT = b"<OGRVRTDataSource"
MOST_BYTES = 16 * 2**20
"""Of an OGR VRT, which names its sources."""


def files_of(layer: QgsVectorLayer) -> tuple[str, ...]:
    """Return the files and folders that a layer, its joins and its sources come from."""
    found: dict[str, None] = {}
    for provider, source in _sources(layer, set()):
        for file in [*_files(provider, source), *_members(source.encode(), os.curdir)]:
            _find(os.path.abspath(file), found)
    return tuple(found)


def files_being_edited(project: QgsProject | None) -> dict[FileIdentity, str]:
    """Return the files of all layers in edit mode, and the name of a layer of each."""
    layers = (project or QgsProject.instance()).mapLayers().values()
    edited = [each for each in layers if isinstance(each, QgsVectorLayer) and each.isEditable()]
    return {file_identity(file): layer.name() for layer in edited for file in files_of(layer)}


def _sources(layer: QgsVectorLayer, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the provider and address of a layer, and those of the layers in it."""
    if layer.id() in seen:
        return
    seen.add(layer.id())
    yield layer.providerType(), layer.source()
    inner: list[QgsMapLayer] = [join.joinLayer() for join in layer.vectorJoins()]
    if layer.providerType() == "virtual":
        url = QUrl.fromEncoded(layer.source().encode())
        definition = QgsVirtualLayerDefinition.fromUrl(url)
        inner += _named_in(definition.query())
        for named in definition.sourceLayers():
            if named.isReferenced():
                inner.append(QgsProject.instance().mapLayer(named.reference()))
            else:
                yield named.provider(), named.source()
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
    return [file for each in spellings if each for file in files_in_uri(each)]


def _named_in(query: str) -> list[QgsMapLayer]:
    """Return the layers of the project that a query names, by their ids or names."""
    return [
        layer
        for layer in QgsProject.instance().mapLayers().values()
        for name in (layer.id(), layer.name())
        if name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", query, re.IGNORECASE)
    ]


def _find(path: str, found: dict[str, None]) -> None:
    """Add a file to those found, and the sources of an OGR VRT."""
    if path in found:  # VRTs may name each other
        return
    found[path] = None
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for each in _members(file.read(MOST_BYTES), os.path.dirname(path)):
            _find(each, found)


def _members(text: bytes, folder: str) -> list[str]:
    """Return the files that the text of an OGR VRT names; none if it is no such text."""
    if OGR_VRT not in text[:4096] or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return []
    try:
        tree = ElementTree.fromstring(text)  # noqa: S314 - without entities nothing can grow
    except ElementTree.ParseError:
        return []
    named = [
        (each.text or "").strip() for each in tree.iter() if each.tag.lower() == "srcdatasource"
    ]
    places = [place for each in named for place in (each, os.path.join(folder, each))]
    return [os.path.abspath(file) for place in places for file in files_in_uri(place)]
