"""The algorithm ``deepseg:polygonize``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.parameters import (
    Parameters,
    raster,
    shaping,
    table_output,
    vector_output,
)
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.styles import category_style

from deepseg_qgis.jobs import PolygonizeJob


class Polygonize(EngineAlgorithm):
    """Draw polygons from probabilities."""

    ID = "polygonize"
    TITLE = "Polygonize probabilities"
    GROUP = "Predict"
    SUMMARY = "Try thresholds without running the model again"
    TAGS = "polygonise,vectorize,vectorise,probability,threshold,raster to vector,building,tree"
    HELP = """
    Draws polygons from the probabilities that 'Predict' wrote. They are the very polygons that
    'Predict' would draw with the same threshold, smallest area, simplification and style of
    outlines, without running the model again: seconds instead of hours.

    What it needs: the raster of probabilities of 'Predict' (OUTPUT_PROBABILITIES), unchanged. It
    knows its model's categories, colours and thresholds, which objects are told apart, and the
    smallest size of one.

    What comes out: the polygons of 'Predict', with the same fields; GeoJSON in WGS 84 by default.
    On request, a table with counts and areas.

    Tip: run it as a batch, with one threshold after the other, and lay the results over the
    picture.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "COUNT": "Number of polygons",
        "AREA_M2": "Area of all polygons (m²)",
    }

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            raster("PROBABILITIES", "Probabilities"),
            *shaping(),
            vector_output("OUTPUT", "Polygons"),
            table_output("OUTPUT_STATISTICS", "Statistics", optional=True, created=False),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> PolygonizeJob:
        """Return what the engine is asked to do."""
        return PolygonizeJob(
            probabilities=inputs.raster("PROBABILITIES"),
            threshold=inputs.optional_number("THRESHOLD"),
            min_area=inputs.number("MIN_AREA"),
            simplify_px=inputs.number("SIMPLIFY"),
            outlines=inputs.choice("OUTLINES"),
            output=destinations.path("OUTPUT", inputs.polygon_extension),
            output_statistics=destinations.optional_path("OUTPUT_STATISTICS"),
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:
        """Return the categories' colours, as the model knows them."""
        return {"OUTPUT": category_style(values)}
