"""Which raster a file name means: by its stem, and by folders where that is not enough.

A name as it stands counts before one with the changes of other programs undone (`file_names`).
"""

from __future__ import annotations

import enum
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.examples import Examples
from deepseg_qgis.engine.exchange.file_names import (
    PathParts,
    normalised,
    original_names,
    path_parts,
    shortened_slugs,
    slug,
)

SLUG_STEPS = 10
"""What a match of slugs alone costs, in steps of `file_names.original_names`."""
GUESSED_STEPS = 100
"""What a match costs where words are left before or behind the raster's name."""


class Fit(enum.IntEnum):
    """How well a picture's size fits a raster's."""

    NOT = 0
    SCALED = 1
    EXACT = 2


class Score(NamedTuple):
    """How well a name fits a raster's path; the greater the better."""

    steps: int
    """Changes undone, as a negative number."""
    shared_folders: int
    same_extension: bool

    @property
    def is_guess(self) -> bool:
        """Whether the name has more words than the raster's."""
        return self.steps <= -GUESSED_STEPS


FitOf = Callable[[int, int], Fit]
"""How well a picture (by the number of its name) fits a raster (by its number)."""


@dataclass(frozen=True)
class RasterMatches:
    """For each name the number of its raster; names that belong to none, or not to one alone.

    ``renamed`` are matches whose file name is not the raster's as it stands, ``guessed`` those in
    which it has more words (by number: ``guessed_numbers``).
    """

    raster_of: dict[int, int] = field(default_factory=dict)
    unmatched: Examples = field(default_factory=Examples)
    ambiguous: Examples = field(default_factory=Examples)
    renamed: Examples = field(default_factory=Examples)
    guessed: Examples = field(default_factory=Examples)
    guessed_numbers: set[int] = field(default_factory=set)

    def log(self, control: Control, noun: str, whose: str) -> None:
        """Write into the log which names of pictures belong to no raster, or not clearly."""
        if self.unmatched.count:
            control.log(
                f"{noun.capitalize()}s {whose} on none of the rasters: {self.unmatched.count:,} "
                f"({self.unmatched})."
            )
        if self.renamed.count:
            control.log(
                f"{noun.capitalize()}s matched with a raster by what their name was before a "
                f"program changed it: {self.renamed.count:,} ({self.renamed})."
            )
        if self.guessed.count:
            control.warn(
                f"{noun.capitalize()}s whose name has more words than their raster's, of which "
                f"none else is left: {self.guessed.count:,} ({self.guessed}). Check on the map "
                "that the polygons fit."
            )
        if self.ambiguous.count:
            control.warn(
                f"{noun.capitalize()}s left out, since their name fits several rasters, or a "
                f"raster fits several of them: {self.ambiguous.count:,} ({self.ambiguous})."
            )


class _Candidate(NamedTuple):
    """A name that may belong to a raster."""

    score: Score
    number: int
    name: str


def match_rasters(
    names: Iterable[tuple[int, str]],
    rasters: Sequence[str],
    fit_of: FitOf | None = None,
    other_names: Mapping[int, Sequence[str]] | None = None,
) -> RasterMatches:
    """Return which of the rasters (paths) each of the numbered names belongs to.

    The name with the fewest changes undone wins, then the one that shares the most folders with a
    raster's path, then the one with the same extension. Where a name means several rasters, those
    that it fits best count; a name with more words than the raster's must fit exactly.
    ``other_names`` are further names of the same picture. Several numbers of one name are one
    picture. Memory: the names that belong to a raster.
    """
    index = _RasterIndex(rasters)
    candidates: dict[int, list[_Candidate]] = defaultdict(list)
    matches = RasterMatches()
    for number, name in names:
        scores: list[tuple[Score, int]] = []
        for spelling in (name, *(other_names or {}).get(number, ())):
            scores = scores or index.scores(spelling)
        if fit_of is not None and scores:
            scores = _fitting(number, scores, fit_of)
        top = max(scores)[0] if scores else None
        best = [raster for score, raster in scores if score == top]
        if top is not None and len(best) == 1:
            candidates[best[0]].append(_Candidate(top, number, name))
        else:
            (matches.ambiguous if best else matches.unmatched).add(name)
    for raster, candidates_of_it in candidates.items():
        _assign(matches, raster, rasters[raster], candidates_of_it)
    return matches


def _fitting(
    number: int, scores: list[tuple[Score, int]], fit_of: FitOf
) -> list[tuple[Score, int]]:
    """Return the scores of the rasters that a picture fits best, for guesses exactly."""
    best = max(fit_of(number, raster) for _, raster in scores)
    least = Fit.EXACT if max(scores)[0].is_guess else best
    return [each for each in scores if fit_of(number, each[1]) >= max(best, least)]


def _assign(
    matches: RasterMatches, raster: int, path: str, candidates: Sequence[_Candidate]
) -> None:
    """Match a raster with the best of its candidates, if that is one picture."""
    top = max(candidate.score for candidate in candidates)
    best = [candidate for candidate in candidates if candidate.score == top]
    if len({normalised(candidate.name) for candidate in best}) > 1:
        for candidate in candidates:
            matches.ambiguous.add(candidate.name)
        return
    for candidate in candidates:
        if candidate.score < top:
            matches.unmatched.add(candidate.name)
        else:
            matches.raster_of[candidate.number] = raster
            if top.is_guess:
                matches.guessed_numbers.add(candidate.number)
    if top.steps < 0:
        examples = matches.guessed if top.is_guess else matches.renamed
        examples.add(f"{best[0].name} = {os.path.basename(path)}")


class _RasterIndex:
    """The rasters by stem: as it stands, with changes undone, and as a slug."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._parts = [path_parts(path) for path in paths]
        self._by_stem: dict[str, list[int]] = defaultdict(list)
        self._by_original: dict[str, list[int]] = defaultdict(list)
        self._by_slug: dict[str, list[int]] = defaultdict(list)
        for number, parts in enumerate(self._parts):
            self._by_stem[parts.stem].append(number)
            for stem in {other.stem for steps, other in original_names(paths[number]) if steps}:
                self._by_original[stem].append(number)
            if slug(parts.stem):
                self._by_slug[slug(parts.stem)].append(number)

    def scores(self, name: str) -> list[tuple[Score, int]]:
        """Return the score and number of each raster that a name may mean."""
        candidates = []
        for steps, parts in original_names(name):
            if parts.stem in self._by_stem:
                return self._scored(self._by_stem[parts.stem], steps, parts)
            candidates.append((steps, parts))
        for steps, parts in candidates:
            if parts.stem in self._by_original:
                return self._scored(self._by_original[parts.stem], steps + 1, parts)
        for steps, parts in candidates:
            if slug(parts.stem) in self._by_slug:
                return self._scored(self._by_slug[slug(parts.stem)], steps + SLUG_STEPS, parts)
        for short in shortened_slugs(slug(candidates[0][1].stem)):
            if short in self._by_slug:
                guess = Score(-GUESSED_STEPS, 0, False)
                return [(guess, number) for number in self._by_slug[short]]
        return []

    def _scored(
        self, numbers: Sequence[int], steps: int, parts: PathParts
    ) -> list[tuple[Score, int]]:
        scored = []
        for number in numbers:
            own = self._parts[number]
            same_extension = parts.extension == own.extension
            score = Score(-steps, _shared_folders(parts, own), same_extension)
            scored.append((score, number))
        return scored


def _shared_folders(one: PathParts, other: PathParts) -> int:
    """Return how many folders above two files have the same names."""
    count = 0
    for mine, theirs in zip(one.folders, other.folders, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
