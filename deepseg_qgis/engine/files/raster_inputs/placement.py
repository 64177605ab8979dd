"""Where a dataset lies on the ground: by its geotransform, or by its ground control points."""

from __future__ import annotations

import numpy as np
import pyproj
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.io import DatasetReader
from rasterio.transform import from_gcps

from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid
from deepseg_qgis.engine.geometry.local_crs import is_local, is_on_ground, is_undefined
from deepseg_qgis.engine.geometry.repair import FARTHEST

FEWEST_POINTS = 3
"""An affine transformation takes so many ground control points."""


def grid_of(dataset: DatasetReader, crs_wkt: str, name: str) -> tuple[Grid, list[str]]:
    """Return a dataset's grid, and what the user should know about it.

    ``crs_wkt`` is the CRS that the layer has in QGIS; '' leaves it to the file. A dataset without
    geotransform is placed by its ground control points, else it is `UNREFERENCED`.
    """
    transform: Affine = dataset.transform
    points, points_crs = dataset.gcps
    by_points = _fitted(points) if transform.is_identity else None
    file_crs = points_crs if by_points is not None else dataset.crs
    crs, unknown = _crs(crs_wkt or (file_crs.to_wkt() if file_crs else ""))
    notices = [f"{name}: {unknown}"] if unknown else []
    if by_points is not None:
        transform = by_points
        notices.append(_about_points(points, transform, name))
    elif transform.is_identity or transform.is_degenerate or not _is_somewhere(dataset):
        notices += _not_understood(dataset, name)
        transform, crs = UNREFERENCED, None
    return Grid(dataset.width, dataset.height, transform, crs), notices


def _is_somewhere(dataset: DatasetReader) -> bool:
    """Whether the corners of a dataset are numbers of some place."""
    columns, rows = (0, dataset.width, dataset.width, 0), (0, 0, dataset.height, dataset.height)
    corners = [dataset.transform @ (float(x), float(y)) for x, y in zip(columns, rows, strict=True)]
    return bool((np.abs(corners) <= FARTHEST).all())


def _fitted(points: list[GroundControlPoint]) -> Affine | None:
    """Return GDAL's best affine transformation through the points; None where there is none."""
    if len(points) < FEWEST_POINTS:
        return None
    transform: Affine = from_gcps(points)
    finite = all(np.isfinite(transform[:6]))
    return transform if finite and not transform.is_degenerate else None


def _about_points(points: list[GroundControlPoint], transform: Affine, name: str) -> str:
    inverse = ~transform
    off = [np.subtract(inverse @ (each.x, each.y), (each.col, each.row)) for each in points]
    worst = float(np.hypot(*np.array(off).T).max())
    return (
        f"{name} has no geotransform, only {len(points)} ground control points. It is placed by "
        f"the affine transformation that fits them best; the worst point is {worst:.1f} px off. "
        "For a better fit, run QGIS's 'Warp (reproject)' on it first."
    )


def _not_understood(dataset: DatasetReader, name: str) -> list[str]:
    """Return what to say of a georeference that is none of those that are used."""
    kinds = {
        "rational polynomial coefficients (RPC)": dataset.rpcs is not None,
        "a geolocation array": bool(dataset.tags(ns="GEOLOCATION")),
        "too few ground control points": bool(dataset.gcps[0]),
        "a geotransform without an area or a place": not dataset.transform.is_identity,
    }
    found = " and ".join(kind for kind, there in kinds.items() if there)
    if not found:
        return []
    return [
        f"{name} has {found}, but no geotransform, which DeepSeg needs. Its pixels count as not "
        "georeferenced. Run QGIS's 'Warp (reproject)' on it first."
    ]


def _crs(wkt: str) -> tuple[pyproj.CRS | None, str]:
    """Return a CRS, or None and what is the matter with it ('' where there is none at all)."""
    if not wkt:
        return None, ""
    try:
        crs = pyproj.CRS.from_wkt(wkt)
    except pyproj.exceptions.CRSError:
        return None, _unknown(f"its CRS is not understood ({wkt[:60]}…)")
    if is_undefined(crs):
        return None, ""
    if is_on_ground(crs) or is_local(crs):
        return crs, ""
    return None, _unknown(f"its CRS '{crs.name}' has no coordinates of a map ({crs.type_name})")


def _unknown(what: str) -> str:
    return (
        f"{what}, so it counts as without a CRS. Assign the right one to the layer in QGIS (Set "
        "Layer CRS)."
    )
