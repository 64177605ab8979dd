"""Annotations of other programs, read in any format, as polygons over their rasters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.category_text import clean_name
from deepseg_qgis.engine.exchange.coco.annotations import read_annotations
from deepseg_qgis.engine.exchange.coco.index import read_index
from deepseg_qgis.engine.exchange.import_summary import ImportSummary
from deepseg_qgis.engine.exchange.imported_polygons import (
    ImportedPolygons,
    PolygonBatch,
    TargetRaster,
)
from deepseg_qgis.engine.exchange.label_rasters.matching import MatchedLabel, match_labels
from deepseg_qgis.engine.exchange.label_rasters.meanings import LabelMeanings, interpret
from deepseg_qgis.engine.exchange.label_rasters.polygons import label_polygons
from deepseg_qgis.engine.exchange.label_rasters.survey import LabelSurvey, survey
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.errors import ParameterError
from deepseg_qgis.jobs import ImportAnnotationsJob

SURVEY_SHARE = 0.4
"""The first part of the work on label rasters, as a share of the progress bar."""


def read_polygons(
    job: ImportAnnotationsJob,
    targets: Sequence[TargetRaster],
    summary: ImportSummary,
    control: Control,
) -> ImportedPolygons:
    """Return the polygons of a job's annotations; what is to be said of them goes to ``summary``.

    Raises:
        DeepSegError: the format is unknown, or the annotations or rasters cannot be used.
    """
    if job.format == "coco":
        return _coco_polygons(job, targets, summary, control)
    if job.format in ("label_raster", "mask_folder"):
        return _label_polygons(job, targets, summary, control)
    raise ParameterError(f"Expected a format that DeepSeg reads, got {job.format!r}.")


def _coco_polygons(
    job: ImportAnnotationsJob,
    targets: Sequence[TargetRaster],
    summary: ImportSummary,
    control: Control,
) -> ImportedPolygons:
    if not targets:
        raise ParameterError(
            "COCO annotations are in pixels of their images. Choose the rasters that they are of."
        )
    index = read_index(job.annotations, targets, control)
    used = {image.target.path: image.target for image in index.images.values()}
    summary.colours.update(index.colours)
    batches = read_annotations(job.annotations, index, summary, control, _default_category(job))
    return ImportedPolygons(list(used.values()), batches)


def _label_polygons(
    job: ImportAnnotationsJob,
    targets: Sequence[TargetRaster],
    summary: ImportSummary,
    control: Control,
) -> ImportedPolygons:
    labels = match_labels(job, targets, control)
    surveys = _surveys(labels, control.part(0.0, SURVEY_SHARE))
    default = _default_category(job)
    categories = [label.category or default for label in labels]
    meanings = interpret(surveys, job.values, categories, control)
    for name, colour in meanings.colours.items():
        summary.colours.setdefault(name, colour)
    batches = _label_batches(labels, meanings, control.part(SURVEY_SHARE, 1.0))
    return ImportedPolygons([label.target for label in labels], batches)


def _default_category(job: ImportAnnotationsJob) -> str:
    return job.category or clean_name(Path(job.annotations).stem) or "object"


def _surveys(labels: Sequence[MatchedLabel], control: Control) -> list[LabelSurvey]:
    surveys = []
    for number, label in enumerate(labels):
        share = control.step(number, len(labels))
        with Raster(label.source, stored=True) as raster:
            surveys.append(survey(raster, share))
    return surveys


def _label_batches(
    labels: Sequence[MatchedLabel], meanings: LabelMeanings, control: Control
) -> Iterator[PolygonBatch]:
    first_ids = _first_ids(labels)
    for number, label in enumerate(labels):
        share = control.step(number, len(labels))
        codes, meaning = meanings.codes[number], meanings.meanings[number]
        object_number = label.object_number if len(codes.codes) == 1 else None
        if object_number is not None:  # all that is set is one object
            meaning = meaning.of_one_object(int(codes.codes[0]))
        with Raster(label.source, stored=True) as raster:
            for batch in label_polygons(raster, codes, meaning, label.target, share):
                yield batch.renumbered(first_ids[number], object_number)


def _first_ids(labels: Sequence[MatchedLabel]) -> list[int]:
    """Return what to add to the ids of each label raster, so that they differ within a raster."""
    used: Counter[str] = Counter()
    result = []
    for label in labels:
        result.append(used[label.target.name])
        used[label.target.name] += label.target.grid.width * label.target.grid.height
    return result
