"""What a model file says of itself: the card, checked field by field. No I/O.

A card comes from a file that anybody may have made, so nothing in it is believed before it was
checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from deepseg_qgis.bounds import TILE_SIZE_PX
from deepseg_qgis.catalogue import ARCHITECTURES, ENCODERS
from deepseg_qgis.choices import MODEL_TASKS
from deepseg_qgis.engine.files.raster_inputs.bands import Band, RasterKind, named
from deepseg_qgis.engine.legend.legend import (
    MOST_CATEGORIES,
    Category,
    InstanceRule,
    Legend,
    task_of,
)
from deepseg_qgis.errors import ModelError, counted

FORMAT_VERSION = 1
MOST_BANDS = 1024
LONGEST_NAME = 1000
"""Of a category, in characters."""
BAND_FIELDS = ("colour", "wavelength_um", "scale", "offset", "stored")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
DTYPES = frozenset(f"{kind}{bits}" for kind in ("uint", "int", "float") for bits in (8, 16, 32, 64))


@dataclass(frozen=True)
class ModelCard:
    """All that predicting with a model takes, and where it comes from.

    ``mean`` and ``std`` are in the raster's units, one for each band; ``thresholds`` from 0 to 1,
    one for each category; ``countable`` says for each category whether its objects are told apart
    where they touch, ``depths`` how far (in 1/255) an object's height must stand out for that (0
    where they are not told apart), ``least_px`` how many pixels an object has at least; these two
    are empty if no category is countable. ``smoothing_px`` is how far heights are smoothed (the
    Gaussian's standard deviation); ``resolution_m`` the ground sample distance in metres or None;
    ``band_info`` has the fields of `Band` that tell each band apart, if they are known;
    ``footprint`` lists where it was trained: the raster's name, its CRS as WKT and the area as a
    GeoJSON geometry in that CRS.
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
    format_version: int = FORMAT_VERSION

    @property
    def bands(self) -> int:
        """The number of bands that the network takes."""
        return len(self.band_names)

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
        rule = InstanceRule(self.depths, self.least_px) if any(self.countable) else None
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
        content = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise _bad("its card is no JSON") from error
    if not isinstance(content, dict):
        raise _bad("its card is no JSON object")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise _bad(f"its format is version {version!r}, this DeepSeg reads {FORMAT_VERSION}")
    categories = _categories(content.get("categories"))
    bands = _texts(content.get("band_names"), 1, MOST_BANDS, "band names")
    low, high = TILE_SIZE_PX.least, TILE_SIZE_PX.most
    task = _choice(content.get("task"), MODEL_TASKS, "task")
    countable = _countable(content.get("countable", []), len(categories), task)
    return ModelCard(
        architecture=_choice(content.get("architecture"), ARCHITECTURES, "architecture"),
        encoder=_choice(content.get("encoder"), ENCODERS, "encoder"),
        task=task,
        categories=categories,
        band_names=bands,
        dtype=_choice(content.get("dtype"), DTYPES, "data type"),
        resolution_m=_optional_number(content.get("resolution_m"), 1e-6, 1e7, "resolution"),
        mean=_numbers(content.get("mean"), len(bands), -1e38, 1e38, "means"),
        std=_numbers(content.get("std"), len(bands), 1e-30, 1e38, "standard deviations"),
        tile_size_px=int(_number(content.get("tile_size_px"), low, high, "tile size")),
        thresholds=_numbers(content.get("thresholds"), len(categories), 0.0, 1.0, "thresholds"),
        countable=countable,
        depths=_depths(content.get("depths", []), countable),
        least_px=_least_px(content.get("least_px", []), countable),
        smoothing_px=_number(content.get("smoothing_px", 0.0), 0.0, 16.0, "smoothing"),
        validation_score=_optional_number(
            content.get("validation_score"), 0.0, 1.0, "validation score"
        ),
        validation_iou=tuple(
            _optional_number(each, 0.0, 1.0, "validation IoU")
            for each in _list(content.get("validation_iou", []), "validation IoU")
        ),
        footprint=_objects(content.get("footprint", []), "footprint"),
        data=_objects(content.get("data", []), "data"),
        training=_objects([content.get("training", {})], "training")[0],
        history=_objects(content.get("history", []), "history"),
        versions=_objects([content.get("versions", {})], "versions")[0],
        band_info=_band_info(content.get("band_info", []), len(bands)),
    )


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _categories(value: object) -> tuple[Category, ...]:
    entries = _objects(value, "categories")
    if not 1 <= len(entries) <= MOST_CATEGORIES:
        raise _bad(
            f"it has {counted(len(entries), 'category', 'categories')}, "
            f"expected 1 to {MOST_CATEGORIES}"
        )
    categories = []
    for entry in entries:
        name, colour = entry.get("name"), entry.get("colour")
        if not isinstance(name, str) or not name or len(name) > LONGEST_NAME:
            raise _bad("a category has no proper name")
        if not isinstance(colour, str) or not COLOUR.fullmatch(colour):
            raise _bad(f"the colour of category {name[:40]!r} is not like #12ab34")
        categories.append(Category(name, colour))
    if len({category.name for category in categories}) < len(categories):
        raise _bad("two categories have the same name")
    return tuple(categories)


def _countable(value: object, count: int, task: str) -> tuple[bool, ...]:
    """Return which categories are countable; old cards do not say, and have none."""
    entries = _list(value, "countable categories") or [False] * count
    if len(entries) != count or not all(isinstance(each, bool) for each in entries):
        raise _bad("it does not say of each category whether it is countable")
    if task_of(entries) != task:
        raise _bad(f"its task is {task!r}, which does not go with its countable categories")
    return tuple(entries)


def _depths(value: object, countable: Sequence[bool]) -> tuple[int, ...]:
    if not any(countable) and value == []:
        return ()
    depths = _numbers(value, len(countable), 0, 255, "depths")
    if [depth >= 1.0 for depth in depths] != list(countable):
        raise _bad("its depths do not go with its countable categories")
    return tuple(int(depth) for depth in depths)


def _least_px(value: object, countable: Sequence[bool]) -> tuple[int, ...]:
    if not any(countable) and value == []:
        return ()
    sizes = _numbers(value, len(countable), 0, 2**31, "smallest sizes")
    return tuple(int(size) for size in sizes)


def _band_info(value: object, count: int) -> tuple[Mapping[str, Any], ...]:
    entries = _objects(value, "bands")
    if len(entries) not in (0, count):
        raise _bad(f"it describes {counted(len(entries), 'band')}, expected {count}")
    return tuple(
        {
            "colour": _text(entry.get("colour", ""), "colour"),
            "wavelength_um": _optional_number(entry.get("wavelength_um"), 0, 1e7, "wavelength"),
            "scale": _number(entry.get("scale", 1.0), -1e38, 1e38, "scale"),
            "offset": _number(entry.get("offset", 0.0), -1e38, 1e38, "offset"),
            "stored": _text(entry.get("stored", ""), "stored type"),
        }
        for entry in entries
    )


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise _bad(f"its {what} is no short text")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(f"its {what} are no list")
    return value


def _objects(value: object, what: str) -> tuple[Mapping[str, Any], ...]:
    entries = _list(value, what)
    if not all(isinstance(entry, dict) for entry in entries):
        raise _bad(f"its {what} are not as expected")
    return tuple(entries)


def _texts(value: object, least: int, most: int, what: str) -> tuple[str, ...]:
    entries = _list(value, what)
    if not least <= len(entries) <= most or not all(isinstance(each, str) for each in entries):
        raise _bad(f"its {what} are not {least} to {most} texts")
    return tuple(entries)


def _choice(value: object, known: tuple[str, ...] | frozenset[str], what: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise _bad(f"its {what} is {str(value)[:60]!r}, which this DeepSeg does not know")
    return value


def _number(value: object, low: float, high: float, what: str) -> float:
    right = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        raise _bad(f"its {what} is {str(value)[:40]}, expected a number from {low:g} to {high:g}")
    return float(value)  # type: ignore[arg-type]


def _optional_number(value: object, low: float, high: float, what: str) -> float | None:
    return None if value is None else _number(value, low, high, what)


def _numbers(value: object, count: int, low: float, high: float, what: str) -> tuple[float, ...]:
    entries = _list(value, what)
    if len(entries) != count:
        raise _bad(f"it has {len(entries)} {what}, expected {count}")
    return tuple(_number(each, low, high, what) for each in entries)


def _bad(what: str) -> ModelError:
    return ModelError(
        f"This is no model that DeepSeg can use: {what}. Choose a .safetensors file that DeepSeg's "
        "Train made, or train the model again."
    )
