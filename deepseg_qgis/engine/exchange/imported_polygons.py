"""Polygons made of annotations of other programs, and the layer that they are written into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyproj

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.image_scale import Size
from deepseg_qgis.engine.exchange.import_summary import ImportSummary
from deepseg_qgis.engine.files import vectors
from deepseg_qgis.engine.files.features import Features
from deepseg_qgis.engine.files.output_crs import output_crs
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.jobs import RasterSource

FIELDS = {
    "id": pa.int64(),
    "category": pa.string(),
    "source": pa.string(),
    "iscrowd": pa.int64(),
}
"""``id`` is that of COCO or of an object in a label raster, else as in predictions; ``iscrowd`` is
1 where one annotation stands for many objects, NULL where the format does not say."""


@dataclass(frozen=True)
class TargetRaster:
    """A raster that annotations belong to: its path, its name as a source, and its grid."""

    path: str
    name: str
    grid: Grid

    @classmethod
    def of(cls, source: RasterSource) -> TargetRaster:
        """Return the target of a raster.

        Raises:
            RasterError: it cannot be read.
        """
        with Raster(source) as raster:
            return cls(source.path, source.name, raster.grid)

    @property
    def size(self) -> Size:
        """Its width and height in pixels."""
        return self.grid.width, self.grid.height


@dataclass(frozen=True)
class PolygonBatch:
    """Polygons in the pixel coordinates of one target, with the columns of `FIELDS`."""

    target: TargetRaster
    geometries: Geometries
    ids: Sequence[int | None]
    categories: Sequence[str]
    iscrowd: Sequence[int | None]

    def renumbered(self, first_id: int, number: int | None) -> PolygonBatch:
        """Return the polygons with other ids: ``number``, or counted from ``first_id``."""
        if number is None and first_id == 0:
            return self
        ids = [number if i is None or number is not None else i + first_id for i in self.ids]
        return replace(self, ids=ids)

    def features(self, crs: pyproj.CRS | None) -> Features:
        """Return the polygons in ``crs``, or where their raster has none in its coordinates."""
        columns = {
            "id": self.ids,
            "category": self.categories,
            "source": [self.target.name] * len(self.geometries),
            "iscrowd": self.iscrowd,
        }
        return Features(self.target.grid.to_crs(self.geometries, crs), columns)


@dataclass(frozen=True)
class ImportedPolygons:
    """Polygons as they are read, batch by batch, and the rasters that they lie on."""

    targets: Sequence[TargetRaster]
    batches: Iterator[PolygonBatch]


def write(path: str, polygons: ImportedPolygons, summary: ImportSummary, control: Control) -> None:
    """Write the polygons, and count them in ``summary``.

    Raises:
        OutputError: the format is unknown or the disk is full.
        RasterError: nobody knows how the targets lie to each other.
    """
    targets = polygons.targets
    crs = output_crs(path, [(target.name, target.grid) for target in targets], control)

    def features() -> Iterator[Features]:
        for batch in polygons.batches:
            summary.categories.update(batch.categories)
            yield batch.features(crs)

    mixed = any(target.grid.crs != crs for target in targets)
    vectors.write_features(path, features(), FIELDS, crs, multipart=True, anywhere=mixed)
