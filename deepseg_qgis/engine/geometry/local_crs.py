"""Which CRS lie on the ground, and which are local: a plane of a site's own. No I/O.

A local (engineering) CRS has coordinates in metres or feet and no known place on the ground.
Photogrammetry writes them where nobody measured control points.
"""

from __future__ import annotations

import pyproj

NO_LENGTHS = ("unknown", "pixel", "pixels", "px", "unity")
"""Units that programs call lengths and that are none."""


def is_undefined(crs: pyproj.CRS) -> bool:
    """Whether a CRS stands for none at all, as GeoPackages have it."""
    return crs.name.startswith("Undefined ")


def is_on_ground(crs: pyproj.CRS) -> bool:
    """Whether coordinates are places on the ground: longitude and latitude, or on a map."""
    if crs.is_geographic or crs.is_projected:
        return True
    geodetic = crs.geodetic_crs  # of CRS that derive from projected ones, too
    return geodetic is not None and geodetic.is_geographic and not crs.is_geocentric


def is_local(crs: pyproj.CRS) -> bool:
    """Whether a CRS, or its horizontal part, is an engineering CRS."""
    return _horizontal(crs).is_engineering


def metres_per_local_unit(crs: pyproj.CRS) -> float | None:
    """Return how many metres a unit of a local CRS is; None where its unit is no length."""
    axes = _horizontal(crs).to_json_dict()["coordinate_system"]["axis"]
    factors = {_metres(axis.get("unit")) for axis in axes[:2]}
    return factors.pop() if len(factors) == 1 else None


def has_sizes(crs: pyproj.CRS | None) -> bool:
    """Whether it is known how large things are: not without a CRS, or without a unit of length."""
    return crs is not None and not (is_local(crs) and metres_per_local_unit(crs) is None)


def are_one_plane(one: pyproj.CRS | None, other: pyproj.CRS | None) -> bool:
    """Whether coordinates of one are taken for the other's as they are.

    So are those without a CRS, and those of a local CRS: there is no way to any other.
    """
    if one is None or other is None or one == other:
        return True
    return is_local(one) or is_local(other)


def are_comparable(one: pyproj.CRS | None, other: pyproj.CRS | None) -> bool:
    """Whether it is known how coordinates of both lie to each other."""
    if one is None or other is None:
        return False
    return one == other or (is_on_ground(one) and is_on_ground(other))


def _horizontal(crs: pyproj.CRS) -> pyproj.CRS:
    return crs.sub_crs_list[0] if crs.is_compound and crs.sub_crs_list else crs


def _metres(unit: object) -> float | None:
    if isinstance(unit, dict):
        length = unit.get("type") == "LinearUnit" and unit.get("name", "").lower() not in NO_LENGTHS
        return float(unit["conversion_factor"]) if length else None
    return 1.0 if unit == "metre" else None
