"""A raster with its annotations, and where they count for training and for validation."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.annotations.annotation_layer import Annotations, load_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area, box
from deepseg_qgis.jobs import VectorSource


@dataclass(frozen=True)
class LabelledRaster:
    """One raster with its annotations; ``training`` and ``validation`` areas are disjoint.

    ``validated_elsewhere`` is the ground that other rasters keep for validation, or that an earlier
    training kept. ``unknown`` is in
    none of them: it holds what had to be left out of the annotations.
    """

    raster: Raster
    annotated: AnnotatedArea
    training: Area
    validation: Area
    validated_elsewhere: Area = field(default_factory=lambda: Area.of_windows([]))
    unknown: Area = field(default_factory=lambda: Area.of_windows([]))

    @functools.cached_property
    def withheld(self) -> Area:
        """What no training window may show: the validation areas of this raster and of others."""
        return Area(shapely.union(self.validation.geometry, self.validated_elsewhere.geometry))

    @functools.cached_property
    def in_validation(self) -> NDArray[np.bool_]:
        """Which annotations have at least half of their ground in the validation area."""
        return self.annotated.mostly_within(self.validation)


def labelled_area(
    annotations: Annotations, aoi: VectorSource | None, raster: Raster, control: Control
) -> Area:
    """Return where the annotations are complete: the AOI, else the bounding box of the annotations.

    The ground of annotations that had to be left out is not.
    """
    if aoi is not None:
        area = load_area(aoi, raster, control)
    else:
        geometries, _ = annotations.on(raster)
        around = Area.of(geometries).window(raster.grid.window)
        there = around.height and around.width
        area = Area(box(around)) if there else Area.of_windows([])
    unknown = annotations.unknown_on(raster)
    return area.without(unknown) if unknown.size_px else area
