"""What rasters from strangers may not do: run code, call the network, or ask for absurd sizes.

VRTs are the ones that can: they name sources (also remote ones, and services) and may carry Python.
GDAL opens their sources whenever it likes, so they are looked through before they are opened.
"""

from __future__ import annotations

import os
import re
from xml.etree import ElementTree

from rasterio.io import DatasetReader

from deepseg_qgis.errors import RasterError, counted, listed

OPTIONS = {"GDAL_VRT_ENABLE_PYTHON": "NO"}
"""For as long as a raster is open."""
OPTIONS_FOR_LOCAL = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "GDAL_HTTP_PROXY": "http://127.0.0.1:9",
}
"""While only local rasters are open, GDAL may not go out: what a file names besides its sources
(an overview, say) is asked of port 9, where nobody answers."""

NETWORK_DRIVERS = (
    *("DAAS", "EEDA", "EEDAI", "HTTP", "NGW", "OGCAPI", "PLMOSAIC", "PLSCENES", "PostGISRaster"),
    *("STACIT", "STACTA", "WCS", "WMS", "WMTS", "GTI", "TileDB", "Rasterlite"),
)
"""Drivers that go to the network, or to files that they name, on the word of a local file."""

REMOTE = re.compile(
    r"(/vsi(curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)|\b(https?|ftp|s3|gs)://|^\s*<|"
    r"^(WMS|WMTS|WCS|PG|EEDA|EEDAI|DAAS|STACIT|STACTA|GTI|NGW|OGCAPI|PLMOSAIC|vrt):)",
    re.IGNORECASE,
)
SERVICE = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(GDAL_WMS|WMT_MS|WCS_GDAL|WMTS|Capabilities)", re.I)
VRT = re.compile(rb"[^\0]*<(VRTDataset|MRF_META)")
"""GDAL looks for the name anywhere at the beginning of a file."""

REAL = re.compile(r"u?int\d+|float(32|64)")
"""rasterio has names for types that numpy does not know, such as complex_int16."""

SOURCES = ("sourcefilename", "sourcedataset", "source")
"""Elements of VRTs, whose names GDAL takes in any case."""

ADDRESS = re.compile(r"/vsi|..+[:\"]")
"""Sources that are no plain files, such as NETCDF:"a.nc":b; C:/a.tif is one."""

LARGEST_VRT_BYTES = 64 * 2**20
MOST_SOURCES = 100_000
DEEPEST = 8
MOST_PIXELS = 10**12
"""A raster of 10 cm over 100 km × 100 km."""
LARGEST_BLOCK_BYTES = 4 * 2**30
"""GDAL takes a block into memory as a whole."""


def is_remote(path: str) -> bool:
    """Whether the user's own path is on the network."""
    return REMOTE.search(path) is not None and not path.lstrip().startswith("<")


def check_path(path: str) -> list[str]:
    """Check a raster before it is opened; return the sources of a VRT, and of those in it.

    Raises:
        RasterError: it is a VRT that runs Python or goes to the network, or a service.
    """
    if path.lstrip().startswith("<") or path.lower().startswith("vrt:"):
        raise _refused(path, "a description of a raster instead of a file")
    sources: list[str] = []
    if not is_remote(path):
        _check_file(path, path, 0, sources)
    return sources


def check_dataset(dataset: DatasetReader, path: str) -> None:
    """Check what an open dataset says of itself.

    Raises:
        RasterError: it comes from the network, has no bands of its own or of a type that is none of
            numpy's real numbers, is too large to be true, or its blocks are too large for memory.
    """
    if dataset.driver in NETWORK_DRIVERS and not is_remote(path):
        raise _refused(path, f"a description of a service or of other files ({dataset.driver})")
    if dataset.driver == "VRT" and not os.path.isfile(path) and not is_remote(path):
        _check_packed(dataset, path)
    _check_bands(dataset, path)
    if dataset.width * dataset.height > MOST_PIXELS:
        raise RasterError(
            f"{path} says that it has {dataset.width:,} × {dataset.height:,} pixels. Expected at "
            f"most {MOST_PIXELS:,} in all: clip it to the part that you need."
        )
    height, width = dataset.block_shapes[0]
    together = (
        dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") != "BAND" else 1
    )
    size = height * width * together * max(_itemsize(kind) for kind in dataset.dtypes)
    if size > LARGEST_BLOCK_BYTES:
        raise RasterError(
            f"{path} is stored in blocks of {width:,} × {height:,} pixels, which take "
            f"{size / 1e9:.1f} GB of memory each. Expected at most "
            f"{LARGEST_BLOCK_BYTES / 1e9:.1f} GB: write it as a tiled GeoTIFF with QGIS's "
            "'Translate'."
        )


def _check_packed(dataset: DatasetReader, path: str) -> None:
    """Look through a VRT that lies in an archive, as GDAL read it."""
    text = dataset.tags(ns="xml:VRT").get("xml:VRT", "<VRTDataset/>")
    elements = list(ElementTree.fromstring(text).iter())  # noqa: S314 - GDAL's own, no entities
    _check_elements(path, path, elements, 0, [])


def _check_bands(dataset: DatasetReader, path: str) -> None:
    if not dataset.count:
        inside = [name.replace(path, "…") for name in dataset.subdatasets]
        raise RasterError(
            f"{path} has no bands of its own. "
            + (f"It holds {counted(len(inside), 'raster')}: {listed(inside)}. " if inside else "")
            + "Add the one that you want to QGIS (Layer > Add Layer > Add Raster Layer) and choose "
            "that layer."
        )
    odd = {kind for kind in dataset.dtypes if not REAL.fullmatch(kind)}
    if odd:
        raise RasterError(
            f"{path} has bands of type {listed(sorted(odd))}. Expected whole or real numbers: make "
            "a raster of one part of them, or of their magnitude, with QGIS's 'Translate' or "
            "'Raster calculator', and choose that."
        )


def _itemsize(kind: str) -> int:
    digits = re.search(r"\d+$", kind)
    return max(1, int(digits.group()) // 8) if digits else 1


def _check_file(root: str, path: str, depth: int, found: list[str]) -> None:
    """Look through a local file if it is a VRT or a service; its sources go into ``found``."""
    head = _head(path)
    if SERVICE.match(head):
        raise _refused(root, f"a description of a service on the network ({path})")
    if not VRT.match(head):
        return
    if depth >= DEEPEST or os.path.getsize(path) > LARGEST_VRT_BYTES:
        raise _refused(root, f"a VRT that is too large or nested too deep ({path})")
    _check_elements(root, path, _elements(root, path), depth, found)


def _check_elements(
    root: str, vrt: str, elements: list[ElementTree.Element], depth: int, found: list[str]
) -> None:
    for element in elements:
        name = element.tag.rpartition("}")[2].lower()
        text = (element.text or "").strip()
        if name == "pixelfunctioncode" or (
            name == "pixelfunctionlanguage" and text.lower() == "python"
        ):
            raise _refused(root, "a VRT that runs Python, which DeepSeg never does")
        if name in SOURCES and text:
            if len(found) >= MOST_SOURCES:
                raise _refused(root, f"a VRT of more than {MOST_SOURCES:,} files")
            _check_source(root, vrt, text, _is_relative(element), depth, found)


def _is_relative(element: ElementTree.Element) -> bool:
    values = {key.lower(): value.strip() for key, value in element.items()}
    return values.get("relativetovrt", "0") not in ("", "0")


def _check_source(
    root: str, vrt: str, source: str, relative: bool, depth: int, found: list[str]
) -> None:
    if REMOTE.search(source):
        raise _refused(root, f"a VRT that reads from the network or a service ({source[:80]})")
    inside = os.path.join(os.path.dirname(vrt), source) if relative else source
    found.append(inside)
    # GDAL may give zeros for these, with an error for the first read alone
    if not ADDRESS.match(inside):
        _check_there(root, vrt, inside)
    _check_file(root, inside, depth + 1, found)


def _check_there(root: str, vrt: str, source: str) -> None:
    if not os.path.exists(source):
        raise RasterError(
            f"{source} is not there, which the VRT {vrt} is made of. Put that file back, or build "
            f"{os.path.basename(vrt)} again without it."
            + (f" {root} needs it." if root != vrt else "")
        )


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except (OSError, ValueError):
        return b""  # GDAL says what is wrong with it


def _elements(root: str, path: str) -> list[ElementTree.Element]:
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_VRT_BYTES)
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise _refused(root, "a VRT with entities of its own")
        return list(ElementTree.fromstring(content).iter())  # noqa: S314 - without entities
    except (ElementTree.ParseError, LookupError, ValueError, OSError) as error:
        raise _refused(root, f"a VRT that is not well formed ({error})") from error


def _refused(path: str, what: str) -> RasterError:
    return RasterError(
        f"{path[:200]} is {what}. Expected a raster whose pixels are in local files, or the path "
        "of one remote raster. Save it as a GeoTIFF (in QGIS: Export, Save As…) and choose that."
    )
