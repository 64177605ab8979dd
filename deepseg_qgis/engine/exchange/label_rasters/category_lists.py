"""Lists of categories that annotation programs put beside their masks.

``labelmap.txt`` (CVAT: ``name:red,green,blue::``), ``class_dict.csv`` (``name,r,g,b``) and
``_classes.csv`` (Roboflow: ``Pixel Value, Class``), in the folder of the masks or the one above.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepseg_qgis.engine.exchange.category_text import clean_name, hex_colour
from deepseg_qgis.engine.exchange.coco.values import parse_whole_number
from deepseg_qgis.engine.files.text_decoding import TextDecoder

NAMES = ("labelmap.txt", "class_dict.csv", "_classes.csv")
MOST_BYTES = 1 << 20


@dataclass
class CategoryList:
    """Names by colour (``#rrggbb``) and by value, and the file that they come from."""

    by_colour: dict[str, str] = field(default_factory=dict)
    by_value: dict[int, str] = field(default_factory=dict)
    path: str = ""

    def names(self, colours: Mapping[int, str], in_colours: bool) -> dict[int, str]:
        """Return the names of codes, of which ``colours`` are known if they are no colours."""
        if in_colours:
            coded = {int(colour[1:], 16): name for colour, name in self.by_colour.items()}
            return self.by_value | coded
        in_palette = {v: self.by_colour[c] for v, c in colours.items() if c in self.by_colour}
        return self.by_value | in_palette


def category_list_near(folder: str) -> CategoryList:
    """Return the first list in a folder or above it that names something; else an empty one."""
    for parent in (folder, os.path.dirname(os.path.abspath(folder))):
        for name in NAMES:
            listed = CategoryList(path=os.path.join(parent, name))
            for row in _rows(listed.path):
                _add(listed, row)
            if listed.by_colour or listed.by_value:
                return listed
    return CategoryList()


def _rows(path: str) -> list[list[str]]:
    try:
        with open(path, "rb") as file:
            text = TextDecoder(lambda _text: None).decode(file.read(MOST_BYTES), True)
    except OSError:
        return []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    if path.endswith(".txt"):
        split = [line.split(":") for line in lines if ":" in line]
        return [[name, *colour.split(",")] for name, colour, *_ in split]
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines)]
    except csv.Error:
        return []


def _add(listed: CategoryList, row: Sequence[str]) -> None:
    if len(row) == 2 and parse_whole_number(row[0]) is not None and clean_name(row[1]):
        listed.by_value[parse_whole_number(row[0]) or 0] = clean_name(row[1])
    colour = hex_colour([parse_whole_number(cell) for cell in row[1:4]])
    if colour is not None and clean_name(row[0]):
        listed.by_colour[colour] = clean_name(row[0])
