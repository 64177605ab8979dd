"""Polygons on the way to their file, counted for the table of statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

import numpy as np
import pyproj

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files import tables, vectors
from deepseg_qgis.engine.files.features import PolygonBatch
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.prediction.polygon_stream import FIELDS
from deepseg_qgis.engine.scoring import category_statistics
from deepseg_qgis.engine.scoring.category_statistics import CategoryStatistics


class PolygonOutput:
    """The files of polygons and of their statistics (None: no such table was asked for).

    Raises:
        OutputError: a destination cannot be used.
    """

    def __init__(self, outputs: Outputs, polygons: str, statistics: str | None) -> None:
        self._outputs, self._polygons, self._statistics = outputs, polygons, statistics
        self.path = outputs.path(polygons)
        self._table_path = outputs.optional(statistics)
        self.statistics = CategoryStatistics()
        self.count = 0
        self.area_px = 0

    def write(
        self,
        batches: Generator[PolygonBatch, None, None],
        rasters: Sequence[Raster],
        crs: pyproj.CRS | None,
        *,
        anywhere: bool = False,
    ) -> None:
        """Write polygons, given in ``crs``, and put the file into place; see `write_features`.

        Raises:
            RasterError: most of what was read of one of the ``rasters`` was broken.
            OutputError: the file cannot be written.
        """
        with contextlib.closing(self._counted(batches)) as counted:
            self.count = vectors.write_features(self.path, counted, FIELDS, crs, anywhere=anywhere)
        for raster in rasters:
            raster.check_read()
        self._outputs.place(self._polygons)

    def write_statistics(self, aoi_m2: float | None) -> None:
        """Write the table, once all polygons are; ``aoi_m2`` is the size of the area, if known."""
        with self._outputs.saving(self._statistics):
            if self._table_path:
                table = self.statistics.table(aoi_m2)
                tables.write_table(self._table_path, table, category_statistics.FIELDS)

    def suggest_format(self, control: Control) -> None:
        """Say so where another format would suit so many polygons better."""
        better = vectors.better_format(self.path, self.count)
        if better:
            control.warn(better)

    def _counted(
        self, batches: Generator[PolygonBatch, None, None]
    ) -> Generator[PolygonBatch, None, None]:
        with contextlib.closing(batches):
            for batch in batches:
                columns = batch.columns
                self.statistics.add(
                    columns["source"],
                    columns["category"],
                    columns["area_m2"],
                    columns["perimeter_m"],
                )
                self.area_px += int(np.sum(columns["area_px"]))
                yield batch
