"""Ground without a polygon that looks like a category: was all of it annotated? No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.learning.threshold_search import LEVELS
from deepseg_qgis.engine.learning.training_set import TrainingSet

MANY = 0.6
"""A smaller share of what looks most like a category lacks a polygon with a poor model, too."""
FEWEST_OBJECTS = 5
"""Fewer objects in the validation areas tell nothing."""


class AnnotationGaps:
    """How probable each category is on its annotated ground, and on ground without a polygon.

    A network that was shown half of the houses as background is as unsure of the other half: it
    finds as much that looks like a house beside the polygons as under them. So the threshold is
    one that half of the annotated ground reaches, whatever the network is sure of. Keeps 4 kB a
    category, whatever the pixels.

    Source: of the idea that an annotated object and a forgotten one get the same probability,
    Elkan, Noto, Learning Classifiers from Only Positive and Unlabeled Data, KDD 2008.
    """

    def __init__(self, categories: int) -> None:
        self._annotated: NDArray[np.int64] = np.zeros((categories, LEVELS), dtype=np.int64)
        self._open: NDArray[np.int64] = np.zeros((categories, LEVELS), dtype=np.int64)

    def add(
        self,
        probabilities: NDArray[np.uint8],
        classes: NDArray[np.uint8],
        known: NDArray[np.bool_],
    ) -> None:
        """Count a piece of ground that was not trained on.

        Args:
            probabilities: (categories, n…), in 1/255.
            classes: (n…), as annotated, from 1, 0 for none.
            known: (n…), which pixels count.
        """
        classes = classes[known]
        for number, levels in enumerate(probabilities[:, known]):
            self._annotated[number] += np.bincount(levels[classes == number + 1], minlength=LEVELS)
            self._open[number] += np.bincount(levels[classes == 0], minlength=LEVELS)

    def shares(self) -> tuple[float | None, ...]:
        """Return of each category how much of what looks most like it has no polygon, 0 to 1.

        None for a category without annotated ground.
        """
        return tuple(
            _open_share(annotated, open_ground)
            for annotated, open_ground in zip(self._annotated, self._open, strict=True)
        )


def _open_share(annotated: NDArray[np.int64], open_ground: NDArray[np.int64]) -> float | None:
    """Return the share of open ground above the median level of annotated ground."""
    if not annotated.any():
        return None
    above = annotated[::-1].cumsum()[::-1]
    median = int(np.flatnonzero(2 * above >= above[0])[-1])
    found, beside = int(above[median]), int(open_ground[median:].sum())
    return beside / (found + beside)


def warn_of_gaps(
    shares: Sequence[float | None], training_set: TrainingSet, control: Control
) -> None:
    """Warn of categories of which most has no polygon, as it seems; no area of interest was drawn.

    ``shares`` are those of `AnnotationGaps`.
    """
    numbers = _validation_objects(training_set)
    doubtful = [
        f"{share:.0%} for '{category.name}'"
        for category, share, objects in zip(training_set.categories, shares, numbers, strict=False)
        if share is not None and share >= MANY and objects >= FEWEST_OBJECTS
    ]
    if doubtful:
        control.warn(
            "Objects may lack a polygon: of the ground in the validation areas that looks most "
            f"like a category, this much has none: {', '.join(doubtful)}. Run 'Predict' there and "
            "compare. If objects were forgotten, draw an area of interest around ground that you "
            "annotated completely, or annotate them. If not, the model needs more polygons to tell "
            "them from other ground."
        )


def _validation_objects(training_set: TrainingSet) -> list[int]:
    """Return how many objects of each category the validation areas hold."""
    counts = np.zeros(len(training_set.categories) + 1, dtype=np.int64)
    for labelled in training_set.labelled_rasters:
        classes = labelled.annotated.classes[labelled.in_validation]
        counts += np.bincount(classes, minlength=len(counts))
    return [int(each) for each in counts[1:]]
