"""The images of a COCO file and the rasters that they are of. Nothing in the file is believed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.coco_values import Key
from deepseg_qgis.engine.exchange.file_names import folded
from deepseg_qgis.engine.exchange.imported import Place
from deepseg_qgis.engine.exchange.pairing import paired
from deepseg_qgis.engine.exchange.samples import Sample
from deepseg_qgis.engine.exchange.scales import Size, scale_of
from deepseg_qgis.errors import VectorError


@dataclass(frozen=True)
class CocoImage:
    """An image that lies on a raster; lengths in its own pixels, which may not be the raster's."""

    place: Place
    width: int
    height: int


@dataclass(frozen=True)
class ImageEntry:
    """An image as the file has it; its size, (width, height), is None where it is not stated."""

    key: Key
    name: str
    others: tuple[str, ...]
    size: Size | None

    def scale_to(self, place: Place) -> tuple[float, float] | None:
        """Return what takes its pixels to a raster's; None where they are different pictures."""
        if self.size is None:
            return 1.0, 1.0
        return scale_of(self.size, (place.grid.width, place.grid.height))

    @property
    def title(self) -> str:
        """Its name, and its size where it is stated."""
        return self.name if self.size is None else f"{self.name} ({_px(self.size)})"


Entries = Sequence[ImageEntry]


@dataclass
class PlacedImages:
    """Images that lie on a raster, by id, and the names of those whose id several have."""

    usable: dict[Key, CocoImage] = field(default_factory=dict)
    unclear: dict[Key, list[str]] = field(default_factory=dict)


def on_rasters(
    entries: list[ImageEntry], places: Sequence[Place], control: Control
) -> PlacedImages:
    """Return the images that lie on a raster, by file name and size; the others are told.

    Raises:
        VectorError: there are none.
    """

    def fits(i: int, raster: int) -> int:
        scale = entries[i].scale_to(places[raster])
        return 0 if scale is None else 1 + (scale == (1.0, 1.0))

    pairs = paired(
        ((i, entry.name) for i, entry in enumerate(entries)),
        [place.path for place in places],
        fits,
        {i: entry.others for i, entry in enumerate(entries) if entry.others},
    )
    raster_of = {i: number for i, number in pairs.raster_of.items() if fits(i, number)}
    other_size = Sample()
    for i in sorted(pairs.raster_of.keys() - raster_of.keys()):
        other_size.add(entries[i].title)
    if not raster_of and _is_the_one(entries, places):
        raster_of = dict.fromkeys(range(len(entries)), 0)
        control.warn(
            f"The file's only image, {entries[0].title}, is taken for {places[0].name}, since it "
            "has its size, though not its name. Check on the map that the polygons fit."
        )
    else:
        pairs.tell(control, "image", "of the file")
        if other_size.count:
            control.warn(
                f"Images left out, since their raster has another size: {other_size.count:,} "
                f"({other_size}). Choose the rasters that were annotated."
            )
    images = _by_key(entries, raster_of, places, control)
    if not images.usable:
        raise _none_fits(entries, places, images)
    return images


def _is_the_one(entries: Entries, places: Sequence[Place]) -> bool:
    """Whether there is one image and one raster, of the same size."""
    if len(places) != 1 or len({folded(entry.name) for entry in entries}) != 1:
        return False
    size = (places[0].grid.width, places[0].grid.height)
    return all(entry.size == size for entry in entries)


def _by_key(
    entries: list[ImageEntry],
    raster_of: Mapping[int, int],
    places: Sequence[Place],
    control: Control,
) -> PlacedImages:
    """Return the images by id; an id of several images that are not one picture is unclear."""
    images = PlacedImages()
    together: dict[Key, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        together[entry.key].append(i)
    unclear = Sample()
    scaled = Sample()
    for key, numbers in together.items():
        rasters = {raster_of.get(i) for i in numbers}
        if rasters == {None}:
            continue
        first = entries[numbers[0]]
        stated = {entries[i].size for i in numbers} - {None}
        if len(rasters) > 1 or len(stated) > 1:
            images.unclear[key] = [entries[i].name for i in numbers]
            unclear.add(f"{key}: {' and '.join(images.unclear[key][:2])}")
            continue
        place = places[raster_of[numbers[0]]]
        own = (place.grid.width, place.grid.height)
        size = next(iter(stated)) or own if stated else own
        images.usable[key] = CocoImage(place, *size)
        if size != own:
            scaled.add(f"{first.title} on {_px(own)}")
    if unclear.count:
        control.warn(
            f"Images left out, since the file gives their id to several images: {unclear.count:,} "
            f"({unclear}). Files that were merged need distinct ids: merge them again, or import "
            "them one by one."
        )
    if scaled.count:
        control.warn(
            f"Images in another resolution than their raster, scaled to it: {scaled.count:,} "
            f"({scaled})."
        )
    return images


def _none_fits(
    entries: list[ImageEntry], places: Sequence[Place], images: PlacedImages
) -> VectorError:
    names = Sample()
    for entry in entries:
        names.add(entry.title)
    rasters = Sample()
    for place in places:
        rasters.add(f"{place.name} ({_px((place.grid.width, place.grid.height))})")
    if images.unclear:
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
