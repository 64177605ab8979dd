"""The algorithm ``deepseg:sampledesign``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.map_parameters import category_map, strata_field
from deepseg_qgis.processing.algorithms.parameters import (
    Parameters,
    advanced,
    area_of_interest,
    number,
    text,
    whole_number,
)
from deepseg_qgis.processing.algorithms.vector_destinations import SampleOutput
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.sample_points import check_unfilled
from deepseg_qgis.processing.layers.styles import sample_style
from qgis.core import QgsVectorLayer

from deepseg_qgis import bounds
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import CATEGORY_FIELD, SampleDesignJob


class SampleDesign(EngineAlgorithm):
    """Draw a sample of places on a map."""

    ID = "sampledesign"
    TITLE = "Sampling design"
    GROUP = "Evaluate"
    SUMMARY = "Random points on a map, to say what is really there"
    TAGS = (
        "sample size,stratified,random points,reference,accuracy,area estimation,Olofsson,"
        "validation,design"
    )
    HELP = """
    Draws random points on a map of categories, so many that its accuracy and areas can be
    published with an interval.

    What it needs: the classes that 'Predict' wrote (OUTPUT_CLASSES) or another raster of classes,
    or a layer of polygons; with polygons, choose the area that was mapped, and what lies around
    them there counts as background. Without a sample size, DeepSeg advises one: enough points to
    know the overall accuracy to within the half width, if the map is as good as you expect.

    What you get: a GeoPackage of points in random order, each category with at least the number
    of points you ask for. Go through them: look at each place in the best picture you have, or go
    there, and choose from the list in 'reference_category' what is there. The form does not show
    what the map says, so that it does not sway you. Then run 'Area with confidence'. A sample that
    you began to fill in is never overwritten.

    Points are drawn by true ground, whatever the CRS. On rasters a point is the centre of a pixel,
    and stands for it.

    Tip: rare categories need the points most. An overlooked one in a large background makes wide
    intervals; a larger sample is the remedy.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "COUNT": "Number of points",
        "HALF_WIDTH": "Expected half width of the overall accuracy's 95 % interval",
    }

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            category_map("INPUT", "Map: raster of classes, or polygons"),
            strata_field("INPUT"),
            area_of_interest("the map (empty = all of the raster, or around the polygons)"),
            number(
                "TARGET",
                "Wanted half width of the overall accuracy's 95 % interval (0.05 = ± 5 %)",
                0.05,
                bounds.HALF_WIDTH,
            ),
            number(
                "EXPECTED_ACCURACY",
                "Expected user's accuracy (share of each category on the map that is right)",
                0.8,
                bounds.EXPECTED_ACCURACY,
            ),
            advanced(
                text(
                    "EXPECTED_ACCURACIES",
                    "Other expectations, comma-separated, e.g. building=0.9, background=0.98",
                )
            ),
            whole_number(
                "SAMPLE_SIZE", "Number of points (empty = advised)", None, bounds.SAMPLE_SIZE
            ),
            advanced(
                whole_number(
                    "MIN_POINTS",
                    "Minimum number of points for each category",
                    50,
                    bounds.STRATUM_POINTS,
                )
            ),
            advanced(whole_number("SEED", "Random seed", 1, bounds.SEED)),
            SampleOutput("OUTPUT", "Sample"),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> SampleDesignJob:
        """Return what the engine is asked to do."""
        output = destinations.path("OUTPUT")
        check_unfilled(output)
        return SampleDesignJob(
            map_raster=inputs.optional_raster("INPUT"),
            map_polygons=inputs.optional_polygons("INPUT"),
            aoi=inputs.optional_polygons("AOI"),
            target=inputs.number("TARGET"),
            expected_accuracy=inputs.number("EXPECTED_ACCURACY"),
            expected_accuracies=named_numbers(inputs.texts("EXPECTED_ACCURACIES")),
            sample_size=inputs.optional_whole("SAMPLE_SIZE"),
            min_points=inputs.whole("MIN_POINTS"),
            seed=inputs.whole("SEED"),
            output=output,
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:
        """Return points to be filled in, with the map's categories in a list."""
        return {"OUTPUT": sample_style(values)}

    def default_category_field(self, layer: QgsVectorLayer | None) -> str | None:
        """Return the field that DeepSeg's own layers have, if this one has it."""
        has_it = layer is not None and layer.fields().lookupField(CATEGORY_FIELD) >= 0
        return CATEGORY_FIELD if has_it else None


def named_numbers(entries: tuple[str, ...]) -> dict[str, float]:
    """Return the numbers of entries such as 'building=0.9'.

    Raises:
        ParameterError: an entry is none such.
    """
    found: dict[str, float] = {}
    for entry in entries:
        name, _, value = entry.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            name = ""
        if not name.strip():
            raise ParameterError(
                f"Other expectations: expected entries like building=0.9, found '{entry}'."
            )
    return found
