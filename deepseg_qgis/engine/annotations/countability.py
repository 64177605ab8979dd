"""Which categories are countable (things), and which are stuff."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np
import shapely

from deepseg_qgis.engine.annotations.labelled_raster import LabelledRaster
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.tiling import LATTICE_PX
from deepseg_qgis.engine.instances.slots import (
    FEWEST_EACH,
    MOST_SLOTS,
    USUAL_EACH,
    slots_needed,
)
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.errors import ParameterError, counted, listed

NEAR_PX = 2.0
NEAR_SHARE = 0.1
"""A category is countable when so many of its objects lie so near to another one, …"""
QUARTER_TILE = 0.25
"""… and the median object is smaller than this share of a training tile."""
INSTANCE_TASK_HINT = "the task 'instance' tells apart all but what you name as not counted"


@dataclass(frozen=True)
class AnnotationStatistics:
    """The annotations of one category: how many objects, the share near another, the median size.

    ``in_parts`` is how many of the objects are in several parts, ``tiny`` how many are smaller than
    a pixel; ``known`` whether the initial model tells them apart, None if it does not know them.
    """

    category: Category
    objects: int
    near_share: float
    median_px: float
    in_parts: int = 0
    tiny: int = 0
    known: bool | None = None

    def countable(self, tile_size_px: int) -> bool:
        """Whether its objects are to be told apart, unless the user says otherwise."""
        if self.known is not None:
            return self.known
        return self._touches and self._is_small(tile_size_px)

    def reason(self, tile_size_px: int) -> str:
        """Why they are or are not, and how to have it otherwise where that might be wanted."""
        if self.known is not None:
            return f"as in the initial model{'' if self.known else f'; {INSTANCE_TASK_HINT}'}"
        if not self._touches:
            few = f"fewer than {NEAR_SHARE:.0%} lie so near; {INSTANCE_TASK_HINT}"
            return few if self.objects > 1 else "there is just one"
        if not self._is_small(tile_size_px):
            least = math.sqrt(self.median_px / QUARTER_TILE) + 1.0
            side = math.ceil(least / LATTICE_PX) * LATTICE_PX
            return (
                f"the median object is larger than a quarter of a tile; tiles of {side} px tell "
                f"them apart, or {INSTANCE_TASK_HINT}"
            )
        return (
            "at least a tenth lie so near; if nobody counts it, name it under 'Categories that "
            "nobody counts'"
        )

    @property
    def _touches(self) -> bool:
        return self.objects > 1 and self.near_share >= NEAR_SHARE

    def _is_small(self, tile_size_px: int) -> bool:
        return self.median_px < QUARTER_TILE * tile_size_px**2

    @property
    def text(self) -> str:
        """What was found, in words."""
        return (
            f"{self.category.name}: {counted(self.objects, 'object')}, {self.near_share:.1%} "
            f"within {NEAR_PX:g} px of another, median {self.median_px:,.0f} px"
        )


def decided_by_annotations(task: str, stuff: Sequence[str]) -> bool:
    """Whether the annotations decide what is countable, for all that ``stuff`` does not name."""
    return task == "auto" or (task == "panoptic" and not stuff)


def stuff_categories(written: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return which categories are meant by what was written between commas.

    Letters may be large or small, and a name may hold commas itself: then several pieces are one.

    Raises:
        ParameterError: a category of that name is not there.
    """
    plain = {_plain(name): name for name in reversed(names)}
    meant, unknown, start = [], [], 0
    while start < len(written):
        for stop in range(len(written), start, -1):
            pieces = ", ".join(written[start:stop])
            name = pieces if pieces in names else plain.get(_plain(pieces))
            if name is not None:
                meant.append(name)
                break
        else:
            unknown.append(written[start])
            stop = start + 1
        start = stop
    if unknown:
        raise ParameterError(
            f"Categories that nobody counts (STUFF_CATEGORIES): there is no {listed(unknown)}. The "
            f"annotations have {listed(names)}. Correct the names, separated by commas."
        )
    return tuple(meant)


def _plain(name: str) -> str:
    """Return a name without what nobody sees: case, blanks beside commas, the form of accents."""
    return normalize("NFC", ",".join(part.strip() for part in name.split(",")).casefold())


def annotation_statistics(
    labelled_rasters: Sequence[LabelledRaster], categories: Sequence[Category]
) -> list[AnnotationStatistics]:
    """Return the statistics of each category's annotations on labelled ground."""
    return [
        _statistics_of(labelled_rasters, category, i + 1) for i, category in enumerate(categories)
    ]


def countable_categories(
    task: str, stuff: Sequence[str], statistics: Sequence[AnnotationStatistics], tile_size_px: int
) -> tuple[bool, ...]:
    """Return for each category whether its objects are told apart.

    Args:
        task: ``auto`` (each category by its annotations), ``semantic`` (none), ``instance`` (all
            but ``stuff``), ``panoptic`` (the same; by their annotations if none is named).
        stuff: categories that are not countable, whatever their annotations look like.
        statistics: of each category's annotations.
        tile_size_px: side of a training tile.

    Raises:
        ParameterError: nothing is left to count.
    """
    if task == "semantic":
        return (False,) * len(statistics)
    by_annotations = decided_by_annotations(task, stuff)
    result = tuple(
        each.category.name not in stuff and (not by_annotations or each.countable(tile_size_px))
        for each in statistics
    )
    if task != "auto" and not any(result):
        raise ParameterError(
            f"The task '{task}' tells objects apart, but no category is countable: "
            f"{'; '.join(each.text for each in statistics)}. Name fewer under 'Categories that "
            "nobody counts' (STUFF_CATEGORIES), or choose the task 'semantic'."
        )
    return result


def check_slots(countable: Sequence[bool], control: Control) -> None:
    """Check that `predict` can keep the objects of so many categories apart; warn if hardly.

    Raises:
        ParameterError: it cannot.
    """
    count = sum(countable)
    advice = (
        "Unite categories, name those whose objects need not be told apart under 'Categories that "
        "nobody counts' (STUFF_CATEGORIES), or choose the task 'semantic'."
    )
    if slots_needed(countable, FEWEST_EACH) > MOST_SLOTS:
        raise ParameterError(
            f"{count} of {len(countable)} categories have single objects to be told apart; "
            f"DeepSeg tells apart those of about {MOST_SLOTS // FEWEST_EACH} at most. {advice}"
        )
    if slots_needed(countable, USUAL_EACH) > MOST_SLOTS:
        control.warn(
            f"{count} of {len(countable)} categories have single objects to be told apart. Where "
            f"many of them touch, predictions may fail. {advice}"
        )


def _statistics_of(
    labelled_rasters: Sequence[LabelledRaster], category: Category, number: int
) -> AnnotationStatistics:
    parts = [_on_labelled_ground(labelled, number) for labelled in labelled_rasters]
    near = sum(_count_near(part) for part in parts)
    sizes = np.concatenate([shapely.area(part) for part in parts])
    count = len(sizes)
    median = float(np.median(sizes)) if count else 0.0
    in_parts = sum(int((shapely.get_num_geometries(part) > 1).sum()) for part in parts)
    tiny = int((sizes < 1.0).sum())
    return AnnotationStatistics(
        category, count, near / count if count else 0.0, median, in_parts, tiny
    )


def _on_labelled_ground(labelled: LabelledRaster, number: int) -> Geometries:
    mine = labelled.annotated.geometries[labelled.annotated.classes == number]
    touching = np.zeros(len(mine), dtype=bool)
    for area in (labelled.training, labelled.validation):
        shapely.prepare(area.geometry)
        touching |= shapely.intersects(area.geometry, mine)
    result: Geometries = mine[touching]
    return result


def _count_near(geometries: Geometries) -> int:
    """Return how many polygons lie near another one."""
    tree = shapely.STRtree(geometries)
    one, other = tree.query(geometries, predicate="dwithin", distance=NEAR_PX)
    return len(np.unique(one[one != other]))
