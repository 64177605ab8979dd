"""Objects that are not finished yet, since they reach blocks that have not come. No I/O.

A *piece* is what of an object lies in one cell of the cutting lattice; pieces of neighbouring
blocks become one where equal pixels meet. Across the lattice's lines pieces stay apart but belong
to one *group*: an object. A piece is finished when all blocks around it came, a group when all its
pieces are. Only when a group has too many vertices do its pieces leave one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.vectorising.labelling import Pieces
from deepseg_qgis.engine.vectorising.spool import Chunk

Line = NDArray[np.int32]
"""The piece of each pixel along a block's side; -1 where there is none."""


class Piece:
    """A part of an object that still grows; ``waiting`` counts the open sides that it lies on."""

    __slots__ = (
        "category",
        "chunks",
        "first",
        "group",
        "into",
        "size",
        "sum",
        "vertices",
        "waiting",
    )

    def __init__(self, category: int, size: int, total: int, first: tuple[int, int]) -> None:
        self.category, self.size, self.sum, self.first = category, size, total, first
        self.chunks: list[Chunk] = []
        self.vertices = 0
        self.waiting = 0
        self.into: Piece | None = None
        self.group: Group | None = None

    def root(self) -> Piece:
        """Return the piece that this one has become part of."""
        piece = self
        while piece.into is not None:
            if piece.into.into is not None:
                piece.into = piece.into.into
            piece = piece.into
        return piece


class Group:
    """Pieces of one object in several cells; ``open`` of them are not finished."""

    __slots__ = ("cut", "done", "into", "open", "vertices")

    def __init__(self) -> None:
        self.open = 0
        self.vertices = 0
        self.cut = False
        self.done: list[Piece] = []
        self.into: Group | None = None

    def root(self) -> Group:
        """Return the group that this one has become part of."""
        group = self
        while group.into is not None:
            group = group.into
        return group


@dataclass
class Side:
    """A side of a block that still waits for its neighbour: the pieces along it."""

    line: Line
    pieces: dict[int, Piece]


@dataclass(frozen=True)
class Sides:
    """The sides of a block: pieces along each, and which pixels continue those across.

    ``same_above`` and ``same_left`` (bool) are True where the pixel across is of the same class.
    ``lattice_above`` and ``lattice_left`` say that the side lies on the lattice.
    """

    top: Line
    bottom: Line
    left: Line
    right: Line
    same_above: NDArray[np.bool_]
    same_left: NDArray[np.bool_]
    lattice_above: bool
    lattice_left: bool


@dataclass
class Finished:
    """Objects that are complete: the pieces of each; ``whole`` where the lattice is to vanish."""

    objects: list[list[Piece]] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)


class Frontier:
    """What waits, while blocks come row by row of a complete grid over a region."""

    def __init__(self, region: Window, most_vertices: int) -> None:
        self._region, self._most_vertices = region, most_vertices
        self._below: dict[int, Side] = {}
        self._right: dict[int, Side] = {}
        self.cut_objects = 0

    def border(self, window: Window, sides: Sides, count: int) -> NDArray[np.bool_]:
        """Return which of a block's pieces touch a side beyond which the region goes on."""
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

    def take(self, window: Window, sides: Sides, pieces: dict[int, Piece]) -> Finished:
        """Connect a block's border pieces with what waits; return what is complete now."""
        region = self._region
        touched = dict.fromkeys(pieces.values())
        above = self._below.pop(window.column, None) if window.row > region.row else None
        left = self._right.pop(window.row, None) if window.column > region.column else None
        for side, line, same, lattice in (
            (above, sides.top, sides.same_above, sides.lattice_above),
            (left, sides.left, sides.same_left, sides.lattice_left),
        ):
            if side is None:
                continue
            for there, here in _pairs(side.line[same], line[same]):
                (self._link if lattice else self._unite)(side.pieces[there], pieces[here])
            for piece in side.pieces.values():
                root = piece.root()
                root.waiting -= 1
                touched[root] = None
        if window.row_end < region.row_end:
            _wait(self._below, window.column, sides.bottom, pieces)
        if window.column_end < region.column_end:
            _wait(self._right, window.row, sides.right, pieces)
        return self._finished(dict.fromkeys(piece.root() for piece in touched))

    def _unite(self, one: Piece, other: Piece) -> None:
        one, other = one.root(), other.root()
        if one is other:
            return
        if len(one.chunks) < len(other.chunks):
            one, other = other, one
        if one.group is not None or other.group is not None:
            self._link(one, other)
            assert one.group is not None
            one.group.root().open -= 1
        other.into = one
        one.size += other.size
        one.sum += other.sum
        one.first = min(one.first, other.first)
        one.chunks.extend(other.chunks)
        one.vertices += other.vertices
        one.waiting += other.waiting
        other.chunks = []

    def _link(self, one: Piece, other: Piece) -> None:
        groups = [_grouped(piece.root()) for piece in (one, other)]
        if groups[0] is groups[1]:
            return
        into, gone = sorted(groups, key=lambda group: -len(group.done))
        gone.into = into
        into.open += gone.open
        into.vertices += gone.vertices
        self.cut_objects -= into.cut and gone.cut
        into.cut |= gone.cut
        into.done.extend(gone.done)
        gone.done = []

    def _finished(self, touched: dict[Piece, None]) -> Finished:
        finished = Finished()
        for piece in touched:
            if piece.waiting:
                continue
            if piece.group is None:
                finished.objects.append([piece])
                finished.whole.append(False)
                continue
            group = piece.group.root()
            group.open -= 1
            group.done.append(piece)
            if group.vertices > self._most_vertices and not group.cut:
                group.cut = True
                self.cut_objects += 1
            if group.cut:
                finished.objects.extend([each] for each in group.done)
                finished.whole.extend(False for _ in group.done)
                group.done = []
            elif group.open == 0:
                finished.objects.append(group.done)
                finished.whole.append(True)
        return finished


def _grouped(piece: Piece) -> Group:
    """Return the group of a piece, its own if it had none."""
    if piece.group is None:
        piece.group = Group()
        piece.group.open = 1
        piece.group.vertices = piece.vertices
    return piece.group.root()


def _pairs(there: Line, here: Line) -> Iterator[tuple[int, int]]:
    """Yield each pair of pieces that meet, once."""
    if len(there) == 0:
        return
    change = np.ones(len(there), dtype=bool)
    change[1:] = (there[1:] != there[:-1]) | (here[1:] != here[:-1])
    yield from set(zip(there[change].tolist(), here[change].tolist(), strict=True))


def _wait(sides: dict[int, Side], at: int, line: Line, pieces: dict[int, Piece]) -> None:
    """Have the pieces along a side wait for the block across."""
    present = np.unique(line)
    along = {number: pieces[number] for number in present.tolist() if number >= 0}
    if not along:
        return
    sides[at] = Side(line, along)
    for piece in along.values():
        piece.root().waiting += 1


def new_pieces(found: Pieces, which: NDArray[np.int64], window: Window) -> dict[int, Piece]:
    """Return pieces of a block, by their number in it."""
    return {
        int(i): Piece(
            int(found.classes[i]),
            int(found.sizes[i]),
            int(found.sums[i]),
            (int(found.first_rows[i]) + window.row, int(found.first_columns[i]) + window.column),
        )
        for i in which
    }
