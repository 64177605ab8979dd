"""Names and colours of a label raster's values, from its metadata and the file beside it.

GDAL keeps category names and attribute tables of GeoTIFFs in ``.aux.xml``, which is read here,
since rasterio has no word for them.
"""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as Xml
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepseg_qgis.engine.exchange.category_text import clean_name, hex_colour, is_colour
from deepseg_qgis.engine.legend.legend import PLAIN_COLOUR, Category
from deepseg_qgis.engine.models import model_card
from deepseg_qgis.errors import ModelError

CATEGORIES = "CATEGORIES"
MOST_BYTES = 16 * 2**20
NAME, MINIMUM = (2,), (3, 5)
RED, GREEN, BLUE = (6,), (7,), (8,)
"""What a column of an attribute table is for: numbers of GDAL's `GDALRATFieldUsage`."""


@dataclass
class ValueNames:
    """Names and colours (``#rrggbb``) of some values."""

    names: dict[int, str] = field(default_factory=dict)
    colours: dict[int, str] = field(default_factory=dict)

    def update(self, other: ValueNames) -> None:
        """Take what another one says, which counts before this one."""
        self.names.update(other.names)
        self.colours.update(other.colours)


def names_beside(path: str) -> ValueNames:
    """Return what ``path`` + ``.aux.xml`` says of the first band; nothing where it cannot be read.

    Memory: that file, up to 16 MB. Files that declare entities are not read: they could grow.
    """
    value_names = ValueNames()
    beside = f"{path}.aux.xml"
    if not os.path.isfile(beside) or os.path.getsize(beside) > MOST_BYTES:
        return value_names
    try:
        with open(beside, "rb") as file:
            text = file.read(MOST_BYTES)
        # also in UTF-16 and UTF-32, whose ASCII letters have zeros beside them
        if b"<!" in text.replace(b"\0", b"").replace(b"<!--", b""):
            return value_names
        root = Xml.fromstring(text)  # noqa: S314 - without entities there is nothing to expand
    except (OSError, Xml.ParseError, RecursionError, ValueError, LookupError):
        return value_names
    band = root.find("PAMRasterBand[@band='1']")
    if band is not None:
        _add_names(value_names, band)
        _add_table(value_names, band)
    return value_names


def names_in_tags(tags: Mapping[str, str]) -> ValueNames:
    """Return the names and colours in the metadata that DeepSeg writes; nothing where it is not.

    Predicted classes have the card of their model, masks of data sets their categories.
    """
    try:
        card = model_card.from_json(tags["CARD"])
    except (KeyError, ModelError):
        return _names_in_list(tags.get(CATEGORIES, ""))
    value_names = ValueNames()
    for number, category in enumerate(card.categories, start=1):
        value_names.names[number] = clean_name(category.name) or str(number)
        value_names.colours[number] = category.colour
    return value_names


def category_tags(categories: Sequence[Category]) -> dict[str, str]:
    """Return metadata with the names and colours of categories, which count from 1."""
    listed = [
        {"name": each.name, "colour": "" if each.colour == PLAIN_COLOUR else each.colour}
        for each in categories
    ]
    return {CATEGORIES: json.dumps(listed)}


def _names_in_list(text: str) -> ValueNames:
    value_names = ValueNames()
    try:
        listed = json.loads(text[:MOST_BYTES])
    except (ValueError, RecursionError):
        return value_names
    for number, each in enumerate(listed if isinstance(listed, list) else [], start=1):
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            value_names.names[number] = clean_name(each["name"]) or str(number)
            if is_colour(each.get("colour")):
                value_names.colours[number] = each["colour"]
    return value_names


def _add_names(value_names: ValueNames, band: Xml.Element) -> None:
    for value, entry in enumerate(band.findall("CategoryNames/Category")):
        name = clean_name(entry.text or "")
        if name:
            value_names.names[value] = name


def _add_table(value_names: ValueNames, band: Xml.Element) -> None:
    table = band.find("GDALRasterAttributeTable")
    if table is None:
        return
    usages = [_whole_number(each.findtext("Usage")) for each in table.findall("FieldDefn")]
    value, name = _column(usages, MINIMUM), _column(usages, NAME)
    channels = [_column(usages, usage) for usage in (RED, GREEN, BLUE)]
    if value is None:
        return
    for row in table.findall("Row"):
        cells = [cell.text or "" for cell in row.findall("F")]
        if len(cells) != len(usages):
            continue
        number = _whole_number(cells[value])
        if number is None:
            continue
        if name is not None and clean_name(cells[name]):
            value_names.names[number] = clean_name(cells[name])
        rgb = [_whole_number(cells[channel]) for channel in channels if channel is not None]
        colour = hex_colour(rgb)
        if colour is not None:
            value_names.colours[number] = colour


def _column(usages: list[int | None], wanted: tuple[int, ...]) -> int | None:
    return next((i for i, usage in enumerate(usages) if usage in wanted), None)


def _whole_number(text: str | None) -> int | None:
    """Return a whole number, also from text such as 3.0; None where there is none."""
    try:
        number = float((text or "")[:40])
        return int(number) if number.is_integer() else None
    except (ValueError, OverflowError):
        return None
