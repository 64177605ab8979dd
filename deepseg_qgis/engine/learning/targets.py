"""What a network learns of single objects, from the annotation polygons themselves. No I/O.

Each object is drawn with a number of its own, so polygons that share an edge stay two. Two maps
come of it: *heights*, which rise from 0 at an object's edge to 1 in its middle, whatever its size,
and *edges*, a band along every object's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.areas import AnnotatedArea
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.instances.edge_distances import edge_distances
from deepseg_qgis.engine.truth.ground_truth import GroundTruth

MARGIN_PX = 32
"""Edges so far outside of a window still count for the heights inside."""
EDGE_PX = 2.5
EDGE_SHARE = 0.35
"""The band along an edge is so wide, but no wider than this share of a small object's radius."""
SMOOTHING_SHARE = 0.15
"""Heights are smoothed by this share of the median object's radius: small objects are not drowned,
and large ones do not fall apart over what lies on their roofs."""
MOST_SMOOTHING_PX = 4.0


@dataclass(frozen=True)
class Targets:
    """Heights (rows, columns) float32 from 0 to 1 and edges (rows, columns) bool of a window."""

    heights: NDArray[np.float32]
    edges: NDArray[np.bool_]


def targets(annotated: AnnotatedArea, countable: NDArray[np.bool_], window: Window) -> Targets:
    """Return the maps of a window; both are 0 where there is no object of a countable category.

    Args:
        annotated: the polygons, with classes from 1.
        countable: (categories,), which categories consist of objects.
        window: in the raster's pixels; it may reach beyond the raster.

    Source of heights as a share of the object's own radius: Bai, Urtasun, Deep Watershed Transform
    for Instance Segmentation, CVPR 2017 (energies from distances), made independent of size.
    """
    margin = MARGIN_PX
    around = Window(
        window.row - margin,
        window.column - margin,
        window.height + 2 * margin,
        window.width + 2 * margin,
    )
    objects = annotated.objects(around)
    distances = edge_distances(objects)[margin:-margin, margin:-margin]
    inside = objects[margin:-margin, margin:-margin]
    counted = np.append(False, countable[annotated.classes.astype(np.int64) - 1])[inside]
    radii = np.append(1.0, np.maximum(annotated.radii, 0.5)).astype(np.float32)[inside]
    heights = np.where(counted, np.minimum(distances / radii, np.float32(1.0)), np.float32(0.0))
    return Targets(heights, counted & (distances <= np.minimum(EDGE_PX, EDGE_SHARE * radii)))


def smoothing_for(truths: Sequence[GroundTruth], countable: NDArray[np.bool_]) -> float:
    """Return how far heights are to be smoothed, in px, by the size of the objects."""
    radii = [
        truth.annotated.radii[countable[truth.annotated.classes.astype(np.int64) - 1]]
        for truth in truths
    ]
    every = np.concatenate(radii)
    median = float(np.median(every)) if len(every) else 0.0
    return min(SMOOTHING_SHARE * median, MOST_SMOOTHING_PX)
