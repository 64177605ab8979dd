"""What is wrong with each object, on both sides: the kinds of `docs/evaluation.md`. No I/O.

What two objects share is looked at as D. Bolya et al., TIDE: A General Toolbox for Identifying
Object Detection Errors (ECCV 2020) do, who tell missed, false and wrongly classified objects from
badly localised ones; merged and split ones are added, which matter where objects are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.scoring.matches import IGNORED, UNMATCHED, Matches
from deepseg_qgis.engine.scoring.matching import paired
from deepseg_qgis.engine.scoring.objects import Flags, Floats, Indices, Objects
from deepseg_qgis.engine.scoring.polygon_overlaps import PERFECT, OverlapPairs, shared_areas

RIGHT = "right"
MISSED = "missed"
FALSE_ALARM = "false alarm"
MERGED = "merged"
SPLIT = "split"
WRONG_CATEGORY = "wrong category"
BADLY_OUTLINED = "badly outlined"
KINDS = (RIGHT, MISSED, FALSE_ALARM, MERGED, SPLIT, WRONG_CATEGORY, BADLY_OUTLINED)
NOT_COUNTED = ""
"""The kind of objects that do not count."""
UNKNOWN = "?"
"""While the kinds are being found."""

LEAST_IOU = 0.1
"""From here on two objects that do not match are one object, badly outlined (as in TIDE)."""
INSIDE = 0.5
"""An object with this share of its area in another one is a part of it."""


@dataclass(frozen=True)
class ObjectErrors:
    """What each object of a side is; arrays of its length.

    ``kinds`` are those of `KINDS`, or '' for objects that do not count. ``partners`` are indices of
    the other side, -1 for none: the object that it was matched to, merged into, split from, taken
    for or confused with, or the one that it shares most ground with; ``ious`` the IoU with it (0
    without one). ``parts`` says of how many objects of the other side a merged or split one is.
    ``duplicate`` marks those whose partner is taken by another object.
    """

    kinds: NDArray[np.object_]
    partners: Indices
    ious: Floats
    parts: Indices
    duplicate: Flags


def object_errors(matches: Matches) -> tuple[ObjectErrors, ObjectErrors]:
    """Return what each prediction and each reference is.

    Memory: the pairs whose boxes overlap.
    """
    pairs, threshold = _Pairs.of(matches.predicted, matches.reference), matches.iou_threshold
    status = matches.status  # a prediction of what does not count does not count either
    predicted, reference = _Side(status.predicted), _Side(status.reference)
    _set_right(predicted, reference, pairs, matches.status.reference_index)
    unlike = ~pairs.alike & pairs.reaching(threshold)
    _set_pairs(predicted, reference, pairs, unlike, WRONG_CATEGORY)
    _set_gathered(predicted, reference, pairs, MERGED, threshold)
    _set_gathered(reference, predicted, pairs.swapped, SPLIT, threshold)
    near = pairs.alike & (pairs.iou >= LEAST_IOU)
    _set_pairs(predicted, reference, pairs, near, BADLY_OUTLINED)
    predicted.set_rest(FALSE_ALARM, pairs, threshold)
    reference.set_rest(MISSED, pairs.swapped, threshold)
    return predicted.errors, reference.errors


def ranks(
    predicted: tuple[Objects, ObjectErrors], reference: tuple[Objects, ObjectErrors]
) -> tuple[Indices, Indices]:
    """Return the place of each object, over both sides: 1 is the worst; 0 does not count.

    Errors come first, by the ground that they get wrong: that of the object, or, if it is badly
    outlined, what it and its partner do not share. Right ones follow, the lowest IoU first.
    """
    kinds = np.concatenate([predicted[1].kinds, reference[1].kinds])
    ious = np.concatenate([predicted[1].ious, reference[1].ious])
    wrong = np.concatenate(
        [_wrong_ground(*predicted, reference[0]), _wrong_ground(*reference, predicted[0])]
    )
    counted, right = np.flatnonzero(kinds != NOT_COUNTED), kinds == RIGHT
    order = np.lexsort((np.where(right, ious, -wrong)[counted], right[counted]))
    rank = np.zeros(len(kinds), dtype=np.int64)
    rank[counted[order]] = np.arange(1, len(counted) + 1)
    first, second = np.split(rank, [len(predicted[0])])
    return first, second


def _wrong_ground(objects: Objects, errors: ObjectErrors, others: Objects) -> Floats:
    areas: Floats = shapely.area(objects.geometries)
    bad = np.flatnonzero(errors.kinds == BADLY_OUTLINED)
    both = areas[bad] + shapely.area(others.geometries[errors.partners[bad]])
    iou = errors.ious[bad]
    areas[bad] = both * (1.0 - iou) / (1.0 + iou)  # the union without what is shared
    return areas


@dataclass(frozen=True)
class _Pairs:
    """Pairs of objects that count and share ground; ``one`` and ``other`` are indices of two sides.

    ``inside`` is the share of the other one's area that they share, ``inside_one`` that of the
    one's; ``alike`` says whether both are of one category.
    """

    one: Indices
    other: Indices
    inside_one: Floats
    inside: Floats
    iou: Floats
    alike: Flags

    @classmethod
    def of(cls, predicted: Objects, reference: Objects) -> _Pairs:
        chosen, candidates = (np.flatnonzero(~side.ignored) for side in (predicted, reference))
        i, j, shared = shared_areas(predicted.geometries[chosen], reference.geometries[candidates])
        i, j = chosen[i], candidates[j]
        one, other = shapely.area(predicted.geometries)[i], shapely.area(reference.geometries)[j]
        alike = predicted.categories[i] == reference.categories[j]
        iou = np.minimum(shared / (one + other - shared), 1.0)
        return cls(i, j, shared / one, shared / other, iou, alike)

    @property
    def swapped(self) -> _Pairs:
        return _Pairs(self.other, self.one, self.inside, self.inside_one, self.iou, self.alike)

    def reaching(self, threshold: float) -> Flags:
        return self.iou >= min(threshold, PERFECT)


class _Side:
    """What is known so far of the objects of one side."""

    def __init__(self, status: NDArray[np.str_]) -> None:
        count = len(status)
        self.errors = ObjectErrors(
            np.full(count, UNKNOWN, dtype=object),
            np.full(count, UNMATCHED, dtype=np.int64),
            np.zeros(count),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=bool),
        )
        self.errors.kinds[status == IGNORED] = NOT_COUNTED

    @property
    def unknown(self) -> Flags:
        """Which objects have no kind yet."""
        unknown: Flags = np.asarray(self.errors.kinds == UNKNOWN, dtype=bool)
        return unknown

    def set(self, which: Indices, kind: str, partners: Indices, ious: Floats) -> None:
        self.errors.kinds[which] = kind
        self.errors.partners[which] = partners
        self.errors.ious[which] = ious

    def set_rest(self, kind: str, pairs: _Pairs, threshold: float) -> None:
        """Give a kind to those that have none; their partner is whom they share most with."""
        unknown = self.unknown
        self.errors.kinds[unknown] = kind
        order = np.flatnonzero(unknown[pairs.one])
        order = order[np.argsort(-pairs.iou[order], kind="stable")]
        owners, first = np.unique(pairs.one[order], return_index=True)
        best = order[first]
        self.set(owners, kind, pairs.other[best], pairs.iou[best])
        self.errors.duplicate[owners] = (pairs.alike & pairs.reaching(threshold))[best]


def _set_right(predicted: _Side, reference: _Side, pairs: _Pairs, index: Indices) -> None:
    """Set what was matched; ``index`` is each prediction's reference, or -1."""
    right = index[pairs.one] == pairs.other
    i, j, iou = pairs.one[right], pairs.other[right], pairs.iou[right]
    predicted.set(i, RIGHT, j, iou)
    reference.set(j, RIGHT, i, iou)


def _set_pairs(predicted: _Side, reference: _Side, pairs: _Pairs, which: Flags, kind: str) -> None:
    """Pair objects without a kind one to one, the closest first."""
    which = which & predicted.unknown[pairs.one] & reference.unknown[pairs.other]
    chosen = OverlapPairs(pairs.one[which], pairs.other[which], pairs.iou[which])
    chosen = chosen.selected(np.argsort(-chosen.iou, kind="stable"))
    index = paired(chosen, len(predicted.unknown), len(reference.unknown))
    kept = index[chosen.predicted] == chosen.reference
    i, j, iou = chosen.predicted[kept], chosen.reference[kept], chosen.iou[kept]
    predicted.set(i, kind, j, iou)
    reference.set(j, kind, i, iou)


def _set_gathered(wholes: _Side, parts: _Side, pairs: _Pairs, kind: str, threshold: float) -> None:
    """Give a kind to objects that hold several of the other side, and to these.

    ``pairs`` have the wholes as their one side. A right whole stays right, but what it holds
    besides gets the kind. What lies on a whole like its match does is no part but a duplicate.
    """
    inside = pairs.alike & (pairs.inside >= INSIDE)
    count = np.bincount(pairs.one[inside], minlength=len(wholes.unknown))
    several = np.flatnonzero(inside & (count[pairs.one] > 1))
    several = several[np.argsort(-pairs.iou[several], kind="stable")]
    one, other, iou = pairs.one[several], pairs.other[several], pairs.iou[several]
    part = parts.unknown[other] & ~pairs.reaching(threshold)[several]
    whole = wholes.unknown[one]
    for side, which, mine, theirs in ((parts, part, other, one), (wholes, whole, one, other)):
        owners, first = np.unique(mine[which], return_index=True)
        best = np.flatnonzero(which)[first]
        side.set(owners, kind, theirs[best], iou[best])
        side.errors.parts[owners] = count[one[best]]
