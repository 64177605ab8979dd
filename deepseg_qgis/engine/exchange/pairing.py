"""Which raster a file name means: by its stem, and by folders where that is not enough.

Letters count alike whether large or small. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "-mask", "-label")


@dataclass(frozen=True)
class Pairs:
    """For each name the number of its raster; names that belong to none, or not to one alone."""

    raster_of: dict[int, int]
    without: int
    ambiguous: list[str]


def paired(names: Iterable[tuple[int, str]], rasters: Sequence[str]) -> Pairs:
    """Return which of the rasters (paths) each of the numbered names belongs to.

    The name that shares the most folders with a raster's path wins, then the one with the same
    extension. Memory: the names that belong to a raster.
    """
    by_stem: dict[str, list[tuple[int, list[str], str]]] = {}
    for number, path in enumerate(rasters):
        trail, extension = _trail(path)
        by_stem.setdefault(trail[0], []).append((number, trail, extension))
    claims: dict[int, list[tuple[tuple[int, bool], int, str]]] = {}
    ambiguous: list[str] = []
    without = 0
    for name_number, name in names:
        trail, extension = _trail(name)
        scores = [
            ((_shared(trail, other), extension == ending), number)
            for number, other, ending in _candidates(trail[0], by_stem)
        ]
        best = [number for score, number in scores if score == max(scores)[0]]
        if len(best) == 1:
            claims.setdefault(best[0], []).append((max(scores)[0], name_number, name))
        elif best:
            ambiguous.append(name)
        else:
            without += 1
    raster_of: dict[int, int] = {}
    for number, names_of_it in claims.items():
        first = [claim for claim in names_of_it if claim[0] == max(names_of_it)[0]]
        if len(first) == 1:
            raster_of[first[0][1]] = number
            without += len(names_of_it) - 1
        else:
            ambiguous.extend(name for _, _, name in names_of_it)
    return Pairs(raster_of, without, ambiguous)


def _candidates(
    stem: str, by_stem: dict[str, list[tuple[int, list[str], str]]]
) -> list[tuple[int, list[str], str]]:
    if stem in by_stem:
        return by_stem[stem]
    for ending in MASK_ENDINGS:
        if stem.endswith(ending) and stem[: -len(ending)] in by_stem:
            return by_stem[stem[: -len(ending)]]
    return []


def _trail(path: str) -> tuple[list[str], str]:
    """Return the stem and the folders above it, the nearest first, and the extension."""
    parts = [part for part in re.split(r"[\\/]+", path.casefold()) if part] or [""]
    stem, dot, extension = parts[-1].rpartition(".")
    if not dot:
        stem, extension = extension, ""
    return [stem, *reversed(parts[:-1])], extension


def _shared(one: list[str], other: list[str]) -> int:
    count = 1  # the stems, of which one may have an ending
    for mine, hers in zip(one[1:], other[1:], strict=False):
        if mine != hers:
            break
        count += 1
    return count
