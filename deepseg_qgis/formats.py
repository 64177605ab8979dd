"""The formats that DeepSeg writes, by their endings, and the files that belong to each.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

POLYGONS = ("geojson", "gpkg", "fgb", "parquet", "shp", "sqlite", "json", "geoparquet")
TABLES = ("csv", "gpkg", "xlsx", "ods")
RASTERS = ("tif", "tiff")
"""Endings, the better known first. QGIS 3.22 and newer can read what it offers of them."""
WEIGHTS = (".safetensors", ".pth", ".pt")
"""Endings of files that pretrained weights are read from."""
CONTAINERS = ("gpkg", "sqlite", "xlsx", "ods")
"""Endings of files with several layers or sheets."""

SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg")
WRITTEN = {".shp": SHAPEFILE, ".csv": (".csvt",)}
"""What is written together with a file, and called as in `STEM_SIDECARS`."""
STEM_SIDECARS = {
    ".shp": (
        *SHAPEFILE,
        *(".qpj", ".qix", ".sbn", ".sbx", ".idm", ".ind", ".fbn", ".fbx"),
        *(".ain", ".aih", ".atx", ".ixs", ".mxs"),
    ),
    ".dbf": (".cpg", ".idm", ".ind"),
    ".csv": (".csvt",),
    ".tsv": (".csvt",),
    ".tif": (".tfw", ".tifw", ".tfwx"),
    ".tiff": (".tfw", ".tifw", ".tiffw", ".tfwx"),
    ".tab": (".dat", ".map", ".id", ".ind"),
    ".mif": (".mid",),
    **dict.fromkeys((".asc", ".bil", ".bip", ".bsq", ".flt", ".img"), (".prj", ".hdr")),
}
"""Endings of the files that belong to ``scene.tif`` and are called ``scene`` and then this.

Of formats that are not written, too: scene.prj may belong to scene.asc.
"""
NAME_SIDECARS = {
    "": (".aux.xml", ".ovr", ".ovr.aux.xml", ".msk", ".msk.ovr"),
    ".shp": (".xml",),
    ".dbf": (".xml",),
    ".tif": (".xml",),
    ".tiff": (".xml",),
    ".gpkg": ("-wal", "-shm", "-journal"),
    ".sqlite": ("-wal", "-shm", "-journal"),
}
"""Endings of those that are called ``scene.tif`` and then this; '' stands for every format."""
STYLES = (".qml", ".qmd", ".sld")
"""What QGIS keeps beside a layer, whatever its format: the user's, and never replaced."""
