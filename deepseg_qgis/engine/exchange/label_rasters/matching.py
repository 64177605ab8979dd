"""Label rasters and masks with the rasters that they belong to: chosen, or by file name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from affine import Affine

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.image_scale import scale_of
from deepseg_qgis.engine.exchange.imported_polygons import TargetRaster
from deepseg_qgis.engine.exchange.label_rasters.part_masks import PartMask, part_masks
from deepseg_qgis.engine.exchange.raster_matching import RasterMatches, match_rasters
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.geometry.local_crs import are_comparable
from deepseg_qgis.errors import ParameterError, RasterError, VectorError, counted
from deepseg_qgis.jobs import ImportAnnotationsJob, RasterSource

PICTURES = (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg", ".webp", ".gif", ".jp2", ".img")


@dataclass(frozen=True)
class MatchedLabel:
    """A label raster or mask, and the raster that it belongs to (itself if it is one).

    ``category`` is that of a mask of a part of it, ``object_number`` that of an object.
    """

    source: RasterSource
    target: TargetRaster
    category: str = ""
    object_number: int | None = None


def match_labels(
    job: ImportAnnotationsJob, targets: Sequence[TargetRaster], control: Control
) -> list[MatchedLabel]:
    """Return the label rasters with what they belong to.

    Raises:
        DeepSegError: there are none, or they fit no raster.
    """
    files = [job.annotations] if job.format == "label_raster" else _pictures(job.annotations)
    sources = [RasterSource(file, "", os.path.basename(file)) for file in files]
    if job.format == "label_raster" and len(targets) == 1:
        return [_placed(sources[0], targets[0], control)]
    if not targets:
        return [MatchedLabel(source, _own_place(source)) for source in sources]
    masks = _match_masks(files, targets, job.values, control)
    labels = []
    for source, mask in zip(sources, masks, strict=True):
        if mask is not None:
            try:
                label = _placed(source, targets[mask.raster], control)
            except RasterError as error:
                control.warn(f"Left out: {error}")
            else:
                labels.append(replace(label, category=mask.category, object_number=mask.number))
    if not labels:
        raise _none_fits(files, targets)
    return labels


def _match_masks(
    files: Sequence[str], targets: Sequence[TargetRaster], values: str, control: Control
) -> list[PartMask | None]:
    """Return the target of each file, and what part of it the file shows; None where it has none.

    Where values may be on and off, masks are parts of a raster that has several.
    """
    paths = [target.path for target in targets]
    matches = match_rasters(enumerate(files), paths)
    parts: dict[int, PartMask] = {}
    if values in ("auto", "binary"):
        parts = _parts_of_targets(files, targets, matches, control)
    if parts:
        alone = ((i, file) for i, file in enumerate(files) if i not in parts)
        matches = match_rasters(alone, paths)
    masks = parts | {i: PartMask(raster, "", None) for i, raster in matches.raster_of.items()}
    if not masks and len(files) == len(targets) == 1:
        control.warn(
            f"The only mask, {os.path.basename(files[0])}, is taken for {targets[0].name}, though "
            "it has another name. Check on the map that the polygons fit."
        )
        return [PartMask(0, "", None)]
    matches.log(control, "file", "of the folder")
    return [masks.get(i) for i in range(len(files))]


def _parts_of_targets(
    files: Sequence[str],
    targets: Sequence[TargetRaster],
    matches: RasterMatches,
    control: Control,
) -> dict[int, PartMask]:
    """Return the masks (by number) of which a raster has several, and what they show of it."""
    guessed = matches.guessed_numbers
    clear = {i: raster for i, raster in matches.raster_of.items() if i not in guessed}
    free = {i: target.path for i, target in enumerate(targets) if i not in clear.values()}
    parts = part_masks({i: file for i, file in enumerate(files) if i not in clear}, free)
    if parts:
        first = min(parts)
        part = parts[first]
        what = f"category '{part.category}'" if part.category else f"object {part.number}"
        control.warn(
            "Several masks for a raster are taken for its categories or objects: "
            f"{counted(len(parts), 'mask')} ({os.path.basename(files[first])} is {what} of "
            f"{targets[part.raster].name}, …)."
        )
    return parts


def _none_fits(files: Sequence[str], targets: Sequence[TargetRaster]) -> VectorError:
    masks = ", ".join(map(os.path.basename, files[:3])) + ", …" * (len(files) > 3)
    rasters = ", ".join(target.name for target in targets[:3])
    return VectorError(
        f"None of the masks ({counted(len(files), 'file')}: {masks}) fits one of the rasters "
        f"({rasters}). Expected masks with the rasters' file names, whatever their extension, and "
        "with their sizes. Rename the masks, or choose the rasters that they belong to."
    )


def _pictures(folder: str) -> list[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ParameterError(
            f"{folder} could not be read as a folder ({error.strerror}). Choose the folder that "
            "holds the masks."
        ) from error
    pictures = [
        entry.path
        for entry in entries
        if entry.name.lower().endswith(PICTURES) and not entry.name.startswith(".")
    ]
    if not pictures:
        raise ParameterError(
            f"{folder} holds no pictures ({', '.join(PICTURES)}). Choose the folder of the masks."
        )
    return pictures


def _own_place(source: RasterSource) -> TargetRaster:
    target = TargetRaster.of(source)
    if target.grid.crs is None:
        raise ParameterError(
            f"{source.name} does not say where on the ground it lies. Choose the raster that it "
            "belongs to, or assign its CRS in QGIS and save it again."
        )
    return target


def _placed(source: RasterSource, raster: TargetRaster, control: Control) -> MatchedLabel:
    """Return a label raster where its raster lies; a georeference of its own counts first.

    Raises:
        RasterError: it is no picture of the raster's ground, and has no georeference.
    """
    label, crs = TargetRaster.of(source), raster.grid.crs
    own_crs = label.grid.crs
    if own_crs is not None and (crs is None or are_comparable(own_crs, crs)):
        return MatchedLabel(source, TargetRaster(label.path, raster.name, label.grid))
    scale = scale_of(label.size, raster.size)
    if scale == (1.0, 1.0):
        return MatchedLabel(source, raster)
    (width, height), (raster_width, raster_height) = label.size, raster.size
    sizes = (
        f"{source.name} has {width:,} × {height:,} px, {raster.name} {raster_width:,} × "
        f"{raster_height:,} px"
    )
    if scale is None:
        raise RasterError(f"{sizes}. Expected the same size.")
    control.warn(f"{sizes}: it is scaled to the raster.")
    grid = Grid(width, height, raster.grid.transform @ Affine.scale(*scale), crs)
    return MatchedLabel(source, TargetRaster(raster.path, raster.name, grid))
