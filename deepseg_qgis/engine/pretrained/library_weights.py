"""Which weights the encoders' libraries publish, and at which address. No network.

Read from segmentation-models-pytorch and timm as they are installed, so that names and revisions
are theirs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import segmentation_models_pytorch as smp
import timm

from deepseg_qgis.engine.pretrained.encoder_weights import WeightsOrigin
from deepseg_qgis.engine.pretrained.package_weights import PACKAGES

ADDRESS_VARIABLE, ADDRESS = "HF_ENDPOINT", "https://huggingface.co"
"""The hub that both libraries publish on; the variable names a mirror of it."""
FILE = "model.safetensors"
TIMM_PREFIX = "tu-"
IMAGENET = "imagenet"


@dataclass(frozen=True)
class PublishedWeights:
    """Weights in a repository of the hub, at one revision."""

    repository: str
    revision: str
    licence: str

    @property
    def url(self) -> str:
        """Where the file is downloaded from."""
        hub = os.environ.get(ADDRESS_VARIABLE, "").rstrip("/") or ADDRESS
        return f"{hub}/{self.repository}/resolve/{self.revision}/{FILE}"

    def origin(self, name: str, sha256: str) -> WeightsOrigin:
        """Return what a card keeps of them."""
        source = f"{ADDRESS}/{self.repository} at {self.revision[:12]}"
        return WeightsOrigin(name, source, self.licence, sha256)


def published_weights(encoder: str) -> dict[str, PublishedWeights]:
    """Return the weights that a library publishes for an encoder, by name."""
    if encoder.startswith(TIMM_PREFIX):
        settings = timm.get_pretrained_cfg(encoder.removeprefix(TIMM_PREFIX))
        if settings is None or not settings.hf_hub_id:
            return {}
        return {
            IMAGENET: PublishedWeights(settings.hf_hub_id, "main", settings.license or "unknown")
        }
    found = smp.encoders.encoders.get(encoder, {}).get("pretrained_settings") or {}
    return {
        name: PublishedWeights(each["repo_id"], each["revision"], "see the source")
        for name, each in found.items()
    }


def known_names(encoder: str) -> list[str]:
    """Return the names of all weights that can be had for an encoder, ImageNet's first."""
    names = {*published_weights(encoder), *([IMAGENET] if encoder in PACKAGES else [])}
    return sorted(names, key=lambda name: (name != IMAGENET, name))
