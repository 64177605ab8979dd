"""The algorithm ``deepseg:tile``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.parameters import (
    Parameters,
    area_of_interest,
    category_field,
    folder_output,
    polygons,
    raster,
    whole_number,
)
from deepseg_qgis.processing.algorithms.vector_destinations import GeoPackageOutput
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.styles import GRID_COLOUR, outline_style

from deepseg_qgis import bounds
from deepseg_qgis.jobs import TileJob


class Tile(EngineAlgorithm):
    """Lay a grid of tiles over a raster."""

    ID = "tile"
    TITLE = "Tile a raster"
    GROUP = "Prepare"
    SUMMARY = "A grid of tiles over a raster, as a layer; and a data set for other programs"
    TAGS = "grid,split,chip,chips,patch,dataset,data set,export,COCO,training data"
    HELP = """
    Lays a grid of tiles over a raster and writes it as a polygon layer. The tiles cover every
    pixel, the last row and column included, and follow the raster's own pixel grid even where it
    is rotated.

    Give a tile size, or rows and columns, which then count instead. Neighbours share the
    overlap. With an area of interest only the tiles that touch it are kept.

    Each tile knows its row and column in the grid, and its place in the raster in pixels.

    With annotations and a folder the raster is cut, too: into image chips (GeoTIFF), masks
    (0 background, 1… the categories by alphabet, 255 not known) and COCO JSON, in three parts for
    training, validation and test that share no pixel; each category has about the same share in
    each. What has no polygon in the area of interest is background; outside nothing is known.
    With an overlap, tiles along the border of two parts are left out.

    Tip: use the tiles as a work plan: annotate one after the other, completely, and use those
    that are done as area of interest for 'Train a model'.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {"TILES": "Number of tiles"}

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            raster(),
            whole_number("ROWS", "Rows (empty: by tile size)", None, bounds.ROWS),
            whole_number("COLUMNS", "Columns (empty: by tile size)", None, bounds.COLUMNS),
            whole_number("TILE_SIZE", "Tile size (px)", 256, bounds.GRID_TILE_SIZE_PX),
            whole_number("OVERLAP", "Overlap of neighbours (px)", 0, bounds.OVERLAP_PX),
            polygons("ANNOTATIONS", "Annotations, for a data set", optional=True),
            category_field("ANNOTATIONS"),
            area_of_interest("keep the tiles that touch it (empty: all)"),
            GeoPackageOutput("OUTPUT", "Tiles"),
            folder_output("OUTPUT_FOLDER", "Folder for a data set of image chips and masks"),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> TileJob:
        """Return what the engine is asked to do."""
        return TileJob(
            raster=inputs.raster(),
            rows=inputs.optional_whole("ROWS"),
            columns=inputs.optional_whole("COLUMNS"),
            tile_size_px=inputs.whole("TILE_SIZE"),
            overlap_px=inputs.whole("OVERLAP"),
            annotations=inputs.optional_polygons("ANNOTATIONS"),
            aoi=inputs.optional_polygons("AOI"),
            output=destinations.path("OUTPUT"),
            output_folder=destinations.optional_path("OUTPUT_FOLDER"),
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:  # noqa: ARG002
        """Return how to draw the grid."""
        return {"OUTPUT": outline_style(GRID_COLOUR)}
