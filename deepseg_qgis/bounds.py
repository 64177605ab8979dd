"""The bounds of numbers in jobs: what dialogs let through, and what the engine takes.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The numbers from ``least`` to ``most``, both included: ``0.5 in Bounds(0.0, 1.0)``."""

    least: float = -math.inf
    most: float = math.inf

    def __contains__(self, number: float) -> bool:
        return self.least <= number <= self.most


TILE_SIZE_STEP_PX = 32
"""Encoders halve the picture five times, so tiles of networks have sides in multiples of 2⁵."""

TILE_SIZE_PX = Bounds(TILE_SIZE_STEP_PX, 8192)
"""Of training, and of a model."""
PREDICTION_TILE_SIZE_PX = Bounds(TILE_SIZE_STEP_PX)
GRID_TILE_SIZE_PX = Bounds(1)
"""Of a grid of tiles, which no network sees."""
OVERLAP_PX = Bounds(0)
"""And at most half of the tile size."""
ROWS = COLUMNS = Bounds(1)

EPOCHS = Bounds(1)
MINUTES = Bounds(0.1)
SUBSETS = Bounds(3, 8)
"""Of a learning curve."""
PATIENCE = Bounds(1)
BATCH_SIZE = Bounds(1)
TRAINING_BATCH_SIZE = Bounds(2)
"""Batch normalisation needs two tiles."""
LEARNING_RATE = Bounds(1e-8, 1.0)
VALIDATION_FRACTION = Bounds(0.01, 0.89)
"""Of the annotated area."""
SEED = Bounds(0, 2**31 - 1)

THRESHOLD = Bounds(0.0, 1.0)
"""Of a probability."""
IOU_THRESHOLD = Bounds(0.0, 1.0)
MIN_AREA = Bounds(0.0)
SIMPLIFY_PX = Bounds(0.0, 4.0)
"""Beyond that outlines would have to be watched too far around every corner."""

SAMPLE_SIZE = Bounds(4, 100_000)
"""Points of a sample."""
STRATUM_POINTS = Bounds(2, 100_000)
"""Of each category: from one point no interval can be told."""
HALF_WIDTH = Bounds(0.001, 0.5)
"""Of the 95 % interval of a share."""
EXPECTED_ACCURACY = Bounds(0.01, 0.99)
"""Of a category of a map: 0 and 1 would need no sample."""

SCENE_SIZE_PX = Bounds(256, 100_000)
