"""What a network is made of, by name. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepseg_qgis.jobs import TrainJob

DECODER_STEPS = {"unet": 5, "unetplusplus": 5, "manet": 5}
"""How many widths the decoders have that can be made thinner."""
DECODER_CHANNELS = (1, 1024)
"""The least and the most channels of a step of a decoder."""
MAGNIFICATION = (1, 4)
"""The least and the most; beyond, memory grows and nothing more is seen."""


@dataclass(frozen=True)
class NetworkDesign:
    """What a network is made of: names of the catalogue, and the decoder's widths.

    ``decoder_channels`` are those of the decoder's steps, from the deepest to the finest; empty =
    the library's own. ``magnification`` is how many times as large it looks at a raster.
    """

    architecture: str
    encoder: str
    decoder_channels: tuple[int, ...] = ()
    magnification: int = 1

    @classmethod
    def of(cls, job: TrainJob) -> NetworkDesign:
        """Return the design that a training asks for."""
        design = SIZES[job.model_size]
        encoder = job.encoder or design.encoder
        if job.architecture is not None:  # by name: the library's own widths
            return cls(job.architecture, encoder)
        return replace(design, encoder=encoder)

    def __str__(self) -> str:
        """Return the design in words for the log."""
        widths = "-".join(map(str, self.decoder_channels))
        return f"{self.architecture}/{self.encoder}" + (f" (decoder {widths})" if widths else "")


SIZES = {
    "small": NetworkDesign("unet", "timm-tf_efficientnet_lite0", (96, 64, 32, 24, 8)),
    "medium": NetworkDesign("unet", "timm-tf_efficientnet_lite0", (128, 64, 48, 32, 16)),
    "large": NetworkDesign("unet", "timm-tf_efficientnet_lite0"),
}
"""Three points of the frontier of accuracy and speed that docs/networks.md measures."""
