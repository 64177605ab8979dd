"""Objects that are not finished yet, since they reach blocks that have not come. No I/O.

A *component* is what of an object lies in one cell of the cutting lattice; components of
neighbouring blocks become one where equal pixels meet. Across the lattice's lines they stay apart
but belong to one *group*: an object. A component is finished when all blocks around it came, a
group when all its components are. Only when a group has too many vertices do its components leave
one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising.labelling import Measures
from deepseg_qgis.engine.vectorising.sides import Line, Sides
from deepseg_qgis.engine.vectorising.spool import Chunk


class CellComponent:
    """What is known so far of an object in one cell; ``open_sides`` are those that it lies on."""

    __slots__ = (
        "category",
        "chunks",
        "first",
        "group",
        "merged_into",
        "open_sides",
        "size",
        "sum",
        "vertices",
    )

    def __init__(self, category: int, size: int, total: int, first: tuple[int, int]) -> None:
        self.category, self.size, self.sum, self.first = category, size, total, first
        self.chunks: list[Chunk] = []
        self.vertices = 0
        self.open_sides = 0
        self.merged_into: CellComponent | None = None
        self.group: ComponentGroup | None = None

    def root(self) -> CellComponent:
        """Return the component that this one has become part of."""
        component = self
        while component.merged_into is not None:
            if component.merged_into.merged_into is not None:
                component.merged_into = component.merged_into.merged_into
            component = component.merged_into
        return component


class ComponentGroup:
    """Components of one object in several cells; ``open_components`` of them are not finished."""

    __slots__ = ("cut", "finished", "merged_into", "open_components", "vertices")

    def __init__(self) -> None:
        self.open_components = 0
        self.vertices = 0
        self.cut = False
        self.finished: list[CellComponent] = []
        self.merged_into: ComponentGroup | None = None

    def root(self) -> ComponentGroup:
        """Return the group that this one has become part of."""
        group = self
        while group.merged_into is not None:
            group = group.merged_into
        return group


@dataclass
class OpenSide:
    """A side of a block that still waits for its neighbour: the components along it."""

    line: Line
    components: dict[int, CellComponent]


@dataclass
class FinishedObjects:
    """Complete objects: the components of each; ``whole`` where the lattice is to vanish."""

    objects: list[list[CellComponent]] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)


class Frontier:
    """What waits, while blocks come row by row of a complete grid over a region."""

    def __init__(self, region: Window, most_vertices: int) -> None:
        self._region, self._most_vertices = region, most_vertices
        self._below: dict[int, OpenSide] = {}
        self._right: dict[int, OpenSide] = {}
        self.cut_objects = 0

    def border(self, window: Window, sides: Sides, count: int) -> NDArray[np.bool_]:
        """Return which of a block's components touch a side beyond which the region goes on."""
        region = self._region
        reaches = np.zeros(count + 1, dtype=bool)  # the last one is for -1
        for line, beyond in (
            (sides.top, window.row > region.row),
            (sides.left, window.column > region.column),
            (sides.bottom, window.row_end < region.row_end),
            (sides.right, window.column_end < region.column_end),
        ):
            if beyond:
                reaches[line] = True
        return reaches[:count]

    def take(
        self, window: Window, sides: Sides, components: dict[int, CellComponent]
    ) -> FinishedObjects:
        """Connect a block's border components with what waits; return what is complete now."""
        region = self._region
        touched = dict.fromkeys(components.values())
        above = self._below.pop(window.column, None) if window.row > region.row else None
        left = self._right.pop(window.row, None) if window.column > region.column else None
        for side, line, same, lattice in (
            (above, sides.top, sides.same_above, sides.lattice_above),
            (left, sides.left, sides.same_left, sides.lattice_left),
        ):
            if side is None:
                continue
            for there, here in _pairs(side.line[same], line[same]):
                (self._link if lattice else self._unite)(side.components[there], components[here])
            for component in side.components.values():
                root = component.root()
                root.open_sides -= 1
                touched[root] = None
        if window.row_end < region.row_end:
            _wait(self._below, window.column, sides.bottom, components)
        if window.column_end < region.column_end:
            _wait(self._right, window.row, sides.right, components)
        return self._finished(dict.fromkeys(component.root() for component in touched))

    def _unite(self, one: CellComponent, other: CellComponent) -> None:
        one, other = one.root(), other.root()
        if one is other:
            return
        if len(one.chunks) < len(other.chunks):
            one, other = other, one
        if one.group is not None or other.group is not None:
            self._link(one, other)
            assert one.group is not None
            one.group.root().open_components -= 1
        other.merged_into = one
        one.size += other.size
        one.sum += other.sum
        one.first = min(one.first, other.first)
        one.chunks.extend(other.chunks)
        one.vertices += other.vertices
        one.open_sides += other.open_sides
        other.chunks = []

    def _link(self, one: CellComponent, other: CellComponent) -> None:
        groups = [_grouped(component.root()) for component in (one, other)]
        if groups[0] is groups[1]:
            return
        kept, gone = sorted(groups, key=lambda group: -len(group.finished))
        gone.merged_into = kept
        kept.open_components += gone.open_components
        kept.vertices += gone.vertices
        self.cut_objects -= kept.cut and gone.cut
        kept.cut |= gone.cut
        kept.finished.extend(gone.finished)
        gone.finished = []

    def _finished(self, touched: dict[CellComponent, None]) -> FinishedObjects:
        finished = FinishedObjects()
        for component in touched:
            if component.open_sides:
                continue
            if component.group is None:
                finished.objects.append([component])
                finished.whole.append(False)
                continue
            group = component.group.root()
            group.open_components -= 1
            group.finished.append(component)
            if group.vertices > self._most_vertices and not group.cut:
                group.cut = True
                self.cut_objects += 1
            if group.cut:
                finished.objects.extend([each] for each in group.finished)
                finished.whole.extend(False for _ in group.finished)
                group.finished = []
            elif group.open_components == 0:
                finished.objects.append(group.finished)
                finished.whole.append(True)
        return finished


def _grouped(component: CellComponent) -> ComponentGroup:
    """Return the group of a component, its own if it had none."""
    if component.group is None:
        component.group = ComponentGroup()
        component.group.open_components = 1
        component.group.vertices = component.vertices
    return component.group.root()


def _pairs(there: Line, here: Line) -> Iterator[tuple[int, int]]:
    """Yield each pair of components that meet, once."""
    if len(there) == 0:
        return
    change = np.ones(len(there), dtype=bool)
    change[1:] = (there[1:] != there[:-1]) | (here[1:] != here[:-1])
    yield from set(zip(there[change].tolist(), here[change].tolist(), strict=True))


def _wait(
    sides: dict[int, OpenSide], at: int, line: Line, components: dict[int, CellComponent]
) -> None:
    """Have the components along a side wait for the block across."""
    present = np.unique(line)
    along = {number: components[number] for number in present.tolist() if number >= 0}
    if not along:
        return
    sides[at] = OpenSide(line, along)
    for component in along.values():
        component.root().open_sides += 1


def new_components(
    found: Measures, which: NDArray[np.int64], window: Window
) -> dict[int, CellComponent]:
    """Return components of a block, by their number in it."""
    return {
        int(i): CellComponent(
            int(found.classes[i]),
            int(found.sizes[i]),
            int(found.sums[i]),
            (int(found.first_rows[i]) + window.row, int(found.first_columns[i]) + window.column),
        )
        for i in which
    }
