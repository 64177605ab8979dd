"""What comes of a training."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from deepseg_qgis.engine.learning.normalisation import Normalisation
from deepseg_qgis.engine.learning.validation import Validation
from deepseg_qgis.events import Epoch


@dataclass
class TrainedNetwork:
    """The weights that were kept (on the CPU), and how it went.

    ``history`` has every finished epoch; ``validation`` is that of the kept one. ``normalisation``
    and ``smoothing_px`` are what the network was trained with.
    """

    weights: dict[str, torch.Tensor]
    validation: Validation
    normalisation: Normalisation
    smoothing_px: float
    history: list[Epoch] = field(default_factory=list)
