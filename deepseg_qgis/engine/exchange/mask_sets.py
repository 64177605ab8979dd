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

from deepseg_qgis.engine.exchange.file_names import MASK, SEPARATORS, loose, trail_of

MOST_WORDS = 20
NO_WORD = re.compile(rf"{MASK}|obj|object|png|tiff?", re.IGNORECASE)
"""Words that say of a mask only that it is one."""


@dataclass(frozen=True)
class MaskPart:
    """A mask that shows a part of what is on a raster: a category, or an object by its number."""

    raster: int
    category: str
    number: int | None


def parts_of(names: Mapping[int, str], rasters: Mapping[int, str]) -> dict[int, MaskPart]:
    """Return which of the masks (paths) are parts of a raster (path), if some raster has several.

    The rest of a mask's name is its category or number, and must be another one for each mask.
    """
    by_stem = {loose(trail_of(path)[0][0]): number for number, path in rasters.items()}
    found: dict[int, list[tuple[int, MaskPart]]] = defaultdict(list)
    for number, name in names.items():
        part = _part(name, by_stem)
        if part is not None:
            found[part.raster].append((number, part))
    if all(len(parts) < 2 for parts in found.values()):
        return {}
    return {
        number: part
        for parts in found.values()
        if len({(part.category, part.number) for _, part in parts}) == len(parts)
        for number, part in parts
    }


def _part(name: str, by_stem: Mapping[str, int]) -> MaskPart | None:
    words = [word for word in SEPARATORS.split(Path(name).stem) if word][:MOST_WORDS]
    folded = [loose(trail_of(f"{word}.x")[0][0]) for word in words]
    for kept in range(len(words) - 1, 0, -1):
        for stem, rest in (
            ("-".join(folded[:kept]), words[kept:]),
            ("-".join(folded[-kept:]), words[:-kept]),
        ):
            if stem in by_stem:
                return _named(by_stem[stem], rest)
    return None


def _named(raster: int, rest: Sequence[str]) -> MaskPart | None:
    telling = [word for word in rest if not NO_WORD.fullmatch(word)]
    if len(telling) == 1 and telling[0].isdecimal() and len(telling[0]) <= 9:
        return MaskPart(raster, "", int(telling[0]))
    return MaskPart(raster, " ".join(telling), None) if telling else None
