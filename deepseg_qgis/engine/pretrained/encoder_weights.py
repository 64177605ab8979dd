"""Weights of an encoder: its tensors by name, and where they come from. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from deepseg_qgis.engine.files.raster_inputs.bands import Band, named

RED_GREEN_BLUE = (named("red"), named("green"), named("blue"))
"""The bands of a photo, in the order that encoders are pretrained with."""


@dataclass(frozen=True)
class WeightsOrigin:
    """Where weights come from, as a model's card keeps it.

    ``name`` is what they were trained on (such as ``imagenet``); ``sha256`` is of the file that
    they were published as, in hex.
    """

    name: str
    source: str
    licence: str = "unknown"
    sha256: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """The facts in the words of a card."""
        facts = {
            "encoder_weights": self.name,
            "encoder_weights_source": self.source,
            "encoder_weights_licence": self.licence,
            "encoder_weights_sha256": self.sha256,
        }
        return {name: value for name, value in facts.items() if value}


@dataclass(frozen=True)
class EncoderWeights:
    """Tensors on the CPU by the names of their file, in its order.

    ``bands`` says which bands the first layer was trained on; empty if that is not known. With
    ``in_order`` the tensors are the encoder's, one after another, under names of their own.
    """

    tensors: Mapping[str, torch.Tensor]
    origin: WeightsOrigin
    bands: tuple[Band, ...] = ()
    in_order: bool = False
