"""Folders with several masks for a raster: one for each category, or one for each object. No I/O.

`scene_roof.png` and `scene_road.png` are categories of `scene.tif`, `scene_1.png` and
`scene_2.png` its objects.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepseg_qgis.engine.exchange.file_names import MASK, SEPARATORS, path_parts, slug

MOST_WORDS = 20
NO_NAME = re.compile(rf"{MASK}|obj|object|png|tiff?", re.IGNORECASE)
"""Words that say of a mask only that it is one."""


@dataclass(frozen=True)
class PartMask:
    """A mask that shows a part of what is on a raster: a category, or an object by its number."""

    raster: int
    category: str
    number: int | None


def part_masks(names: Mapping[int, str], rasters: Mapping[int, str]) -> dict[int, PartMask]:
    """Return which of the masks (paths) are parts of a raster (path), if some raster has several.

    The rest of a mask's name is its category or number, and must be another one for each mask.
    """
    by_stem = {slug(path_parts(path).stem): number for number, path in rasters.items()}
    parts_of: dict[int, list[tuple[int, PartMask]]] = defaultdict(list)
    for number, name in names.items():
        part = _part(name, by_stem)
        if part is not None:
            parts_of[part.raster].append((number, part))
    if all(len(parts) < 2 for parts in parts_of.values()):
        return {}
    return {
        number: part
        for parts in parts_of.values()
        if len({(part.category, part.number) for _, part in parts}) == len(parts)
        for number, part in parts
    }


def _part(name: str, by_stem: Mapping[str, int]) -> PartMask | None:
    words = [word for word in SEPARATORS.split(Path(name).stem) if word][:MOST_WORDS]
    slugs = [slug(path_parts(f"{word}.x").stem) for word in words]
    for kept in range(len(words) - 1, 0, -1):
        for stem, rest in (
            ("-".join(slugs[:kept]), words[kept:]),
            ("-".join(slugs[-kept:]), words[:-kept]),
        ):
            if stem in by_stem:
                return _named(by_stem[stem], rest)
    return None


def _named(raster: int, rest: Sequence[str]) -> PartMask | None:
    words = [word for word in rest if not NO_NAME.fullmatch(word)]
    if len(words) == 1 and words[0].isdecimal() and len(words[0]) <= 9:
        return PartMask(raster, "", int(words[0]))
    return PartMask(raster, " ".join(words), None) if words else None
