"""Which raster a file name means: by its stem, and by folders where that is not enough.

A name as it stands counts before one with the changes of other programs undone (`file_names`).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.exchange.file_names import (
    folded,
    loose,
    spellings,
    trail_of,
    without_words,
)
from deepseg_qgis.engine.exchange.samples import Sample

LOOSE_STEPS = 10
"""What a match that only takes separators for alike costs, in steps of `file_names.spellings`."""
GUESSED_STEPS = 100
"""What a match costs where words are left before or behind the raster's name."""

Score = tuple[int, int, bool]
Fits = Callable[[int, int], int]


@dataclass(frozen=True)
class Pairs:
    """For each name the number of its raster; names that belong to none, or not to one alone.

    ``changed`` are pairs of which the file's name is not the raster's as it stands, ``guessed``
    those in which it has more words.
    """

    raster_of: dict[int, int] = field(default_factory=dict)
    without: Sample = field(default_factory=Sample)
    ambiguous: Sample = field(default_factory=Sample)
    changed: Sample = field(default_factory=Sample)
    guessed: Sample = field(default_factory=Sample)
    guesses: set[int] = field(default_factory=set)

    def tell(self, control: Control, noun: str, whose: str) -> None:
        """Write into the log which names of pictures belong to no raster, or not clearly."""
        if self.without.count:
            control.log(
                f"{noun.capitalize()}s {whose} on none of the rasters: {self.without.count:,} "
                f"({self.without})."
            )
        if self.changed.count:
            control.log(
                f"{noun.capitalize()}s matched with a raster by what their name was before a "
                f"program changed it: {self.changed.count:,} ({self.changed})."
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


@dataclass(frozen=True)
class _Claim:
    score: Score
    number: int
    name: str


def paired(
    names: Iterable[tuple[int, str]],
    rasters: Sequence[str],
    fits: Fits | None = None,
    others: Mapping[int, Sequence[str]] | None = None,
) -> Pairs:
    """Return which of the rasters (paths) each of the numbered names belongs to.

    The name with the fewest changes undone wins, then the one that shares the most folders with a
    raster's path, then the one with the same extension. Where a name means several rasters, those
    that it ``fits`` best count (0: not at all, 2: exactly); a name with more words than the
    raster's must fit exactly. ``others`` are further names of the same picture. Several numbers of
    one name are one picture. Memory: the names that belong to a raster.
    """
    known = _Rasters(rasters)
    claims: dict[int, list[_Claim]] = defaultdict(list)
    pairs = Pairs()
    for number, name in names:
        scores: list[tuple[Score, int]] = []
        for spelled in (name, *(others or {}).get(number, ())):
            scores = scores or known.scores(spelled)
        if fits is not None and scores:
            well = max(fits(number, raster) for _, raster in scores)
            least = 2 if _is_guess(max(scores)[0]) else well
            scores = [each for each in scores if fits(number, each[1]) >= max(well, least)]
        best = [raster for score, raster in scores if score == max(scores)[0]]
        if len(best) == 1:
            claims[best[0]].append(_Claim(max(scores)[0], number, name))
        else:
            (pairs.ambiguous if best else pairs.without).add(name)
    for raster, of_it in claims.items():
        _settle(pairs, raster, rasters[raster], of_it)
    return pairs


def _settle(pairs: Pairs, raster: int, path: str, claims: list[_Claim]) -> None:
    top = max(claim.score for claim in claims)
    first = [claim for claim in claims if claim.score == top]
    if len({folded(claim.name) for claim in first}) > 1:
        for claim in claims:
            pairs.ambiguous.add(claim.name)
        return
    for claim in claims:
        if claim.score < top:
            pairs.without.add(claim.name)
        else:
            pairs.raster_of[claim.number] = raster
            if _is_guess(top):
                pairs.guesses.add(claim.number)
    if top[0] < 0:
        told = pairs.guessed if _is_guess(top) else pairs.changed
        told.add(f"{first[0].name} = {os.path.basename(path)}")


def _is_guess(score: Score) -> bool:
    return score[0] <= -GUESSED_STEPS


class _Rasters:
    """The rasters by stem: as it stands, with changes undone, and with separators alike."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._trails = [trail_of(path) for path in paths]
        self._by_stem: dict[str, list[int]] = defaultdict(list)
        self._undone: dict[str, list[int]] = defaultdict(list)
        self._loosely: dict[str, list[int]] = defaultdict(list)
        for number, (trail, _) in enumerate(self._trails):
            self._by_stem[trail[0]].append(number)
            for stem in {other[0] for steps, other, _ in spellings(paths[number]) if steps}:
                self._undone[stem].append(number)
            if loose(trail[0]):
                self._loosely[loose(trail[0])].append(number)

    def scores(self, name: str) -> list[tuple[Score, int]]:
        """Return the score and number of each raster that a name may mean."""
        spelled = []
        for steps, trail, extension in spellings(name):
            if trail[0] in self._by_stem:
                return self._scored(self._by_stem[trail[0]], steps, trail, extension)
            spelled.append((steps, trail, extension))
        for steps, trail, extension in spelled:
            if trail[0] in self._undone:
                return self._scored(self._undone[trail[0]], steps + 1, trail, extension)
        for steps, trail, extension in spelled:
            if loose(trail[0]) in self._loosely:
                near = self._loosely[loose(trail[0])]
                return self._scored(near, steps + LOOSE_STEPS, trail, extension)
        for stem in without_words(loose(spelled[0][1][0])):
            if stem in self._loosely:
                return [((-GUESSED_STEPS, 1, False), i) for i in self._loosely[stem]]
        return []

    def _scored(
        self, numbers: Sequence[int], steps: int, trail: list[str], extension: str
    ) -> list[tuple[Score, int]]:
        return [
            ((-steps, _shared(trail, self._trails[i][0]), extension == self._trails[i][1]), i)
            for i in numbers
        ]


def _shared(one: list[str], other: list[str]) -> int:
    count = 1  # the stems, of which one may have an ending
    for mine, hers in zip(one[1:], other[1:], strict=False):
        if mine != hers:
            break
        count += 1
    return count
