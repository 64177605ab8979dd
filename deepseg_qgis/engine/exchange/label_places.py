"""Label rasters and masks with the rasters that they belong to: chosen, or by file name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from affine import Affine

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.imported import Place
from deepseg_qgis.engine.exchange.mask_sets import MaskPart, parts_of
from deepseg_qgis.engine.exchange.pairing import Pairs, paired
from deepseg_qgis.engine.exchange.scales import scale_of
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.local_crs import are_comparable
from deepseg_qgis.errors import ParameterError, RasterError, VectorError, counted
from deepseg_qgis.jobs import ImportAnnotationsJob, RasterSource

PICTURES = (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg", ".webp", ".gif", ".jp2", ".img")


@dataclass(frozen=True)
class Label:
    """A label raster or mask, and the raster that it belongs to (itself if it is one).

    ``category`` is that of a mask of a part of it, ``number`` that of an object.
    """

    source: RasterSource
    place: Place
    category: str = ""
    number: int | None = None


def labels_of(job: ImportAnnotationsJob, places: Sequence[Place], control: Control) -> list[Label]:
    """Return the label rasters with what they belong to.

    Raises:
        DeepSegError: there are none, or they fit no raster.
    """
    files = [job.annotations] if job.format == "label_raster" else _pictures(job.annotations)
    sources = [RasterSource(file, "", os.path.basename(file)) for file in files]
    if job.format == "label_raster" and len(places) == 1:
        return [_paired(Place.of(sources[0]), sources[0], places[0], control)]
    if not places:
        return [Label(source, _own_place(source)) for source in sources]
    pairs = paired(enumerate(files), [place.path for place in places])
    parts = _mask_parts(job, files, places, pairs, control)
    if parts:
        alone = ((i, file) for i, file in enumerate(files) if i not in parts)
        pairs = paired(alone, [place.path for place in places])
    raster_of = pairs.raster_of | {i: part.raster for i, part in parts.items()}
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
            label = _paired(Place.of(sources[i]), sources[i], places[number], control)
            if i in parts:
                label = replace(label, category=parts[i].category, number=parts[i].number)
            labels.append(label)
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


def _mask_parts(
    job: ImportAnnotationsJob,
    files: Sequence[str],
    places: Sequence[Place],
    pairs: Pairs,
    control: Control,
) -> dict[int, MaskPart]:
    """Return the masks of which a raster has several, where their values may be on and off."""
    if job.values not in ("auto", "binary"):
        return {}
    clear = {i: number for i, number in pairs.raster_of.items() if i not in pairs.guesses}
    free = {i: place.path for i, place in enumerate(places) if i not in clear.values()}
    parts = parts_of({i: file for i, file in enumerate(files) if i not in clear}, free)
    if parts:
        first = min(parts)
        part = parts[first]
        what = f"category '{part.category}'" if part.category else f"object {part.number}"
        control.warn(
            "Several masks for a raster are taken for its categories or objects: "
            f"{counted(len(parts), 'mask')} ({os.path.basename(files[first])} is {what} of "
            f"{places[part.raster].name}, …)."
        )
    return parts


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


def _paired(own: Place, source: RasterSource, other: Place, control: Control) -> Label:
    """Return a label raster where its raster lies; a georeference of its own counts first.

    Raises:
        RasterError: it is no picture of the raster's ground, and has no georeference.
    """
    crs = own.grid.crs
    if crs is not None and (other.grid.crs is None or are_comparable(crs, other.grid.crs)):
        return Label(source, Place(own.path, other.name, own.grid))
    size = (own.grid.width, own.grid.height)
    scale = scale_of(size, (other.grid.width, other.grid.height))
    if scale == (1.0, 1.0):
        return Label(source, other)
    if scale is not None:
        control.warn(
            f"{source.name} has {size[0]:,} × {size[1]:,} px, {other.name} "
            f"{other.grid.width:,} × {other.grid.height:,} px: it is scaled to the raster."
        )
        grid = Grid(*size, other.grid.transform @ Affine.scale(*scale), other.grid.crs)
        return Label(source, Place(other.path, other.name, grid))
    raise RasterError(
        f"{source.name} has {own.grid.width:,} × {own.grid.height:,} px, {other.name} "
        f"{other.grid.width:,} × {other.grid.height:,} px. Expected the same size."
    )
