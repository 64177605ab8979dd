"""What a model file says of itself: the card, checked field by field. No I/O.

A card comes from a file that anybody may have made, so nothing in it is believed before it was
checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from deepseg_qgis.bounds import TILE_SIZE_PX
from deepseg_qgis.catalogue import ARCHITECTURES, ENCODERS
from deepseg_qgis.choices import MODEL_TASKS
from deepseg_qgis.engine.files.raster_inputs.bands import Band, RasterKind, named
from deepseg_qgis.engine.legend.legend import (
    COLOUR,
    LONGEST_NAME,
    MOST_CATEGORIES,
    Category,
    InstanceRule,
    Legend,
    task_of,
)
from deepseg_qgis.engine.models.card_fields import (
    bad_card,
    finite_number,
    no_number,
    read_choice,
    read_list,
    read_number,
    read_numbers,
    read_objects,
    read_optional_number,
    read_text,
    read_texts,
)
from deepseg_qgis.engine.models.network_design import (
    DECODER_CHANNELS,
    DECODER_STEPS,
    MAGNIFICATION,
    NetworkDesign,
)
from deepseg_qgis.errors import counted

FORMAT_VERSION = 1
MOST_BANDS = 1024
BAND_FIELDS = ("colour", "wavelength_um", "scale", "offset", "stored")
DTYPES = frozenset(f"{kind}{bits}" for kind in ("uint", "int", "float") for bits in (8, 16, 32, 64))


@dataclass(frozen=True)
class ModelCard:
    """All that predicting with a model takes, and where it comes from.

    ``mean`` and ``std`` are in the raster's units, one for each band; ``thresholds`` from 0 to 1,
    one for each category; ``countable`` says for each category whether its objects are told apart
    where they touch, ``depths`` how far (in 1/255) an object's height must stand out for that (0
    where they are not told apart), none if no category is countable; ``least_px`` how many pixels
    an object has at least, none in older cards of such models; ``smoothing_px`` is how far heights
    are smoothed (the Gaussian's standard deviation); ``resolution_m`` the ground sample distance in
    metres or None;
    ``band_info`` has the fields of `Band` that tell each band apart, if they are known;
    ``decoder_channels`` and ``magnification`` are those of `NetworkDesign`;
    ``footprint`` lists where it was trained: the raster's name, its CRS as WKT and the area as a
    GeoJSON geometry in that CRS; ``validation_footprint`` where it was validated.
    """

    architecture: str
    encoder: str
    task: str
    categories: tuple[Category, ...]
    band_names: tuple[str, ...]
    dtype: str
    resolution_m: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tile_size_px: int
    thresholds: tuple[float, ...]
    countable: tuple[bool, ...] = ()
    depths: tuple[int, ...] = ()
    least_px: tuple[int, ...] = ()
    smoothing_px: float = 0.0
    validation_score: float | None = None
    validation_iou: tuple[float | None, ...] = ()
    footprint: tuple[Mapping[str, Any], ...] = ()
    data: tuple[Mapping[str, Any], ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    band_info: tuple[Mapping[str, Any], ...] = ()
    decoder_channels: tuple[int, ...] = ()
    magnification: int = 1
    validation_footprint: tuple[Mapping[str, Any], ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def bands(self) -> int:
        """The number of bands that the network takes."""
        return len(self.band_names)

    @property
    def design(self) -> NetworkDesign:
        """What the network is made of."""
        return NetworkDesign(
            self.architecture, self.encoder, self.decoder_channels, self.magnification
        )

    @property
    def kind(self) -> RasterKind:
        """What a raster's pixels must be."""
        if not self.band_info:  # a card that was written before bands were described
            return RasterKind(tuple(map(named, self.band_names)), self.dtype)
        pairs = zip(self.band_names, self.band_info, strict=True)
        return RasterKind(tuple(Band(name, **info) for name, info in pairs), self.dtype)

    @property
    def legend(self) -> Legend:
        """What the network's planes mean."""
        depths = self.depths or (0,) * len(self.categories)
        rule = InstanceRule(depths, self.least_px) if self.least_px else None
        return Legend(self.categories, self.thresholds, rule)

    @property
    def smoothing(self) -> float | None:
        """How far heights are smoothed, None where there are none."""
        return self.smoothing_px if self.legend.has_objects else None


def band_info(band: Band) -> dict[str, Any]:
    """Return what a card keeps of a band beside its name."""
    return {name: getattr(band, name) for name in BAND_FIELDS}


def to_json(card: ModelCard) -> str:
    """Return the card as JSON text."""
    return json.dumps(asdict(card), ensure_ascii=False, allow_nan=False)


def json_bytes(value: object) -> int:
    """Return how many bytes a part of a card takes in a model file, as JSON within JSON."""
    text = json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))


def from_json(text: str) -> ModelCard:
    """Return the card in a JSON text, every field checked.

    Raises:
        ModelError: something is missing, of another kind, or out of bounds.
    """
    try:
        content = json.loads(text, parse_constant=no_number, parse_float=finite_number)
    except (ValueError, RecursionError) as error:
        raise bad_card("its card is no JSON") from error
    if not isinstance(content, dict):
        raise bad_card("its card is no JSON object")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise bad_card(f"its format is version {version!r}, this DeepSeg reads {FORMAT_VERSION}")
    return _card(content)


def _card(content: Mapping[str, Any]) -> ModelCard:
    """Return the card with these fields, each of them checked."""
    categories = _categories(content.get("categories"))
    bands = read_texts(content.get("band_names"), 1, MOST_BANDS, "band names")
    low, high = TILE_SIZE_PX.least, TILE_SIZE_PX.most
    task = read_choice(content.get("task"), MODEL_TASKS, "task")
    countable = _countable(content.get("countable", []), len(categories), task)
    architecture = read_choice(content.get("architecture"), ARCHITECTURES, "architecture")
    return ModelCard(
        architecture=architecture,
        encoder=read_choice(content.get("encoder"), ENCODERS, "encoder"),
        task=task,
        categories=categories,
        band_names=bands,
        dtype=read_choice(content.get("dtype"), DTYPES, "data type"),
        resolution_m=read_optional_number(content.get("resolution_m"), 1e-6, 1e7, "resolution"),
        mean=read_numbers(content.get("mean"), len(bands), -1e38, 1e38, "means"),
        std=read_numbers(content.get("std"), len(bands), 1e-30, 1e38, "standard deviations"),
        tile_size_px=int(read_number(content.get("tile_size_px"), low, high, "tile size")),
        thresholds=read_numbers(content.get("thresholds"), len(categories), 0.0, 1.0, "thresholds"),
        countable=countable,
        depths=_depths(content.get("depths", []), countable),
        least_px=_least_px(content.get("least_px", []), countable),
        smoothing_px=read_number(content.get("smoothing_px", 0.0), 0.0, 16.0, "smoothing"),
        validation_score=read_optional_number(
            content.get("validation_score"), 0.0, 1.0, "validation score"
        ),
        validation_iou=tuple(
            read_optional_number(each, 0.0, 1.0, "validation IoU")
            for each in read_list(content.get("validation_iou", []), "validation IoU")
        ),
        footprint=read_objects(content.get("footprint", []), "footprint"),
        validation_footprint=read_objects(
            content.get("validation_footprint", []), "validation footprint"
        ),
        data=read_objects(content.get("data", []), "data"),
        training=read_objects([content.get("training", {})], "training")[0],
        history=read_objects(content.get("history", []), "history"),
        versions=read_objects([content.get("versions", {})], "versions")[0],
        band_info=_band_info(content.get("band_info", []), len(bands)),
        decoder_channels=_decoder_channels(content.get("decoder_channels", []), architecture),
        magnification=int(
            read_number(content.get("magnification", 1), *MAGNIFICATION, "magnification")
        ),
    )


def _categories(value: object) -> tuple[Category, ...]:
    entries = read_objects(value, "categories")
    if not 1 <= len(entries) <= MOST_CATEGORIES:
        raise bad_card(
            f"it has {counted(len(entries), 'category', 'categories')}, "
            f"expected 1 to {MOST_CATEGORIES}"
        )
    categories = []
    for entry in entries:
        name, colour = entry.get("name"), entry.get("colour")
        if not isinstance(name, str) or not name or len(name) > LONGEST_NAME:
            raise bad_card("a category has no proper name")
        if not isinstance(colour, str) or not COLOUR.fullmatch(colour):
            raise bad_card(f"the colour of category {name[:40]!r} is not like #12ab34")
        categories.append(Category(name, colour))
    if len({category.name for category in categories}) < len(categories):
        raise bad_card("two categories have the same name")
    return tuple(categories)


def _countable(value: object, count: int, task: str) -> tuple[bool, ...]:
    """Return which categories are countable; old cards do not say, and have none."""
    entries = read_list(value, "countable categories") or [False] * count
    if len(entries) != count or not all(isinstance(each, bool) for each in entries):
        raise bad_card("it does not say of each category whether it is countable")
    if task_of(entries) != task:
        raise bad_card(f"its task is {task!r}, which does not go with its countable categories")
    return tuple(entries)


def _depths(value: object, countable: Sequence[bool]) -> tuple[int, ...]:
    if not any(countable) and value == []:
        return ()
    depths = read_numbers(value, len(countable), 0, 255, "depths")
    if [depth >= 1.0 for depth in depths] != list(countable):
        raise bad_card("its depths do not go with its countable categories")
    return tuple(int(depth) for depth in depths)


def _least_px(value: object, countable: Sequence[bool]) -> tuple[int, ...]:
    if not any(countable) and value == []:
        return ()
    sizes = read_numbers(value, len(countable), 0, 2**31, "smallest sizes")
    return tuple(int(size) for size in sizes)


def _decoder_channels(value: object, architecture: str) -> tuple[int, ...]:
    """Return the decoder's widths; old cards do not have any."""
    if value == []:
        return ()
    widths = read_numbers(
        value, DECODER_STEPS.get(architecture, 0), *DECODER_CHANNELS, "decoder widths"
    )
    if not all(width.is_integer() for width in widths):
        raise bad_card("its decoder widths are no whole numbers")
    return tuple(int(width) for width in widths)


def _band_info(value: object, count: int) -> tuple[Mapping[str, Any], ...]:
    entries = read_objects(value, "bands")
    if len(entries) not in (0, count):
        raise bad_card(f"it describes {counted(len(entries), 'band')}, expected {count}")
    return tuple(
        {
            "colour": read_text(entry.get("colour", ""), "colour"),
            "wavelength_um": read_optional_number(entry.get("wavelength_um"), 0, 1e7, "wavelength"),
            "scale": read_number(entry.get("scale", 1.0), -1e38, 1e38, "scale"),
            "offset": read_number(entry.get("offset", 0.0), -1e38, 1e38, "offset"),
            "stored": read_text(entry.get("stored", ""), "stored type"),
        }
        for entry in entries
    )
