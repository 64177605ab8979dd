"""How large the annotated objects are, and what that asks of a training. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.geometry.tiling import LATTICE_PX

SMOOTHING_SHARE = 0.15
"""Heights are smoothed by this share of the median object's radius: small objects are not drowned,
and large ones do not fall apart over what lies on their roofs."""
MOST_SMOOTHING_PX = 4.0
SMALL_RADIUS_PX = 4.0
SMALL_SHARE = 0.5
"""If so many objects are smaller than that, the network looks at the raster magnified, …"""
MAGNIFICATION = 2
"""… so many times: prediction takes the square of it as long."""

SMALL_QUANTILE = 0.1
"""A category's *small* object: one in ten is smaller."""
SPECK_SHARE = 0.4
"""What has less than this share of a small object's area is a speck."""
MOST_SPECK_PX = 512
"""In models of connected areas no speck is larger: theirs are not checked by validation."""


def smoothing_for(
    labelled_rasters: Sequence[LabelledRaster], countable: NDArray[np.bool_]
) -> float:
    """Return how far heights are to be smoothed, in px, by the size of the objects; 0 for none."""
    if not countable.any():  # radii take a second for a large road network
        return 0.0
    radii = [
        labelled.annotated.radii[countable[labelled.annotated.classes.astype(np.int64) - 1]]
        for labelled in labelled_rasters
    ]
    every = np.concatenate(radii)
    median = float(np.median(every)) if len(every) else 0.0
    return min(SMOOTHING_SHARE * median, MOST_SMOOTHING_PX)


def magnification_for(labelled_rasters: Sequence[LabelledRaster], tile_size_px: int) -> int:
    """Return how many times as large the network is to look at the rasters; 1 for most.

    All annotations count, countable or not. Tiles of the least size stay
    as they are: with less than that a network sees nothing of an object's surroundings.
    """
    radii = np.concatenate([_radii(labelled) for labelled in labelled_rasters])
    small = len(radii) and np.quantile(radii, SMALL_SHARE) < SMALL_RADIUS_PX
    return MAGNIFICATION if small and tile_size_px >= MAGNIFICATION * LATTICE_PX else 1


def least_sizes(labelled_rasters: Sequence[LabelledRaster], categories: int) -> tuple[int, ...]:
    """Return for each category how many pixels a connected area has that is no speck."""
    sizes = np.concatenate([shapely.area(each.annotated.geometries) for each in labelled_rasters])
    classes = np.concatenate([each.annotated.classes for each in labelled_rasters])
    small = [
        np.quantile(sizes[classes == number], SMALL_QUANTILE) if (classes == number).any() else 0.0
        for number in range(1, categories + 1)
    ]
    return tuple(int(min(SPECK_SHARE * each, MOST_SPECK_PX)) for each in small)


def _radii(labelled: LabelledRaster) -> NDArray[np.float64]:
    """Return the radius of each annotation in px, as twice its area by its perimeter.

    It is that of a circle, half the side of a square, and about the width of a road; it takes no
    time, unlike the largest circle inside.
    """
    geometries = labelled.annotated.geometries
    radii: NDArray[np.float64] = 2.0 * shapely.area(geometries) / shapely.length(geometries)
    return radii
