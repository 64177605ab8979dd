"""A raster with its annotations and the area in which they are complete."""

from __future__ import annotations

from dataclasses import dataclass

from deepseg_qgis.engine.annotations.annotation_layer import load, require_touching
from deepseg_qgis.engine.annotations.labelled_raster import labelled_area
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.areas import AnnotatedArea, Area
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.errors import VectorError
from deepseg_qgis.jobs import VectorSource


@dataclass(frozen=True)
class AnnotatedRaster:
    """A raster, what is annotated on it (classes count through ``categories``), and where."""

    raster: Raster
    annotated: AnnotatedArea
    area: Area
    categories: tuple[Category, ...]


def load_annotated(
    source: VectorSource, aoi: VectorSource | None, raster: Raster, control: Control
) -> AnnotatedRaster:
    """Return a raster with the annotations of a layer; without ``aoi``, their bounding box counts.

    Raises:
        VectorError: a layer cannot be read, or does not touch the raster.
    """
    layer = load(source, control, may_be_empty=aoi is not None)
    if len(layer.names):
        require_touching(layer, [raster])
    else:
        control.warn(
            f"The annotation layer '{source.name}' is empty: all of the area of interest is "
            "background in the data set."
        )
    area = labelled_area(layer, aoi, raster, control)
    if aoi is None:
        control.warn(
            "Without an area of interest, all of the annotations' bounding box counts as labelled: "
            "what has no polygon there is background. Draw an area around what is complete."
        )
    if area.size_px == 0:
        raise area_beside_raster(raster)
    return AnnotatedRaster(raster, layer.over(raster, layer.categories), area, layer.categories)


def area_beside_raster(raster: Raster) -> VectorError:
    """Return the error of an area of interest that does not touch a raster."""
    return VectorError(
        f"The area of interest does not touch {raster.name}. Draw it over the raster, or "
        "leave it empty to tile all of it."
    )
