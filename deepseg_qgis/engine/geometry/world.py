"""Where longitudes and cylindrical projections close on themselves. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyproj
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.projections import period_of, projection

AT_POLE = 1e-11
"""What is nearer to a pole or to ±180° than this share of a turn (0.4 mm) lies on it."""
SOMEWHERE_DEG = 30.0
"""A latitude at which all longitudes tell whether a projection is a cylinder."""
ONE_PLACE = 1e-6
"""In units of a CRS: what is not farther apart is one place."""


@dataclass(frozen=True)
class World:
    """Where coordinates close on themselves: x after ``period``, and y at the poles.

    For longitude and latitude in degrees that is 360, -90 and 90.
    """

    period: float
    south: float
    north: float

    @classmethod
    def of(cls, crs: pyproj.CRS) -> World | None:
        """Return the world of longitudes and of cylindrical projections; None of others."""
        period = period_of(crs)
        if period is not None:
            return cls(period, -period / 4.0, period / 4.0)
        geodetic = crs.geodetic_crs
        turn = None if geodetic is None else period_of(geodetic)
        if geodetic is None or turn is None:
            return None
        degree = turn / 360.0
        far = np.arange(-150.0, 180.0, 60.0)
        places = np.column_stack([np.append(far, far + 1.0), np.full(2 * len(far), SOMEWHERE_DEG)])
        poles = np.array([[0.0, -90.0], [0.0, 90.0]])
        project = projection(geodetic, crs)
        xy, (south, north) = project(places * degree), project(poles * degree)[:, 1]
        x, y = xy[:, 0], xy[:, 1]
        if (
            not np.isfinite(xy).all()
            or np.ptp(y) > ONE_PLACE
            or not np.isfinite([south, north]).all()
        ):
            return None
        wide = 6.0 * np.median(np.diff(x[: len(far)]))
        small = np.median(x[len(far) :] - x[: len(far)])
        return cls(wide, south, north) if abs(wide - 360.0 * small) < 1e-6 * wide else None

    @property
    def near(self) -> float:
        """What is not farther apart than this is one place."""
        return self.period * AT_POLE

    def at_pole(self, y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which y are a pole's."""
        return (y <= self.south + self.near) | (y >= self.north - self.near)
