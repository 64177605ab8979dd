"""Outlines of finished objects, of one block or gathered from several. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepseg_qgis.engine.geometry.tiling import Window
from deepseg_qgis.engine.kernels import Flags, Ints
from deepseg_qgis.engine.vectorising.frontier import FinishedObjects
from deepseg_qgis.engine.vectorising.labelling import Measures
from deepseg_qgis.engine.vectorising.loops import ragged
from deepseg_qgis.engine.vectorising.tracing import Fragments


@dataclass(frozen=True)
class Outlines:
    """Fragments of outlines (see `tracing.Fragments`); ``owners`` count through the objects.

    ``whole`` says for each object whether lattice edges fall away.
    """

    vertices: Ints
    offsets: Ints
    owners: Ints
    closed: Flags
    whole: Flags


def inner_objects(
    fragments: Fragments, measures: Measures, inner: Flags, window: Window
) -> tuple[Outlines, Measures]:
    """Return the objects of a block that no other block has a part of.

    Args:
        fragments: the block's.
        measures: of the block's components, first pixels in the block.
        inner: (components,), which of them are such objects.
        window: the block's.
    """
    numbers = np.cumsum(inner) - 1
    which = np.flatnonzero(inner[fragments.components])
    vertices, offsets = ragged(fragments.vertices, fragments.offsets, which)
    outlines = Outlines(
        vertices,
        offsets,
        numbers[fragments.components[which]],
        fragments.closed[which],
        np.zeros(int(inner.sum()), dtype=bool),
    )
    return outlines, Measures(
        measures.classes[inner],
        measures.sizes[inner],
        measures.sums[inner],
        measures.first_rows[inner] + window.row,
        measures.first_columns[inner] + window.column,
    )


def with_finished(
    outlines: Outlines, measures: Measures, finished: FinishedObjects
) -> tuple[Outlines, Measures]:
    """Return objects of one block together with those that ended in it."""
    if not finished.objects:
        return outlines, measures
    vertices, lengths, owners = [outlines.vertices], [np.diff(outlines.offsets)], [outlines.owners]
    count = len(measures.classes)
    for number, components in enumerate(finished.objects):
        for chunk in (chunk for component in components for chunk in component.chunks):
            vertices.append(chunk.vertices())
            lengths.append(chunk.lengths)
            owners.append(np.full(len(chunk.lengths), count + number))
    signed = np.concatenate(lengths)
    closed = signed > 0
    closed[: len(outlines.closed)] = outlines.closed
    joined = Outlines(
        np.concatenate(vertices),
        np.concatenate([[0], np.cumsum(np.abs(signed))]),
        np.concatenate(owners),
        closed,
        np.concatenate([outlines.whole, np.array(finished.whole, dtype=bool)]),
    )
    rows = [
        (
            components[0].category,
            sum(component.size for component in components),
            sum(component.sum for component in components),
            *min(component.first for component in components),
        )
        for components in finished.objects
    ]
    added = np.array(rows, dtype=np.int64).T
    return joined, Measures(
        np.concatenate([measures.classes, added[0].astype(np.uint8)]),
        np.concatenate([measures.sizes, added[1]]),
        np.concatenate([measures.sums, added[2]]),
        np.concatenate([measures.first_rows, added[3]]),
        np.concatenate([measures.first_columns, added[4]]),
    )
