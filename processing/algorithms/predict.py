"""The algorithm ``deepseg:predict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deepseg_qgis.processing.algorithms.algorithm import OBJECT_TAGS
from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.parameters import (
    COCO_FILES,
    Parameters,
    advanced,
    area_of_interest,
    choice,
    device,
    file_output,
    flag,
    model,
    raster_output,
    rasters,
    shaping,
    table_output,
    vector_output,
    whole_number,
)
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.styles import category_style, class_colours
from qgis.core import QgsProcessingParameterExtent

from deepseg_qgis import bounds
from deepseg_qgis.choices import PRECISIONS
from deepseg_qgis.jobs import PredictJob


class Predict(EngineAlgorithm):
    """Find polygons with a model."""

    ID = "predict"
    TITLE = "Predict"
    GROUP = "Predict"
    SUMMARY = "Find polygons on rasters with a trained model"
    TAGS = (
        "detect,detection,extract,classify,classification,find,recognise,inference,apply model,"
        f"model,count,{OBJECT_TAGS}"
    )
    HELP = """
    Applies a model to rasters and writes what it finds as polygons.

    Tiles are read with overlap and stitched, so that an object is one polygon however the tiles
    lie. Each polygon carries its 'category', a 'score' (mean probability, or certainty where
    objects are told apart), its exact size in pixels, its area in m² and perimeter in m on the
    ellipsoid, and its raster. Whether touching objects are told apart is up to the model: see
    the task of 'Train a model'.

    What it needs: a model of 'Train a model', and rasters with the same bands. An area of
    interest or an extent limits the work. Rasters whose pixels are more than 1.5 times smaller or
    larger than those the model was trained on are brought to its resolution first. Neighbouring
    rasters of one CRS and resolution can be taken for one picture (a mosaic), so that objects
    across their borders are whole.

    What comes out: GeoJSON in WGS 84 by default; name the file '.gpkg', '.fgb', '.shp' or, where
    this QGIS reads it, '.parquet' for another format in the raster's own CRS. Beyond a million
    polygons GeoJSON is slow to open: take one of the others. On request, a table with counts and
    areas; rasters of classes and of each category's probability; a COCO file with a mask for each
    object.

    Stop keeps what was found up to then, and says which part it covers. A run that was stopped or
    killed continues where it was when it is started again with the same values, unless 'Resume'
    is off.

    Buildings look better with 'Outlines' at right_angles (within 3 px of the pixels' edges), crowns
    and ponds with smooth (within 2 px).

    Tip: too many specks? Raise the smallest area. Too little found? Lower the threshold, or
    annotate where it fails and train again. To try several thresholds, have the probabilities
    written and run 'Polygonize' on them: it takes seconds.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {
        "COUNT": "Number of polygons",
        "AREA_M2": "Area of all polygons (m²)",
    }

    HIDDEN_OUTPUTS: ClassVar[tuple[str, ...]] = ("OUTPUT_PROBABILITIES",)
    """Three of the bands as red, green and blue would say little, and hide the classes."""

    STOP_GRACE_S: ClassVar[float] = 600.0
    """What was found is still outlined, written and indexed."""

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            rasters(),
            model(),
            area_of_interest("where to predict (empty: everywhere)"),
            QgsProcessingParameterExtent(
                "EXTENT", "Extent: where to predict (empty: everywhere)", None, True
            ),
            flag("MOSAIC", "Take the rasters for one picture (mosaic), the first on top", False),
            *shaping(),
            *_computation(),
            vector_output("OUTPUT", "Polygons"),
            raster_output("OUTPUT_CLASSES", "Raster of classes"),
            raster_output("OUTPUT_PROBABILITIES", "Raster of probabilities"),
            file_output("OUTPUT_COCO", "Objects with masks (COCO)", COCO_FILES, created=False),
            table_output("OUTPUT_STATISTICS", "Statistics", optional=True, created=False),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> PredictJob:
        """Return what the engine is asked to do."""
        return PredictJob(
            rasters=inputs.rasters(),
            model=inputs.file("MODEL"),
            aoi=inputs.optional_polygons("AOI"),
            extent=inputs.extent("EXTENT"),
            mosaic=inputs.flag("MOSAIC"),
            threshold=inputs.optional_number("THRESHOLD"),
            tile_size_px=inputs.optional_whole("TILE_SIZE"),
            overlap_px=inputs.optional_whole("OVERLAP"),
            min_area=inputs.number("MIN_AREA"),
            simplify_px=inputs.number("SIMPLIFY"),
            outlines=inputs.choice("OUTLINES"),
            batch_size=inputs.optional_whole("BATCH_SIZE"),
            precision=inputs.choice("PRECISION"),
            device=inputs.choice("DEVICE"),
            resume=inputs.flag("RESUME"),
            output=destinations.path("OUTPUT", inputs.polygon_extension),
            output_classes=destinations.optional_path("OUTPUT_CLASSES"),
            output_probabilities=destinations.optional_path("OUTPUT_PROBABILITIES"),
            output_coco=destinations.optional_path("OUTPUT_COCO"),
            output_statistics=destinations.optional_path("OUTPUT_STATISTICS"),
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:
        """Return the categories' colours, as the model knows them."""
        return {"OUTPUT": category_style(values), "OUTPUT_CLASSES": class_colours(values)}

    def message_when_stopped(self, paths: Mapping[str, str], values: Mapping[str, Any]) -> str:
        """Return which part the result covers."""
        covered = values.get("covered")
        if not covered:
            return "Stop came when everything was predicted already: the result is whole."
        again = "Run it again with the same values to continue." if values.get("resumable") else ""
        return (
            "Prediction was stopped before its end. What was found up to then was kept in "
            f"{', '.join(paths.values())}. It covers {covered} Objects at the edge of that are cut "
            f"there. QGIS opens no results of what was cancelled: open them yourself. {again}"
        )


def _computation() -> Parameters:
    """Return how the model is run, which the model and the computer decide by themselves."""
    tile_size = "Tile size (px, a multiple of 32; empty: by the model)"
    overlap = "Overlap of tiles (px; empty: by tile size)"
    batch_size = "Batch size (tiles; empty: by device)"
    return [
        advanced(whole_number("TILE_SIZE", tile_size, None, bounds.PREDICTION_TILE_SIZE_PX)),
        advanced(whole_number("OVERLAP", overlap, None, bounds.OVERLAP_PX)),
        advanced(whole_number("BATCH_SIZE", batch_size, None, bounds.BATCH_SIZE)),
        advanced(choice("PRECISION", "Precision (auto: fast and safe)", PRECISIONS, "auto")),
        device(),
        advanced(flag("RESUME", "Resume an interrupted run of the same prediction", True)),
    ]
