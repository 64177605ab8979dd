"""In which CRS polygons of several rasters go into one file, and what is told about that."""

from __future__ import annotations

from collections.abc import Sequence

import pyproj

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.geometry.georeference import UNREFERENCED, Grid
from deepseg_qgis.engine.geometry.local_crs import is_local, metres_per_local_unit
from deepseg_qgis.engine.geometry.projections import WGS84
from deepseg_qgis.errors import RasterError, listed

NamedGrid = tuple[str, Grid]
"""A raster's name, and where it lies."""


def output_crs(path: str, rasters: Sequence[NamedGrid], control: Control) -> pyproj.CRS | None:
    """Return the CRS of a file with what lies on rasters: theirs if they share one, else WGS 84.

    Where the rasters have no place on the ground, their own coordinates are written, and the log
    says what these are.

    Raises:
        RasterError: some have a place on the ground, and others none.
    """
    first = rasters[0][1].crs
    alike = all(grid.crs == first for _, grid in rasters)
    places = {_place(grid) for _, grid in rasters}
    if len(places) > 1 and places != {"pixels", "no CRS"}:
        raise _mixed(rasters)
    if not alike and "local" in places:
        raise _mixed(rasters)
    for place in sorted(places):
        _tell(place, [(name, grid) for name, grid in rasters if _place(grid) == place], control)
    if places != {"ground"}:
        if vectors.is_geojson(path):
            control.warn(
                "GeoJSON is made for longitude and latitude, and other programs take its "
                "coordinates for degrees, which these are not. Name the output .gpkg (GeoPackage)."
            )
        return first if alike else None
    return vectors.crs_for(path, first if alike else WGS84)


def _place(grid: Grid) -> str:
    if grid.crs is None:
        return "pixels" if grid.transform == UNREFERENCED else "no CRS"
    return "local" if is_local(grid.crs) else "ground"


def _tell(place: str, rasters: Sequence[NamedGrid], control: Control) -> None:
    names = listed([name for name, _ in rasters])
    if place == "pixels":
        control.warn(
            f"No georeference in {names}: polygons are in pixels (x = column, y = -row), and areas "
            "in square metres are not known."
        )
    elif place == "no CRS":
        control.warn(
            f"No usable CRS in {names}: polygons have the raster's own coordinates, and areas in "
            "square metres are not known. Assign the CRS in QGIS ('Set Layer CRS', or 'Assign "
            "projection'), and run it again."
        )
    elif place == "local":
        _tell_of_local(names, rasters[0][1].crs, control)


def _tell_of_local(names: str, crs: pyproj.CRS | None, control: Control) -> None:
    assert crs is not None
    unit = metres_per_local_unit(crs)
    what = f"'{crs.name}', the CRS of {names}, is local: it has no known place on the ground."
    if unit is None:
        control.warn(f"{what} Its unit is no length, so that areas are not known.")
    else:
        control.log(f"{what} Areas are measured on its plane (1 unit = {unit:.6g} m).")


def _mixed(rasters: Sequence[NamedGrid]) -> RasterError:
    groups: dict[str, list[str]] = {}
    for name, grid in rasters:
        groups.setdefault(grid.crs.name if grid.crs else "no CRS", []).append(name)
    found = "; ".join(f"{crs}: {listed(names)}" for crs, names in groups.items())
    return RasterError(
        f"The rasters cannot go into one file, since nobody knows how they lie to each other. "
        f"Expected a CRS with a place on the ground for all, or one for none; found {found}. "
        "Assign the missing CRS in QGIS ('Set Layer CRS', or 'Assign projection'), or run the "
        "groups one by one."
    )
