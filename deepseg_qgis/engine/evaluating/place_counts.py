"""What is right and wrong at each place of the ground: for how sure a score is. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.evaluating.model_evaluation import ComparedRaster
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.scoring.matches import FALSE_POSITIVE, MISSED, TRUE_POSITIVE, Matches
from deepseg_qgis.engine.scoring.objects import Objects

Place = tuple[int, int, int]
"""A raster's number, and the row and column of a square on it."""
PlaceCounts = Mapping[Place, NDArray[np.int64]]
"""At each place (categories, 3): true positives, false positives, false negatives."""


def object_counts(
    matches: Matches, categories: Sequence[int], raster: int, side_px: int
) -> PlaceCounts:
    """Return the objects of some categories, by squares of ``side_px``.

    What was found counts at its reference, so that equal finds of two models count at one place.
    """
    predicted, reference = matches.predicted, matches.reference
    right = matches.status.predicted == TRUE_POSITIVE
    found = matches.status.reference_index[right]
    kinds = (
        (reference.geometries[found], reference.categories[found]),
        _chosen(predicted, matches.status.predicted == FALSE_POSITIVE),
        _chosen(reference, matches.status.reference == MISSED),
    )
    counts: dict[Place, NDArray[np.int64]] = {}
    for column, (geometries, owners) in enumerate(kinds):
        for row, category in enumerate(categories):
            for place in _places(geometries[owners == category], raster, side_px):
                _at(counts, place, len(categories))[row, column] += 1
    return counts


def pixel_counts(
    compared: ComparedRaster, categories: Sequence[int], raster: int, side_px: int
) -> PlaceCounts:
    """Return the pixels of some categories (numbered from 0), by squares of ``side_px``."""
    rows, columns = np.nonzero(compared.counted)
    squares = (
        (rows + compared.region.row) // side_px,
        (columns + compared.region.column) // side_px,
    )
    places, owner = np.unique(np.stack(squares), axis=1, return_inverse=True)
    predicted = compared.predicted[rows, columns]
    reference = compared.reference[rows, columns]
    counts = np.zeros((places.shape[1], len(categories), 3), dtype=np.int64)
    for row, category in enumerate(categories):
        said, there = predicted == category + 1, reference == category + 1
        for column, which in enumerate((said & there, said & ~there, there & ~said)):
            counts[:, row, column] = np.bincount(owner[which], minlength=places.shape[1])
    keys = [(raster, int(row), int(column)) for row, column in places.T]
    return dict(zip(keys, counts, strict=True))


def aligned(trainings: Sequence[PlaceCounts], categories: int) -> list[NDArray[np.int64]]:
    """Return for each training (places, categories, 3), in one order of the places of all."""
    places = sorted(set().union(*trainings))
    nothing = np.zeros((categories, 3), dtype=np.int64)
    return [
        np.stack([counts.get(place, nothing) for place in places])
        if places
        else np.zeros((1, categories, 3), dtype=np.int64)
        for counts in trainings
    ]


def _chosen(objects: Objects, which: NDArray[np.bool_]) -> tuple[Geometries, NDArray[np.int64]]:
    return objects.geometries[which], objects.categories[which]


def _places(geometries: Geometries, raster: int, side_px: int) -> list[Place]:
    points = shapely.centroid(geometries)
    rows = np.floor(shapely.get_y(points) / side_px).astype(int).tolist()
    columns = np.floor(shapely.get_x(points) / side_px).astype(int).tolist()
    return [(raster, row, column) for row, column in zip(rows, columns, strict=True)]


def _at(counts: dict[Place, NDArray[np.int64]], place: Place, categories: int) -> NDArray[np.int64]:
    return counts.setdefault(place, np.zeros((categories, 3), dtype=np.int64))
