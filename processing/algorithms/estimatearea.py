"""The algorithm ``deepseg:estimatearea``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm
from deepseg_qgis.processing.algorithms.evaluate import JSON_FILES
from deepseg_qgis.processing.algorithms.map_parameters import category_map, strata_field
from deepseg_qgis.processing.algorithms.parameters import (
    WEB_PAGES,
    Definition,
    Parameters,
    advanced,
    area_of_interest,
    file_output,
    table_output,
)
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsVectorLayer,
)

from deepseg_qgis.jobs import CATEGORY_FIELD, MAP_FIELD, REFERENCE_FIELD, EstimateAreaJob


class EstimateArea(EngineAlgorithm):
    """Estimate areas from a sample."""

    ID = "estimatearea"
    TITLE = "Area with confidence"
    GROUP = "Evaluate"
    SUMMARY = "Area of each category with its 95 % interval, from a sample filled in"
    TAGS = (
        "area estimation,confidence interval,accuracy,user's accuracy,producer's accuracy,"
        "error matrix,confusion matrix,Olofsson,stratified,hectares,report"
    )
    HELP = """
    Tells how large the ground of each category really is, with a 95 % interval, and how accurate
    the map is. The area of a map is biased by the map's errors; this one is corrected for them.

    What it needs: the points of 'Sampling design', each with a category in 'reference_category'.
    The points know the ground of the map's categories. With points from another program, choose
    the map they were drawn from, at random within each of its categories, and the fields.

    What you get: a table with area, standard error and interval (in m² and hectares), user's and
    producer's accuracy for each category; a page with the error matrix; on request JSON. The
    formulas are those of Olofsson et al. (2014). Beside the paper's ± 1.96 standard errors there is
    an interval that also holds the truth where errors are rare.

    Tip: do not leave points out that are hard to judge: look closer, or ask somebody who knows the
    place. Leaving them out makes the map look better than it is.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "COUNT": "Number of points",
        "OVERALL_ACCURACY": "Overall accuracy (share of the ground)",
    }

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            QgsProcessingParameterFeatureSource(
                "INPUT", "Sample, filled in", [QgsProcessing.SourceType.TypeVectorPoint]
            ),
            advanced(_field("MAP_FIELD", "Field with the map's category", MAP_FIELD)),
            advanced(_field("REFERENCE_FIELD", "Field with what is there", REFERENCE_FIELD)),
            advanced(
                category_map("MAP", "Map (empty = as the sample has its areas)", optional=True)
            ),
            advanced(strata_field("MAP")),
            advanced(area_of_interest("of the map (empty = all of it)")),
            table_output("OUTPUT", "Areas"),
            file_output("OUTPUT_JSON", "Areas as JSON", JSON_FILES, created=False),
            file_output("OUTPUT_HTML", "Report", WEB_PAGES),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> EstimateAreaJob:
        """Return what the engine is asked to do."""
        return EstimateAreaJob(
            sample=inputs.sample("INPUT"),
            map_raster=inputs.optional_raster("MAP"),
            map_polygons=inputs.optional_polygons("MAP"),
            aoi=inputs.optional_polygons("AOI"),
            output=destinations.path("OUTPUT"),
            output_json=destinations.optional_path("OUTPUT_JSON"),
            output_html=destinations.optional_path("OUTPUT_HTML"),
        )

    def default_category_field(self, layer: QgsVectorLayer | None) -> str | None:
        """Return the field that DeepSeg's own layers have, if this one has it."""
        has_it = layer is not None and layer.fields().lookupField(CATEGORY_FIELD) >= 0
        return CATEGORY_FIELD if has_it else None


def _field(name: str, label: str, default: str) -> Definition:
    return QgsProcessingParameterField(
        name,
        f"{label} (empty = '{default}')",
        default,
        "INPUT",
        QgsProcessingParameterField.DataType.Any,
        False,
        True,
    )
