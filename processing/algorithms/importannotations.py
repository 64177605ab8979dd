"""The algorithm ``deepseg:importannotations``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deepseg_qgis.processing.algorithms.engine_algorithm import EngineAlgorithm, Styles
from deepseg_qgis.processing.algorithms.parameters import (
    Parameters,
    choice,
    file,
    folder,
    rasters,
    text,
)
from deepseg_qgis.processing.algorithms.vector_destinations import GeoPackageOutput
from deepseg_qgis.processing.layers.colours import with_palette
from deepseg_qgis.processing.layers.destinations import Destinations
from deepseg_qgis.processing.layers.inputs import Inputs
from deepseg_qgis.processing.layers.styles import AnnotationStyle

from deepseg_qgis.choices import IMPORT_FORMATS, VALUE_MEANINGS
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import ImportAnnotationsJob

MOST_STYLED = 256
"""With more categories than these a legend helps nobody."""


class ImportAnnotations(EngineAlgorithm):
    """Turn annotations of other programs into polygons."""

    ID = "importannotations"
    TITLE = "Import annotations"
    GROUP = "Prepare"
    SUMMARY = "Polygons from COCO JSON, label rasters or a folder of masks"
    TAGS = "COCO,label,labels,mask,ground truth,training data,dataset,convert"
    HELP = """
    Turns annotations that other programs made into a polygon layer on the map, to look at, to
    correct and to train on.

    coco: a COCO JSON file with polygons, masks (RLE, compressed or not) or boxes. Its images are
    matched with the rasters by file name, whatever folder and extension, and by size; hashes and
    encodings that annotation programs put into names are undone.

    label_raster: one raster whose values are categories or objects; 0 and no-data are
    background, negative values and a lone 255 above small numbers are void. Names and colours come
    from its attribute table, category names or colour table where it has them. It needs no other
    raster where it is georeferenced itself.

    mask_folder: a folder with a mask for each raster, of the same name and size ('scene.png' or
    'scene_mask.png' for 'scene.tif').

    Values of label rasters and masks: 'binary', whatever is not 0 is of one category;
    'categories', each value is one; 'objects', each value is the number of one object. 'auto'
    takes a single value without a name for binary, up to 254 values for categories, more for
    objects; the log says which.

    What comes out: polygons along the pixels' edges (COCO polygons as they are), with 'category',
    'source' (the raster) and 'id'; 'iscrowd' is 1 where COCO has one outline for many objects.

    Tip: what could not be used is counted in the log. Look there first when polygons are missing.
    """
    NUMBER_OUTPUTS: ClassVar[Mapping[str, str]] = {"COUNT": "Number of polygons"}

    def parameters(self) -> Parameters:
        """Return the parameters, in the order of the dialog."""
        return [
            choice("FORMAT", "Format", IMPORT_FORMATS, "coco"),
            file("ANNOTATION_FILE", "COCO JSON file or label raster", optional=True),
            folder("MASK_FOLDER", "Folder of masks (for mask_folder)", optional=True),
            rasters("Rasters that were annotated (a georeferenced label raster needs none)", True),
            choice("VALUES", "Values of label rasters and masks", VALUE_MEANINGS, "auto"),
            text("CATEGORY", "Category of binary masks and of objects (empty: the file's name)"),
            GeoPackageOutput("OUTPUT", "Annotations"),
        ]

    def job(self, inputs: Inputs, destinations: Destinations) -> ImportAnnotationsJob:
        """Return what the engine is asked to do."""
        chosen = inputs.choice("FORMAT")
        return ImportAnnotationsJob(
            rasters=inputs.optional_rasters(),
            format=chosen,
            annotations=_annotations(chosen, inputs),
            values=inputs.choice("VALUES"),
            category=inputs.optional_text("CATEGORY"),
            output=destinations.path("OUTPUT"),
        )

    def styles(self, values: Mapping[str, Any]) -> Styles:
        """Return how to draw the polygons: in the file's own colours as far as it has them."""
        entries = values.get("categories", [])[:MOST_STYLED]
        known = {entry["name"]: entry["colour"] for entry in entries if entry["colour"]}
        colours = with_palette([entry["name"] for entry in entries], known)
        return {"OUTPUT": AnnotationStyle(colours) if colours else None}


def _annotations(chosen: str, inputs: Inputs) -> str:
    """Return the file or folder that the format needs.

    Raises:
        ParameterError: it was not chosen.
    """
    masks = chosen == "mask_folder"
    path = inputs.optional_file("MASK_FOLDER" if masks else "ANNOTATION_FILE")
    if path is None:
        what = "a folder of masks" if masks else "a file of annotations"
        raise ParameterError(f"The format {chosen} needs {what}, found none. Choose one.")
    return path
