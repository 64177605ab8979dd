"""The images of a COCO file and the rasters that they are of. Nothing in the file is believed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco.values import Id
from deepseg_qgis.engine.exchange.examples import Examples
from deepseg_qgis.engine.exchange.file_names import normalised
from deepseg_qgis.engine.exchange.image_scale import Size, scale_of
from deepseg_qgis.engine.exchange.imported_polygons import TargetRaster
from deepseg_qgis.engine.exchange.raster_matching import Fit, match_rasters
from deepseg_qgis.errors import VectorError


@dataclass(frozen=True)
class PlacedImage:
    """An image that lies on a raster; lengths in its own pixels, which may not be the raster's."""

    target: TargetRaster
    width: int
    height: int


@dataclass(frozen=True)
class ImageEntry:
    """An image as the file has it; its size, (width, height), is None where it is not stated."""

    id: Id
    name: str
    other_names: tuple[str, ...]
    size: Size | None

    def scale_to(self, target: TargetRaster) -> tuple[float, float] | None:
        """Return what takes its pixels to a raster's; None where they are different pictures."""
        if self.size is None:
            return 1.0, 1.0
        return scale_of(self.size, target.size)

    @property
    def title(self) -> str:
        """Its name, and its size where it is stated."""
        return self.name if self.size is None else f"{self.name} ({_px(self.size)})"


Entries = Sequence[ImageEntry]


@dataclass
class MatchedImages:
    """Images that lie on a raster, by id, and the names of those whose id several have."""

    usable: dict[Id, PlacedImage] = field(default_factory=dict)
    ambiguous: dict[Id, list[str]] = field(default_factory=dict)


def match_images(
    entries: list[ImageEntry], targets: Sequence[TargetRaster], control: Control
) -> MatchedImages:
    """Return the images that lie on a raster, by file name and size; the log names the others.

    Raises:
        VectorError: there are none.
    """

    def fit_of(i: int, raster: int) -> Fit:
        scale = entries[i].scale_to(targets[raster])
        if scale is None:
            return Fit.NOT
        return Fit.EXACT if scale == (1.0, 1.0) else Fit.SCALED

    matches = match_rasters(
        ((i, entry.name) for i, entry in enumerate(entries)),
        [target.path for target in targets],
        fit_of,
        {i: entry.other_names for i, entry in enumerate(entries) if entry.other_names},
    )
    raster_of = {i: number for i, number in matches.raster_of.items() if fit_of(i, number)}
    if not raster_of and _is_only_match(entries, targets):
        raster_of = dict.fromkeys(range(len(entries)), 0)
        control.warn(
            f"The file's only image, {entries[0].title}, is taken for {targets[0].name}, since it "
            "has its size, though not its name. Check on the map that the polygons fit."
        )
    else:
        matches.log(control, "image", "of the file")
        other_size = sorted(matches.raster_of.keys() - raster_of.keys())
        _log_other_size([entries[i].title for i in other_size], control)
    images = _by_id(entries, raster_of, targets, control)
    if not images.usable:
        raise _none_fits(entries, targets, images)
    return images


def _log_other_size(titles: Sequence[str], control: Control) -> None:
    examples = Examples()
    for title in titles:
        examples.add(title)
    if titles:
        control.warn(
            f"Images left out, since their raster has another size: {examples.count:,} "
            f"({examples}). Choose the rasters that were annotated."
        )


def _is_only_match(entries: Entries, targets: Sequence[TargetRaster]) -> bool:
    """Whether there is one image and one raster, of the same size."""
    if len(targets) != 1 or len({normalised(entry.name) for entry in entries}) != 1:
        return False
    size = targets[0].size
    return all(entry.size == size for entry in entries)


def _by_id(
    entries: list[ImageEntry],
    raster_of: Mapping[int, int],
    targets: Sequence[TargetRaster],
    control: Control,
) -> MatchedImages:
    """Return the images by id; an id of several images that are not one picture is ambiguous."""
    images = MatchedImages()
    numbers_by_id: dict[Id, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        numbers_by_id[entry.id].append(i)
    ambiguous, scaled = Examples(), Examples()
    for image_id, numbers in numbers_by_id.items():
        rasters = {raster_of.get(i) for i in numbers}
        if rasters == {None}:
            continue
        stated = {entries[i].size for i in numbers} - {None}
        if len(rasters) > 1 or len(stated) > 1:
            names = [entries[i].name for i in numbers]
            images.ambiguous[image_id] = names
            ambiguous.add(f"{image_id}: {' and '.join(names[:2])}")
            continue
        target = targets[raster_of[numbers[0]]]
        size = next(iter(stated)) or target.size if stated else target.size
        images.usable[image_id] = PlacedImage(target, *size)
        if size != target.size:
            scaled.add(f"{entries[numbers[0]].title} on {_px(target.size)}")
    _log_matches(ambiguous, scaled, control)
    return images


def _log_matches(ambiguous: Examples, scaled: Examples, control: Control) -> None:
    if ambiguous.count:
        control.warn(
            "Images left out, since the file gives their id to several images: "
            f"{ambiguous.count:,} ({ambiguous}). Files that were merged need distinct ids: merge "
            "them again, or import them one by one."
        )
    if scaled.count:
        control.warn(
            f"Images in another resolution than their raster, scaled to it: {scaled.count:,} "
            f"({scaled})."
        )


def _none_fits(
    entries: list[ImageEntry], targets: Sequence[TargetRaster], images: MatchedImages
) -> VectorError:
    names = Examples()
    for entry in entries:
        names.add(entry.title)
    rasters = Examples()
    for target in targets:
        rasters.add(f"{target.name} ({_px(target.size)})")
    if images.ambiguous:
        return VectorError(
            f"None of the file's images ({names}) can be told apart: several have the same id. "
            "Expected a distinct id for each. Merge the files again with distinct ids, or import "
            "them one by one."
        )
    return VectorError(
        f"None of the file's images ({names.count:,}: {names}) lies on the rasters ({rasters}). "
        "Expected images with the rasters' file names (without folder, extension) and sizes. "
        "Choose the rasters that were annotated, or rename them."
    )


def _px(size: Size) -> str:
    return f"{size[0]:,} × {size[1]:,} px"
