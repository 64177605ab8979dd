"""The one module that reads vector files: the layers that the QGIS side streamed.

They are taken for what they are, whoever made them: a layer is read, or refused in one sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.geometry.local_crs import is_local, is_on_ground, is_undefined
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import CATEGORY_FIELD, SCORE_FIELD, SOURCE_FIELD, VectorSource


def read_features(source: VectorSource) -> Features:
    """Return all features of a layer; ``columns`` are ``category`` and ``source`` (text or None).

    Where the layer has scores, they are the column ``score`` (float64, NaN for NULL).

    Geometries come as they are, invalid ones included, None where there is none that GEOS can take.
    What is no text of UTF-8 is read as far as it goes, and letters with accents get one form
    (Unicode NFC). Memory: the layer.

    Raises:
        VectorError: the layer cannot be read.
    """
    names = (CATEGORY_FIELD, SOURCE_FIELD)
    meta, table = _read(source, (*names, SCORE_FIELD))
    columns: dict[str, list[str | None] | NDArray[np.float64]] = {
        name: _texts(table[name]) if name in table.column_names else [None] * len(table)
        for name in names
    }
    if SCORE_FIELD in table.column_names:
        columns[SCORE_FIELD] = table[SCORE_FIELD].to_numpy().astype(np.float64)
    wkb = table[meta["geometry_name"] or "wkb_geometry"].to_numpy()
    return Features(_shapes(wkb), columns)


def _read(source: VectorSource, names: Sequence[str]) -> tuple[dict[str, Any], pa.Table]:
    import pyogrio  # only when needed: it imports geopandas where that is installed

    errors = pyogrio.errors
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rings that are not closed; they are repaired
            meta, table = pyogrio.read_arrow(source.path, layer=source.layer, columns=list(names))
    except (errors.DataSourceError, errors.DataLayerError, pa.ArrowException, OSError) as error:
        raise VectorError(
            f"The layer '{source.name}' could not be read ({error}). Check that it opens in QGIS, "
            "and save it anew with 'Export > Save Features As'."
        ) from error
    return meta, table


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """Return a column of text; bytes that are none become question marks."""
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return [None] * len(column)
    values = column.cast(pa.large_binary()).to_pylist()
    return [
        None if each is None else normalize("NFC", each.decode("utf-8", "replace"))
        for each in values
    ]


def _shapes(wkb: NDArray[np.object_]) -> Geometries:
    try:
        return _shapes_of(wkb)
    except (NotImplementedError, shapely.errors.ShapelyError):  # one of them spoils all
        return np.array([_shape(each) for each in wkb], dtype=object)


def _shapes_of(wkb: NDArray[np.object_]) -> Geometries:
    # what begins with NaN is no ring to GEOS, and would end the reading of all others
    shapes = np.asarray(shapely.from_wkb(wkb, on_invalid="fix"), dtype=object)
    parts = shapes
    while len(parts):  # raises for curves, of which shapely knows nothing
        mixed = shapely.get_type_id(parts) == shapely.GeometryType.GEOMETRYCOLLECTION
        parts = shapely.get_parts(parts[mixed])
    return shapes


def _shape(wkb: bytes | None) -> shapely.Geometry | None:
    """Return a geometry, or None where there is none that GEOS and shapely can take."""
    try:
        shape: shapely.Geometry | None = _shapes_of(np.array([wkb], dtype=object))[0]
    except (NotImplementedError, shapely.errors.ShapelyError):
        return None
    return shape


def crs_of(source: VectorSource) -> pyproj.CRS | None:
    """Return the CRS of a layer, or None where it has none.

    Raises:
        VectorError: it cannot be understood, or its coordinates are none of a map.
    """
    if not source.crs_wkt:
        return None
    try:
        crs = pyproj.CRS.from_wkt(source.crs_wkt)
    except pyproj.exceptions.CRSError as error:
        raise VectorError(
            f"The CRS of the layer '{source.name}' could not be understood ({error}). Choose it "
            "anew with 'Layer > Set CRS of Layer'."
        ) from error
    if is_undefined(crs):
        return None
    if not is_on_ground(crs) and not is_local(crs):
        raise VectorError(
            f"The layer '{source.name}' is in '{crs.name}'. Expected a projected or geographic "
            "CRS. Bring it into one with 'Reproject layer'."
        )
    return crs
