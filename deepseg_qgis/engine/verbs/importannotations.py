"""The verb ``importannotations``: annotations of other programs as polygons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affine import Affine

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange import coco, coco_tables, label_naming, label_rasters
from deepseg_qgis.engine.exchange.imported import Piece, Place, Tally, clean_name, write
from deepseg_qgis.engine.exchange.pairing import paired
from deepseg_qgis.engine.exchange.scales import scale_of
from deepseg_qgis.engine.files.outputs import Outputs
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.local_crs import are_comparable
from deepseg_qgis.errors import ParameterError, RasterError, VectorError, counted
from deepseg_qgis.jobs import ImportAnnotationsJob, RasterSource

PICTURES = (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg", ".webp", ".gif", ".jp2", ".img")
SURVEY_SHARE = 0.4
"""The first part of the work on label rasters, as a share of the progress bar."""


def run(job: ImportAnnotationsJob, control: Control) -> dict[str, Any]:
    """Write the polygons; return ``output``, ``count`` and the ``categories`` with known colours.

    Raises:
        DeepSegError: something cannot be used, or the user stopped; nothing is written then.
    """
    tally = Tally()
    with Outputs(control, job) as outputs:
        path = outputs.path(job.output)
        places = [Place.of(source) for source in job.rasters]
        if job.format == "coco":
            _write_coco(job, path, places, tally, control)
        elif job.format in ("label_raster", "mask_folder"):
            _write_labels(job, path, places, tally, control)
        else:
            raise ParameterError(f"Expected a format that DeepSeg reads, got {job.format!r}.")
        tally.tell(control)
        if tally.count == 0:
            _tell_nothing(job, tally, control)
    counts = ", ".join(f"{name} {count:,}" for name, count in tally.categories.most_common(20))
    if counts:
        more = ", …" * (len(tally.categories) > 20)
        control.log(f"{counted(tally.count, 'polygon')}: {counts}{more}.")
    return {
        "output": job.output,
        "count": tally.count,
        "categories": [
            {"name": name, "colour": tally.colours.get(name, "")}
            for name in sorted(tally.categories)
        ],
    }


def _tell_nothing(job: ImportAnnotationsJob, tally: Tally, control: Control) -> None:
    """Warn that the layer is empty.

    Raises:
        VectorError: there was something, and none of it could be used.
    """
    if tally.left_out.keys() - {coco.ELSEWHERE}:
        raise VectorError(
            f"No polygon was found in {job.annotations}. Check that the file, its format and "
            "the rasters belong together; the log says what was left out."
        )
    control.warn(
        f"{job.annotations} has nothing annotated on these rasters: the layer is empty. Check that "
        "the file, its format and the rasters belong together if you expected polygons."
    )


def _write_coco(
    job: ImportAnnotationsJob, path: str, places: Sequence[Place], tally: Tally, control: Control
) -> None:
    if not places:
        raise ParameterError(
            "COCO annotations are in pixels of their images. Choose the rasters that they are of."
        )
    tables = coco_tables.read_tables(job.annotations, places, control)
    used = list({image.place.path: image.place for image in tables.images.values()}.values())
    tally.colours.update(tables.colours)
    category = _plain_category(job)
    pieces = coco.read_annotations(job.annotations, tables, tally, control, category)
    write(path, pieces, used, tally, control)


def _plain_category(job: ImportAnnotationsJob) -> str:
    return job.category or clean_name(Path(job.annotations).stem) or "object"


@dataclass(frozen=True)
class _Label:
    """A label raster or mask, and the raster that it belongs to (itself if it is one)."""

    source: RasterSource
    place: Place


def _write_labels(
    job: ImportAnnotationsJob, path: str, places: Sequence[Place], tally: Tally, control: Control
) -> None:
    labels = _labels(job, places, control)
    surveyed = []
    for number, label in enumerate(labels):
        start, end = number / len(labels), (number + 1) / len(labels)
        with Raster(label.source, stored=True) as raster:
            share = control.part(SURVEY_SHARE * start, SURVEY_SHARE * end)
            surveyed.append(label_naming.survey(raster, share))
    naming = label_naming.named(surveyed, job.values, _plain_category(job), control)
    for name, colour in naming.colours.items():
        tally.colours.setdefault(name, colour)

    def pieces() -> Iterator[Piece]:
        rest = control.part(SURVEY_SHARE, 1.0)
        for number, label in enumerate(labels):
            share = rest.part(number / len(labels), (number + 1) / len(labels))
            found, names = naming.found[number], naming.namings[number]
            with Raster(label.source, stored=True) as raster:
                yield from label_rasters.outlined(raster, found, names, label.place, share)

    write(path, pieces(), [label.place for label in labels], tally, control)


def _labels(job: ImportAnnotationsJob, places: Sequence[Place], control: Control) -> list[_Label]:
    """Return the label rasters with what they belong to.

    Raises:
        DeepSegError: there are none, or they fit no raster.
    """
    files = [job.annotations] if job.format == "label_raster" else _pictures(job.annotations)
    sources = [RasterSource(file, "", os.path.basename(file)) for file in files]
    if job.format == "label_raster" and len(places) == 1:
        return [_paired(Place.of(sources[0]), sources[0], places[0], control)]
    if not places:
        return [_Label(source, _own_place(source)) for source in sources]
    pairs = paired(enumerate(files), [place.path for place in places])
    raster_of = pairs.raster_of
    if not raster_of and len(files) == len(places) == 1:
        raster_of = {0: 0}
        control.warn(
            f"The only mask, {sources[0].name}, is taken for {places[0].name}, though it has "
            "another name. Check on the map that the polygons fit."
        )
    else:
        pairs.tell(control, "file", "of the folder")
    labels = []
    for i, number in sorted(raster_of.items()):
        try:
            labels.append(_paired(Place.of(sources[i]), sources[i], places[number], control))
        except RasterError as error:
            control.warn(f"Left out: {error}")
    if not labels:
        masks = ", ".join(map(os.path.basename, files[:3])) + ", …" * (len(files) > 3)
        raise VectorError(
            f"None of the masks ({counted(len(files), 'file')}: {masks}) fits one of the rasters "
            f"({', '.join(place.name for place in places[:3])}). Expected masks with the rasters' "
            "file names, whatever their extension, and with their sizes. Rename the masks, or "
            "choose the rasters that they belong to."
        )
    return labels


def _pictures(folder: str) -> list[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ParameterError(
            f"{folder} could not be read as a folder ({error.strerror}). Choose the folder that "
            "holds the masks."
        ) from error
    found = [
        entry.path
        for entry in entries
        if entry.name.lower().endswith(PICTURES) and not entry.name.startswith(".")
    ]
    if not found:
        raise ParameterError(
            f"{folder} holds no pictures ({', '.join(PICTURES)}). Choose the folder of the masks."
        )
    return found


def _own_place(source: RasterSource) -> Place:
    place = Place.of(source)
    if place.grid.crs is None:
        raise ParameterError(
            f"{source.name} does not say where on the ground it lies. Choose the raster that it "
            "belongs to, or assign its CRS in QGIS and save it again."
        )
    return place


def _paired(own: Place, source: RasterSource, other: Place, control: Control) -> _Label:
    """Return a label raster where its raster lies; a georeference of its own counts first.

    Raises:
        RasterError: it is no picture of the raster's ground, and has no georeference.
    """
    crs = own.grid.crs
    if crs is not None and (other.grid.crs is None or are_comparable(crs, other.grid.crs)):
        return _Label(source, Place(own.path, other.name, own.grid))
    size = (own.grid.width, own.grid.height)
    scale = scale_of(size, (other.grid.width, other.grid.height))
    if scale == (1.0, 1.0):
        return _Label(source, other)
    if scale is not None:
        control.warn(
            f"{source.name} has {size[0]:,} × {size[1]:,} px, {other.name} "
            f"{other.grid.width:,} × {other.grid.height:,} px: it is scaled to the raster."
        )
        grid = Grid(*size, other.grid.transform @ Affine.scale(*scale), other.grid.crs)
        return _Label(source, Place(other.path, other.name, grid))
    raise RasterError(
        f"{source.name} has {own.grid.width:,} × {own.grid.height:,} px, {other.name} "
        f"{other.grid.width:,} × {other.grid.height:,} px. Expected the same size."
    )
