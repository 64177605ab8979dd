"""The algorithm ``deepseg:statistics``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm
from deepseg_qgis.processing.algorithms.parameters import (
    WEB_PAGES,
    Parameters,
    area_of_interest,
    category_field,
    file_output,
    polygons,
    table_output,
)
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from qgis.core import QgsVectorLayer

from deepseg_qgis.jobs import CATEGORY_FIELD, StatisticsJob


class Statistics(EngineAlgorithm):
    """Count and measure polygons."""

    ID = "statistics"
    TITLE = "Statistics of polygons"
    GROUP = "Analyse"
    SUMMARY = "Count, area and perimeter per category"
    TAGS = "count,measure,area,perimeter,summary,zonal,table,report"
    HELP = """
    Counts and measures polygons per category, and per raster where they say which they come
    from: number, area, perimeter, smallest, mean and largest size, and the share of the area of
    interest.

    Sizes are true ones, measured on the ellipsoid, whatever the CRS of the layer is (in web
    mercator the plane is far too large).

    What it needs: any polygon layer with a CRS. Without a category field, the field 'category'
    is taken if there is one. With an area of interest, polygons are cut at its border.

    What comes out: a table (CSV by default) and a page to read.

    Tip: run it on your annotations, too: categories with few polygons are hard to learn.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "COUNT": "Number of polygons",
        "AREA_M2": "Area of all polygons (m²)",
    }

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            polygons("INPUT", "Polygons"),
            category_field("INPUT", "Category field (empty: 'category', if there)"),
            area_of_interest("polygons are cut at its border (empty: none is cut)"),
            table_output("OUTPUT", "Statistics"),
            file_output("OUTPUT_HTML", "Report", WEB_PAGES),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> StatisticsJob:
        """Return what the engine is asked to do."""
        return StatisticsJob(
            polygons=inputs.polygons("INPUT"),
            aoi=inputs.optional_polygons("AOI"),
            output=destinations.path("OUTPUT"),
            output_html=destinations.optional_path("OUTPUT_HTML"),
        )

    def default_category_field(self, layer: QgsVectorLayer | None) -> str | None:
        """Return the field that DeepSeg's own layers have, if this one has it."""
        has_it = layer is not None and layer.fields().lookupField(CATEGORY_FIELD) >= 0
        return CATEGORY_FIELD if has_it else None
