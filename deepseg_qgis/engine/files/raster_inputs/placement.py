"""Where a dataset lies on the ground: by its geotransform, or by its ground control points."""

from __future__ import annotations

import numpy as np
import pyproj
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.io import DatasetReader
from rasterio.transform import from_gcps

from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid

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
    if by_points is not None:
        transform = by_points
        crs = _crs(crs_wkt or (points_crs and points_crs.to_wkt()))
        notices = [_about_points(points, transform, name)]
    else:
        crs, notices = _crs(crs_wkt or (dataset.crs and dataset.crs.to_wkt())), []
        if transform.is_identity or transform.is_degenerate:
            transform, crs = UNREFERENCED, None
    return Grid(dataset.width, dataset.height, transform, crs), notices


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


def _crs(wkt: str | None) -> pyproj.CRS | None:
    if not wkt:
        return None
    try:
        crs = pyproj.CRS.from_wkt(wkt)
    except pyproj.exceptions.CRSError:
        return None
    return None if crs.is_engineering else crs
