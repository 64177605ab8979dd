"""Classes and probabilities as rasters, written core by core while they are decided.

Cores lie across the tiles of a file and come in no order that a Cloud Optimized GeoTIFF could be
written in, so they go into a tiled file beside the destination first.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.raster_output import (
    NAMESPACE,
    RasterOutput,
    Totals,
    totals,
    write_cog,
    write_value_names,
)
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.inference.predicted_cores import PredictedCore
from deepseg_qgis.engine.prediction.prediction_tags import PredictionTags, to_tags
from deepseg_qgis.errors import OutputError

NOT_KNOWN = 255
"""The class of pixels without data or outside of the area: the file's nodata value."""
BACKGROUND_COLOUR = "#ffffff"
BYTES_A_CLASS = 0.2
BYTES_A_PROBABILITY = 1.2
"""What a pixel takes on the disk, for each band, both files and overviews together: on a scene of a
town 1.0 for probabilities, 1.7 where they are all alike in frequency."""


@dataclass(frozen=True)
class RasterDestinations:
    """Where classes and probabilities are to appear; None for what was not asked for."""

    classes: str | None
    probabilities: str | None

    def __bool__(self) -> bool:
        return bool(self.classes or self.probabilities)


class PredictionRasters:
    """The rasters of one prediction; a context manager.

    Both lie on the whole ``grid``; what no core told of is not known. Not safe to use from several
    threads at once. Memory: GDAL's block cache.

    Raises:
        OutputError: a file cannot be made, or the disk is full.
    """

    def __init__(
        self, destinations: RasterDestinations, outputs: Outputs, grid: Grid, tags: PredictionTags
    ) -> None:
        self._names = [category.name for category in tags.legend.categories]
        self._stack = contextlib.ExitStack()
        self._paths = [
            outputs.optional(destinations.classes),
            outputs.optional(destinations.probabilities),
        ]
        classes, probabilities = self._paths
        self._tags = tags
        self._sums = [NOT_KNOWN * grid.height * grid.width, 0]  # of classes, of probabilities
        self._known = 0
        self._classes: RasterOutput | None = None
        self._probabilities: RasterOutput | None = None
        with contextlib.ExitStack() as on_error:
            on_error.push(self._stack)
            if classes:
                self._classes = self._made(classes, grid, 1, NOT_KNOWN)
                colours = [each.colour for each in tags.legend.categories]
                self._classes.colour(dict(enumerate([BACKGROUND_COLOUR, *colours])))
            if probabilities:
                self._probabilities = self._made(probabilities, grid, len(tags.legend.planes), None)
                self._probabilities.name_bands(list(tags.legend.planes))
                self._probabilities.write_mask(Window(0, 0, 1, 1), np.zeros((1, 1), dtype=bool))
            on_error.pop_all()

    def add(self, core: PredictedCore) -> None:
        """Write a core; ``planes`` must be there if probabilities were asked for."""
        if core.classes is None or core.known is None:
            return
        self._known += int(np.count_nonzero(core.known))
        if self._classes:
            classes = np.where(core.known, core.classes, np.uint8(NOT_KNOWN))
            self._classes.write(core.core, classes[None])
            self._sums[0] += int(classes.sum(dtype=np.int64)) - NOT_KNOWN * classes.size
        if self._probabilities:
            assert core.planes is not None
            self._probabilities.write(core.core, core.planes)
            self._sums[1] += int(core.planes.sum(dtype=np.int64))
            self._probabilities.write_mask(core.core, core.known)

    def finish(self, aoi_m2: float | None, control: Control) -> None:
        """Write the files as they are to appear; ``aoi_m2`` is the size of what was predicted on.

        They are read again, since GDAL does not tell if the last blocks did not reach the disk.

        Raises:
            OutputError: the disk is full.
        """
        metadata = to_tags(replace(self._tags, aoi_m2=aoi_m2))
        for raster in (self._classes, self._probabilities):
            if raster:
                raster.tag(NAMESPACE, metadata)
        self._stack.close()
        ways = ("nearest", "average")
        for path, overviews, values in zip(self._paths, ways, self._sums, strict=True):
            if path is None:
                continue
            control.progress(1.0, f"Writing {os.path.basename(path)}")
            write_cog(_beside(path), path, overviews)
            os.remove(_beside(path))
            if totals(path) != Totals(values, self._known):
                raise OutputError(
                    f"{path} does not hold what was written into it: its disk is probably full. "
                    "Make room or choose another place."
                )
        if self._paths[0]:
            write_value_names(self._paths[0], ["background", *self._names])

    def __enter__(self) -> PredictionRasters:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _made(self, path: str, grid: Grid, bands: int, nodata: int | None) -> RasterOutput:
        raster = RasterOutput(_beside(path), grid, bands, "uint8", nodata, measured=True)
        return self._stack.enter_context(raster)


def check_room(
    destinations: RasterDestinations, outputs: Outputs, pixels: int, planes: int
) -> None:
    """Check that the disk has room for rasters of so many pixels.

    Raises:
        ResourceError: it has not.
    """
    sizes = {
        destinations.classes: pixels * BYTES_A_CLASS,
        destinations.probabilities: pixels * planes * BYTES_A_PROBABILITY,
    }
    together = sum(size for path, size in sizes.items() if path)
    for path in sizes:
        if path:
            outputs.path(path)
            outputs.check_room(path, int(together))


def _beside(path: str) -> str:
    return f"{path}.unfinished.tif"
