"""Two sides compared, raster after raster, as pixels and as objects. No I/O.

Neither side needs a model: what is compared may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deepseg_qgis.engine.geometry.areas import Area, clipped
from deepseg_qgis.engine.geometry.polygon_arrays import Geometries
from deepseg_qgis.engine.geometry.repair import repair
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.scoring.confusion import ConfusionMatrix, check_categories
from deepseg_qgis.engine.scoring.matches import Matches
from deepseg_qgis.engine.scoring.matching import match
from deepseg_qgis.engine.scoring.objects import Objects
from deepseg_qgis.engine.scoring.scores import Evaluation, evaluation


@dataclass(frozen=True)
class Segmentation:
    """What one side says of a region of a raster.

    ``classes`` (rows, columns) uint8 are those of the pixels, 0 for background; ``objects`` those
    inside of the compared area, see `objects_inside`.
    """

    classes: NDArray[np.uint8]
    objects: Objects


class Comparison:
    """Compares predictions with a reference, and sums up over rasters.

    ``categories`` are those that may be predicted, then those that only the reference has: these
    count as missed. ``countable`` says of each whether it comes as objects ("things"), or as ground
    that nobody counts ("stuff").

    Raises:
        ParameterError: there are too many categories.
    """

    def __init__(
        self, categories: Sequence[Category], countable: Sequence[bool], iou_threshold: float
    ) -> None:
        check_categories(len(categories))
        self.categories, self.countable = categories, countable
        self._iou_threshold = iou_threshold
        self._confusions: list[ConfusionMatrix] = []
        self._matches: list[Matches] = []

    def add(
        self, predicted: Segmentation, reference: Segmentation, counted: NDArray[np.bool_]
    ) -> None:
        """Compare the two sides of a raster, their pixels where ``counted`` is true."""
        confusion = ConfusionMatrix(len(self.categories))
        confusion.add(reference.classes, predicted.classes, counted)
        self._confusions.append(confusion)
        self._matches.append(
            match(
                predicted.objects,
                reference.objects,
                len(self.categories),
                iou_threshold=self._iou_threshold,
            )
        )

    @property
    def matches(self) -> Sequence[Matches]:
        """Who was matched to whom, on one raster after the other."""
        return self._matches

    def scores(self, thresholds: Sequence[float]) -> Evaluation:
        """Return every score; ``thresholds`` are those of the categories that may be predicted."""
        missing = len(self.categories) - len(thresholds)
        return evaluation(
            self.categories,
            [*thresholds, *[None] * missing],
            self.countable,
            self._confusions,
            Matches.joined(self._matches),
        )


def objects_inside(
    area: Area,
    geometries: Geometries,
    classes: NDArray[np.uint8],
    scores: NDArray[np.float64],
    ignored: NDArray[np.bool_] | None = None,
) -> Objects:
    """Return objects clipped to the area; ignored too with less than half of theirs inside."""
    inside, usable, _ = repair(clipped(geometries, area))
    mostly_outside = shapely.area(inside) < 0.5 * shapely.area(geometries)
    return Objects(
        inside[usable],
        classes[usable].astype(np.int64) - 1,
        scores[usable],
        (mostly_outside if ignored is None else mostly_outside | ignored)[usable],
    )
