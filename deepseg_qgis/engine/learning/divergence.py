"""Whether a training came off its course. No I/O."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

FAR_ABOVE = 3.0
"""An epoch whose loss is so many times that of the epochs before has diverged."""
EPOCHS_COMPARED = 3
MOST_ROLLBACKS = 3
"""So many times the learning rate is halved before training ends."""


def has_diverged(loss: float, earlier: Sequence[float]) -> bool:
    """Return whether the mean loss of an epoch is no number, or far above those before.

    Args:
        loss: of this epoch.
        earlier: of all epochs before, in their order.
    """
    if not math.isfinite(loss):
        return True
    last = earlier[-EPOCHS_COMPARED:]
    return bool(last) and loss > FAR_ABOVE * statistics.median(last)
