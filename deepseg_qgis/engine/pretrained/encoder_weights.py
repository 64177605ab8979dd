"""Weights of an encoder: its tensors by name, and where they come from. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from deepseg_qgis.engine.files.raster_inputs.bands import Band, named

RED_GREEN_BLUE = (named("red"), named("green"), named("blue"))
"""The bands of a photo, in the order that encoders are pretrained with."""

SENTINEL_2 = tuple(
    Band(name, colour, wavelength_um)
    for name, colour, wavelength_um in (
        ("B1", "coastal", 0.443),
        ("B2", "blue", 0.490),
        ("B3", "green", 0.560),
        ("B4", "red", 0.665),
        ("B5", "rededge", 0.705),
        ("B6", "rededge", 0.740),
        ("B7", "rededge", 0.783),
        ("B8", "nir", 0.842),
        ("B8A", "nir", 0.865),
        ("B9", "", 0.945),
        ("B10", "swir", 1.375),
        ("B11", "swir", 1.610),
        ("B12", "swir", 2.190),
    )
)
"""The bands of Sentinel-2 (level 1C), as satellite weights such as SSL4EO's have them."""

USUAL_BANDS = {len(bands): bands for bands in (RED_GREEN_BLUE, SENTINEL_2)}
"""What a file of weights is for that says nothing of its bands, by their number."""


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

    ``bands`` says which bands the first layer was trained on; empty if the file does not say. With
    ``in_order`` the tensors are the encoder's, one after another, under names of their own.
    """

    tensors: Mapping[str, torch.Tensor]
    origin: WeightsOrigin
    bands: tuple[Band, ...] = ()
    in_order: bool = False

    def bands_of(self, count: int) -> tuple[Band, ...]:
        """Return the bands of a first layer of so many, empty if they are not known."""
        return self.bands if len(self.bands) == count else USUAL_BANDS.get(count, ())
