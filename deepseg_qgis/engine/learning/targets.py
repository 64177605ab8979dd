"""What a network learns of single objects, from the annotation polygons themselves. No I/O.

Each object is drawn with a number of its own, so polygons that share an edge stay two. Two maps
come of it: *heights*, which rise from 0 at an object's edge to 1 in its middle, whatever its size,
and *edges*, a band along every object's edge. And the pixels that decide whether two objects are
two, those next to both, are named: they count more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.areas import AnnotatedArea
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.learning.edge_distances import contacts_of, edge_distances

MARGIN_PX = 32
"""Edges so far outside of a window still count for the heights inside."""
EDGE_PX = 2.5
EDGE_SHARE = 0.35
"""The band along an edge is so wide, but no wider than this share of a small object's radius."""
CONTACT_PX = 2
"""So near to two objects a pixel decides whether they are two."""
CONTACT_WEIGHT = 4.0
"""So many times as much as another pixel it counts for the cross entropy."""


class ObjectTargets(NamedTuple):
    """Maps of a window (rows, columns).

    ``heights`` float32 from 0 to 1; ``edges`` bool, on a band along an edge; ``contacts`` bool,
    near two objects.
    """

    heights: NDArray[np.float32]
    edges: NDArray[np.bool_]
    contacts: NDArray[np.bool_]


def object_targets(
    annotated: AnnotatedArea, countable: NDArray[np.bool_], window: Window
) -> ObjectTargets:
    """Return the maps of a window; all are 0 where there is no object of a countable category.

    Args:
        annotated: the polygons, with classes from 1.
        countable: (categories,), which categories consist of objects.
        window: in the raster's pixels; it may reach beyond the raster.

    Sources: of heights as energies that distances give, Bai, Urtasun, Deep Watershed Transform for
    Instance Segmentation, CVPR 2017, here as shares of the object's own radius; of the weight of
    contacts, Ronneberger, Fischer, Brox, U-Net, MICCAI 2015.
    """
    margin = MARGIN_PX
    around = Window(
        window.row - margin,
        window.column - margin,
        window.height + 2 * margin,
        window.width + 2 * margin,
    )
    inner = (slice(margin, -margin), slice(margin, -margin))
    objects = annotated.objects(around)
    counted = np.append(False, countable[annotated.classes.astype(np.int64) - 1])
    contacts = contacts_of(np.where(counted[objects], objects, np.int32(0)), CONTACT_PX)[inner]
    distances, inside = edge_distances(objects)[inner], objects[inner]
    radii = np.append(1.0, np.maximum(annotated.radii, 0.5)).astype(np.float32)[inside]
    heights = np.minimum(distances / radii, np.float32(1.0))
    edges = distances <= np.minimum(EDGE_PX, EDGE_SHARE * radii)
    there = counted[inside]
    return ObjectTargets(np.where(there, heights, np.float32(0.0)), there & edges, contacts)
